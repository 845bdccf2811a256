"""Proof that a form was ours: a token that only a page of this daemon can hold (section 5).

Browsers always say where a request comes from, scripts never do: only browsers need the token.
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
_SENT_BY_BROWSERS = ("origin", "referer", "sec-fetch-site")


def token_for(request: Request) -> str:
    """The token of the user who asks; another user's is worth nothing."""
    user = request.headers.get("authorization", "")
    return hmac.new(_SECRET, user.encode(), hashlib.sha256).hexdigest()


def is_from_browser(request: Request) -> bool:
    return any(name in request.headers for name in _SENT_BY_BROWSERS)


def is_ours(request: Request) -> bool:
    """Whether a form of ours was posted."""
    given = request.fields.get(FIELD, "").encode(errors="replace")
    return request.method == "POST" and hmac.compare_digest(given, token_for(request).encode())
