"""Tells requests that another web site made a browser send (interfaces.md section 5).

Command-line clients send none of the headers looked at here and are never refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from trio_supervisor.web.message import Request

FOREIGN = "This request was caused by a page of another site."
#: ``none`` is a person's own doing: a typed address or a bookmark.
_OTHER_SITES = ("cross-site", "same-site")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_foreign(request: Request) -> bool:
    """Whether a page of another origin caused this request."""
    if request.headers.get("sec-fetch-site", "").lower() in _OTHER_SITES:
        return True
    host = request.headers.get("host", "").lower()
    return any(
        _authority(request.headers[name], host) != host
        for name in ("origin", "referer")
        if name in request.headers
    )


def _authority(url: str, host: str) -> str:
    """host:port of a URL, with the default port written if ``host`` writes it; else empty."""
    try:
        parts = urlsplit(url.lower())
    except ValueError:
        return "?"
    authority = parts.netloc.rpartition("@")[2] or "?"  # "null" equals no host, not even none
    default = _DEFAULT_PORTS.get(parts.scheme, "")
    if default and host.endswith(default) and not authority.endswith(default):
        return authority + default
    return authority
