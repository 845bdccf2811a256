"""The forms of stored passwords."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

import pytest

from trio_supervisor.core.config.passwords import (
    BLOCK_SIZE,
    LOG_COST,
    PARALLELISM,
    check_form,
    hash_password,
    is_slow,
    matches,
)

#: RFC 7914, section 12: "password", "NaCl", N=1024, r=8, p=16.
RFC_7914 = "{SCRYPT}10:8:16:" + ":".join(
    urlsafe_b64encode(part).decode()
    for part in (
        b"NaCl",
        bytes.fromhex(
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        ),
    )
)
DAMAGED = [
    "{SCRYPT}",
    "{SCRYPT}secret",
    "{SCRYPT}14:8:5:c2FsdA==",
    "{SCRYPT}14:8:5:c2FsdA==:?",
    "{SCRYPT}14:8:5:c2Fsd:QUJD",
    "{SCRYPT}0:8:5:c2FsdA==:QUJD",
    "{SCRYPT}14:0:5:c2FsdA==:QUJD",
    "{SCRYPT}14:8:0:c2FsdA==:QUJD",
    "{SCRYPT}14:8:17:c2FsdA==:QUJD",
    "{SCRYPT}30:8:1:c2FsdA==:QUJD",
    "{SCRYPT}14:8:5:c2FsdA==:QUJD\n",
]


@pytest.mark.behaviour("http.md#stored-passwords")
def test_a_hashed_password_is_recognised_and_no_other() -> None:
    stored = hash_password("pä:ss", b"0123456789abcdef")
    check_form(stored)
    assert stored.startswith(f"{{SCRYPT}}{LOG_COST}:{BLOCK_SIZE}:{PARALLELISM}:")
    assert "%" not in stored  # INI files would expand them
    assert "$" not in stored  # and TOML files these
    assert is_slow(stored)
    assert matches("pä:ss".encode(), stored)
    assert not matches(b"pass", stored)
    assert not matches(stored.encode(), stored)


def test_the_digest_is_that_of_the_rfc() -> None:
    check_form(RFC_7914)
    assert matches(b"password", RFC_7914)


@pytest.mark.parametrize("stored", DAMAGED)
def test_damaged_forms_are_found(stored: str) -> None:
    with pytest.raises(ValueError, match="SCRYPT"):
        check_form(stored)


@pytest.mark.behaviour("http.md#stored-passwords")
def test_forms_of_the_reference() -> None:
    sha = "{SHA}" + hashlib.sha1(b"secret").hexdigest()
    for stored in (sha, "secret", "{SHA}damaged"):
        check_form(stored)  # Supervisor starts with any
        assert not is_slow(stored)
    assert matches(b"secret", sha)
    assert matches(b"secret", "secret")
    assert not matches(b"damaged", "{SHA}damaged")
