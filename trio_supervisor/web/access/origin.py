"""Tells requests that another web site made a browser send (interfaces.md section 5).

Command-line clients send none of the headers looked at here and are never refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.web.access import authority
from trio_supervisor.web.access.client_log import quoted

if TYPE_CHECKING:
    from trio_supervisor.web.message import Request

FOREIGN = "This request was caused by a page of another site"
#: What to do about it where the page is our own.
PASS_HOST = (
    "If it was a page of this server behind a proxy, the proxy has to pass on the Host header of "
    "the browser; for nginx: proxy_set_header Host $http_host;"
)
#: ``none`` is a person's own doing: a typed address or a bookmark.
_OTHER_SITES = ("cross-site", "same-site")


def foreign(request: Request) -> str | None:
    """Why this request counts as caused by a page of another origin; None if it does not."""
    return _other_site(request) or _mismatch(request)


def foreign_despite_token(request: Request) -> str | None:
    """The same for a request that will have to show the token of a page of ours.

    A proxy may write another Host than the browser; then it is the browser that says whose page it
    was. Only for servers with a password: by DNS rebinding a foreign page gets a token and is of
    the same origin as this server, but the browser has no password for its name.
    """
    if request.headers.get("sec-fetch-site", "").lower() == "same-origin":
        return None
    return foreign(request)


def _other_site(request: Request) -> str | None:
    site = request.headers.get("sec-fetch-site", "")
    return f"{FOREIGN} (Sec-Fetch-Site: {quoted(site)})." if site.lower() in _OTHER_SITES else None


def _mismatch(request: Request) -> str | None:
    host = request.headers.get("host", "")
    own = authority.of_host(host)
    if own is None:
        return f"The Host header {quoted(host)} is not a host name with a port."
    for name in ("Origin", "Referer"):
        if (url := request.headers.get(name.lower())) is not None:
            other = authority.of_url(url)
            if other is None or not other.is_same(own):
                said = quoted(str(other or url))
                return f"{FOREIGN} ({name} {said}, Host {quoted(host)}). {PASS_HOST}"
    return None
