"""Protection against forged forms: a token that only a page of this daemon contains.

Only browsers need it. They are distinguished from scripts by headers that every browser adds and
that a page cannot remove.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.web.message import Request

#: Name of the form field.
FIELD = "csrf"
#: Random bytes in front of each token.
NONCE = 8
#: New in every daemon process, so that it cannot leak from a file. An upgrade keeps it.
_secret = secrets.token_bytes(32)
_ORIGIN = ("origin", "referer", "sec-fetch-site")


def secret() -> bytes:
    """Return the key of all tokens."""
    return _secret


def go_on_with(secret: bytes) -> None:
    """Use the key of an earlier program, whose pages are still open."""
    global _secret
    _secret = secret


def token_for(request: Request) -> str:
    """Create a token that is valid for the user who sent a request.

    Every page gets a different one: in a compressed page that contains text of an attacker, the
    length would reveal a constant token, character by character (BREACH).
    """
    nonce = secrets.token_hex(NONCE)
    return nonce + _proof(request, nonce)


def _proof(request: Request, nonce: str) -> str:
    user = request.headers.get("authorization", "")
    return hmac.new(_secret, f"{nonce} {user}".encode(errors="replace"), hashlib.sha256).hexdigest()


def is_from_browser(request: Request) -> bool:
    """Whether a browser sent a request: it has an origin, or is a GET with a browser's headers.

    A browser sends an origin with every POST. It may send none with a GET to plain HTTP at an
    address other than loopback (Referrer-Policy, Secure Contexts), but it always sends its name
    or its languages.
    """
    return tells_origin(request) or (
        request.method != "POST"
        and ("accept-language" in request.headers or _names_browser(request))
    )


def tells_origin(request: Request) -> bool:
    return any(name in request.headers for name in _ORIGIN)


def _names_browser(request: Request) -> bool:
    """Whether the User-Agent is a browser's: they all begin with Mozilla."""
    return request.headers.get("user-agent", "").lower().startswith("mozilla/")


def is_ours(request: Request) -> bool:
    """Whether the request posts a form with a valid token."""
    token = request.fields.get(FIELD, "")
    nonce, proof = token[: 2 * NONCE], token[2 * NONCE :]
    return request.method == "POST" and hmac.compare_digest(
        proof.encode(errors="replace"), _proof(request, nonce).encode()
    )
