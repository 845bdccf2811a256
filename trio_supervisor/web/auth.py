"""HTTP Basic authentication (interfaces.md 3.5)."""

from __future__ import annotations

import hashlib
import hmac
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.config import Credentials

CHALLENGE = ("WWW-Authenticate", 'Basic realm="default"')
SHA = "{SHA}"


def is_authorized(credentials: Credentials | None, authorization: str) -> bool:
    """Whether an Authorization header's value shows the right user name and password.

    Takes the same time whether the name, the password or both are wrong.
    """
    if credentials is None:
        return True
    given = _basic(authorization)
    username, password = given or (b"", b"")
    wanted = credentials.password
    if wanted.startswith(SHA):
        wanted = wanted.removeprefix(SHA)
        password = hashlib.sha1(password).hexdigest().encode()
    same_name = hmac.compare_digest(username, credentials.username.encode())
    same_password = hmac.compare_digest(password, wanted.encode())
    return given is not None and same_name and same_password


def _basic(authorization: str) -> tuple[bytes, bytes] | None:
    """User name and password as sent; None if there are none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = a2b_base64(value.encode("latin-1")).partition(b":")
    except Base64Error:
        return None
    return (username, password) if colon else None
