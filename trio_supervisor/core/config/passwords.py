"""The forms in which a configuration may hold a password, and how a given one is compared.

In clear; ``{SHA}`` and 40 hexadecimal digits, as in Supervisor; or
``{SCRYPT}`` with parameters, salt and digest, which is slow to compute and so slow to guess
(RFC 7914). Pure, but a comparison with the last may take a good part of a second.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

SHA = "{SHA}"
SCRYPT = "{SCRYPT}"

#: What new passwords are hashed with: about 0.3 s and 16 MiB, the smallest memory that OWASP's
#: password storage cheat sheet gives for this time; a supervisor often lives in a small container.
LOG_COST, BLOCK_SIZE, PARALLELISM = 14, 8, 5
SALT_BYTES = 16
DIGEST_BYTES = 32
#: Parameters beyond which one comparison would take the daemon's memory (128 * r * 2**ln bytes) or
#: a processor for too long.
MOST_MEMORY = 256 * 1024 * 1024
MOST_PARALLELISM = 16

_SCRYPT_FORM = re.compile(
    r"\{SCRYPT\}(\d{1,2}):(\d{1,3}):(\d{1,2}):([\w-]+=*):([\w-]+=*)", re.ASCII
)


def hash_password(password: str, salt: bytes) -> str:
    """The ``{SCRYPT}`` form of a password; ``salt`` is SALT_BYTES of randomness."""
    digest = _scrypt(password.encode(), salt, LOG_COST, BLOCK_SIZE, PARALLELISM, DIGEST_BYTES)
    parts = (base64.urlsafe_b64encode(part).decode() for part in (salt, digest))
    return f"{SCRYPT}{LOG_COST}:{BLOCK_SIZE}:{PARALLELISM}:{':'.join(parts)}"


def check_form(stored: str) -> None:
    """Raise ValueError for a damaged ``{SCRYPT}``; Supervisor starts with any other form."""
    if stored.startswith(SCRYPT):
        _scrypt_parts(stored)


def is_slow(stored: str) -> bool:
    """Whether ``matches`` takes long enough to hold up others."""
    return stored.startswith(SCRYPT)


def matches(password: bytes, stored: str) -> bool:
    """Whether it is the password that is stored. Takes equally long either way."""
    if stored.startswith(SCRYPT):
        cost, block_size, parallelism, salt, digest = _scrypt_parts(stored)
        given = _scrypt(password, salt, cost, block_size, parallelism, len(digest))
        return hmac.compare_digest(given, digest)
    if stored.startswith(SHA):
        password = hashlib.sha1(password).hexdigest().encode()
        stored = stored.removeprefix(SHA)
    return hmac.compare_digest(password, stored.encode("utf-8", "surrogateescape"))


def _scrypt_parts(stored: str) -> tuple[int, int, int, bytes, bytes]:
    """ln, r, p, salt and digest. Raises ValueError."""
    form = _SCRYPT_FORM.fullmatch(stored)
    if form is None:
        raise ValueError(f"the text after {SCRYPT} is damaged")
    cost, block_size, parallelism = int(form[1]), int(form[2]), int(form[3])
    within = cost >= 1 and block_size >= 1 and 1 <= parallelism <= MOST_PARALLELISM
    if not within or 128 * block_size << cost > MOST_MEMORY:
        raise ValueError(f"the parameters after {SCRYPT} are too large")
    try:
        salt, digest = (base64.urlsafe_b64decode(form[group]) for group in (4, 5))
    except ValueError:
        raise ValueError(f"the text after {SCRYPT} is damaged") from None
    return cost, block_size, parallelism, salt, digest


def _scrypt(
    password: bytes, salt: bytes, cost: int, block_size: int, parallelism: int, size: int
) -> bytes:
    return hashlib.scrypt(
        password,
        salt=salt,
        n=1 << cost,
        r=block_size,
        p=parallelism,
        maxmem=2 * MOST_MEMORY,  # OpenSSL counts a little beside the table itself
        dklen=size,
    )
