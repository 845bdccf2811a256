"""Basic authentication."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from trio_supervisor.core.config.access import Credentials
from trio_supervisor.web.access.auth import Role, Users


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {b64encode(text.encode()).decode()}"


CLEAR = Credentials("bob", "p:w")
HASHED = Credentials("bob", "{SHA}" + hashlib.sha1(b"secret").hexdigest())
UNICODE = Credentials("bøb", "pässwörd")


@pytest.mark.behaviour("http.md#basic-authentication", "http.md#stored-passwords")
@pytest.mark.parametrize(
    ("credentials", "header", "good"),
    [
        pytest.param(None, "", True, id="none-configured"),
        (CLEAR, basic("bob:p:w"), True),
        (CLEAR, basic("bob:p:w", "basic"), True),
        (CLEAR, "", False),
        (CLEAR, basic("bob:wrong"), False),
        pytest.param(CLEAR, basic("eve:p:w"), False, id="wrong-name"),
        (CLEAR, "Digest x", False),
        (CLEAR, basic("bob"), False),
        (CLEAR, "Basic abc", False),
        pytest.param(CLEAR, "Basic", False, id="scheme-only"),
        pytest.param(CLEAR, "Basic \xff\xfe", False, id="not-ascii"),
        (HASHED, basic("bob:secret"), True),
        (HASHED, basic("bob:SECRET"), False),
        (HASHED, basic(f"bob:{HASHED.password}"), False),
        (HASHED, basic(f"bob:{HASHED.password.removeprefix('{SHA}')}"), False),
        pytest.param(UNICODE, basic("bøb:pässwörd"), True, id="utf-8"),
        pytest.param(Credentials("", ""), "", False, id="empty-is-not-missing"),
        pytest.param(Credentials("", ""), basic(":"), True, id="childutils-empty"),
    ],
)
async def test_authorization(credentials: Credentials | None, header: str, good: bool) -> None:
    users = Users(credentials, None)
    assert users.recognise(header) is (Role.FULL if good else None)
    assert await users.identify(header) is (Role.FULL if good else None)
