"""Detection of requests that a page of another web site made a browser send.

Command-line clients do not send the headers that are checked here, and are never refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.web.access import authority
from trio_supervisor.web.access.client_log import quoted

if TYPE_CHECKING:
    from trio_supervisor.web.message import Request

FOREIGN = "This request was caused by a page of another site"
#: Advice in case that the page is our own.
PASS_HOST = (
    "If it was a page of this server behind a proxy, the proxy has to pass on the Host header of "
    "the browser; for nginx: proxy_set_header Host $http_host;"
)
#: The value ``none`` is not among them: it means an address that was typed, or a bookmark.
_OTHER_SITES = ("cross-site", "same-site")


def foreign(request: Request) -> str | None:
    """Explain why a request counts as caused by a page of another origin; None if it does not."""
    return _other_site(request) or _mismatch(request)


def foreign_despite_token(request: Request) -> str | None:
    """Like ``foreign``, for a request that must have the token of one of our pages.

    A proxy may change the Host header. Then Sec-Fetch-Site tells whether the browser regards the
    page as ours. This is only safe for servers with a password: by DNS rebinding a foreign page can
    get a token and has the same origin as this server, but the browser has no password for it.
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
                shown = quoted(str(other or url))
                return f"{FOREIGN} ({name} {shown}, Host {quoted(host)}). {PASS_HOST}"
    return None
