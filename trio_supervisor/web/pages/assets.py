"""The files that pages use: style, script, icon. They are read once from the package."""

from __future__ import annotations

import os
from functools import cache

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.web.message import SECURITY, Request, Response, http_date

STYLE = "stylesheets/supervisor.css"
SCRIPT = "scripts/supervisor.js"
ICON = "images/icon.svg"
_TYPES = {
    STYLE: "text/css;charset=utf-8",
    SCRIPT: "text/javascript;charset=utf-8",
    ICON: "image/svg+xml",
}
ADDRESSES = tuple(f"/{address}" for address in _TYPES)
#: Browsers check for a new version each time, so that page and script always fit.
_HEADERS = (("Cache-Control", "no-cache"), *SECURITY)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file; ``modified`` is whole seconds since the epoch, as in HTTP dates."""

    body: bytes
    type: str
    modified: int


def asset(request: Request) -> Response:
    """Answer a request for one of ADDRESSES."""
    found = _load((request.path or "").strip("/"))
    headers = (("Last-Modified", http_date(found.modified)), *_HEADERS)
    status = 304 if _has(request.headers.get("if-modified-since", ""), found) else 200
    return Response(status, found.body, found.type, headers)  # a 304 is sent without its body


@cache
def _load(address: str) -> Asset:
    from importlib.resources import files

    file = files(__package__) / "static" / address.rpartition("/")[2]
    with file.open("rb") as opened:
        return Asset(opened.read(), _TYPES[address], int(os.fstat(opened.fileno()).st_mtime))


def load_assets() -> None:
    """Read all files now: after a change of user or root directory that may be impossible."""
    for address in _TYPES:
        _load(address)


def _has(date: str, found: Asset) -> bool:
    """Whether a client's copy of that date is current. An invalid date means that it is not."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp() >= found.modified
    except (ValueError, OverflowError):
        return False
