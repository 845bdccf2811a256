"""Proof that a form was ours: a token that only a page of this daemon can hold (section 5).

Only browsers need it. A script is told from a browser by what every browser adds to a request and
a page cannot take away.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.web.message import Request

#: The name of the form's field.
FIELD = "csrf"
#: New with every daemon process: nothing has to be stored or can leak from a file.
_SECRET = secrets.token_bytes(32)
_ORIGIN = ("origin", "referer", "sec-fetch-site")


def token_for(request: Request) -> str:
    """The token of the user who asks; another user's is worth nothing."""
    user = request.headers.get("authorization", "")
    return hmac.new(_SECRET, user.encode(), hashlib.sha256).hexdigest()


def is_from_browser(request: Request) -> bool:
    """Whether a browser sent it: it tells the page's origin, or is a GET that looks like one.

    A browser tells an origin with every POST. With a GET to plain HTTP at an address that is not
    loopback it may tell none (Referrer-Policy, Secure Contexts), but it names itself and languages.
    """
    return tells_origin(request) or (
        request.method != "POST"
        and ("accept-language" in request.headers or _names_browser(request))
    )


def tells_origin(request: Request) -> bool:
    return any(name in request.headers for name in _ORIGIN)


def _names_browser(request: Request) -> bool:
    """All browsers have called themselves Mozilla since the nineties."""
    return request.headers.get("user-agent", "").lower().startswith("mozilla/")


def is_ours(request: Request) -> bool:
    """Whether a form of ours was posted."""
    given = request.fields.get(FIELD, "").encode(errors="replace")
    return request.method == "POST" and hmac.compare_digest(given, token_for(request).encode())
