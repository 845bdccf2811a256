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
#: Random bytes in front of each token.
NONCE = 8
#: New with every daemon process: nothing has to be stored or can leak from a file.
_SECRET = secrets.token_bytes(32)
_ORIGIN = ("origin", "referer", "sec-fetch-site")


def token_for(request: Request) -> str:
    """A token of the user who asks; to another user it is worth nothing.

    Every page has another one: in a compressed page with text of an attacker's, the page's length
    would tell a token that stays the same, character by character (BREACH).
    """
    nonce = secrets.token_hex(NONCE)
    return nonce + _proof(request, nonce)


def _proof(request: Request, nonce: str) -> str:
    user = request.headers.get("authorization", "")
    return hmac.new(_SECRET, f"{nonce} {user}".encode(errors="replace"), hashlib.sha256).hexdigest()


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
    given = request.fields.get(FIELD, "")
    nonce, proof = given[: 2 * NONCE], given[2 * NONCE :]
    return request.method == "POST" and hmac.compare_digest(
        proof.encode(errors="replace"), _proof(request, nonce).encode()
    )
