"""Basic authentication (interfaces.md 3.5)."""

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


@pytest.mark.parametrize(
    ("credentials", "header", "good"),
    [
        pytest.param(None, "", True, id="none-configured"),
        pytest.param(CLEAR, basic("bob:p:w"), True, id="W34"),
        pytest.param(CLEAR, basic("bob:p:w", "basic"), True, id="W28"),
        pytest.param(CLEAR, "", False, id="W26"),
        pytest.param(CLEAR, basic("bob:wrong"), False, id="W29"),
        pytest.param(CLEAR, basic("eve:p:w"), False, id="wrong-name"),
        pytest.param(CLEAR, "Digest x", False, id="W29-digest"),
        pytest.param(CLEAR, basic("bob"), False, id="W30"),
        pytest.param(CLEAR, "Basic abc", False, id="W31"),
        pytest.param(CLEAR, "Basic", False, id="scheme-only"),
        pytest.param(CLEAR, "Basic \xff\xfe", False, id="not-ascii"),
        pytest.param(HASHED, basic("bob:secret"), True, id="W33"),
        pytest.param(HASHED, basic("bob:SECRET"), False, id="W33-case"),
        pytest.param(HASHED, basic(f"bob:{HASHED.password}"), False, id="W33-digest"),
        pytest.param(
            HASHED, basic(f"bob:{HASHED.password.removeprefix('{SHA}')}"), False, id="W33-hex"
        ),
        pytest.param(UNICODE, basic("bøb:pässwörd"), True, id="utf-8"),
        pytest.param(Credentials("", ""), "", False, id="empty-is-not-missing"),
        pytest.param(Credentials("", ""), basic(":"), True, id="childutils-empty"),
    ],
)
async def test_authorization(credentials: Credentials | None, header: str, good: bool) -> None:
    users = Users(credentials, None)
    assert users.recognise(header) is (Role.FULL if good else None)
    assert await users.identify(header) is (Role.FULL if good else None)
