"""HTTP Basic authentication: the role of a user, from the Authorization header.

The time that a check takes does not reveal whether the name, the password or both are wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from binascii import Error as Base64Error
from binascii import a2b_base64
from enum import Enum
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.passwords import is_slow, matches
from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.access import Credentials

CHALLENGE = ("WWW-Authenticate", 'Basic realm="default"')
#: Share of one processor that the slow comparisons of all servers may take in the long run, and
#: processor seconds that they may take at once after a pause: an ordinary login never waits.
SLOW_SHARE = 0.25
SLOW_BURST = 2.0


class Role(Enum):
    """The rights of a user."""

    FULL = "everything"
    READONLY = "look, and change nothing"


class Users:
    """The users of one server. Without ``credentials`` every client has all rights."""

    def __init__(self, credentials: Credentials | None, readonly: Credentials | None) -> None:
        self.known = [
            _User(user, role)
            for user, role in ((credentials, Role.FULL), (readonly, Role.READONLY))
            if user is not None
        ]

    def recognise(self, authorization: str) -> Role | None:
        """Return the role of the user; None if it is unknown, or needs a slow comparison."""
        if not self.known:
            return Role.FULL
        sent = _basic(authorization)
        roles = [user.role for user in self.known if user.recognises(sent)]
        return roles[0] if roles else None

    def name(self, authorization: str) -> str:
        """Return the name that an accepted header gives; empty if the server has no users."""
        given = _basic(authorization) if self.known else None
        return "" if given is None else escaped(given[0].decode(errors="replace"))

    async def identify(self, authorization: str) -> Role | None:
        """Return the role of the user, after slow comparisons if needed; None if it is unknown."""
        if (role := self.recognise(authorization)) is not None:
            return role
        sent = _basic(authorization)
        slow = [user for user in self.known if user.is_slow]
        if sent is None or not slow:
            return None
        found = [await _slow_work().run(user.check, sent) for user in slow]
        return next((user.role for user, good in zip(slow, found, strict=True) if good), None)


class SlowWork:
    """Runs slow comparisons one at a time, since each takes up to 256 MiB, within SLOW_SHARE."""

    def __init__(self) -> None:
        self._turn = trio.Lock()  # first come, first served
        self._limiter = trio.CapacityLimiter(1)
        self._left = SLOW_BURST
        """Processor seconds that may be used now; negative after a comparison that used more."""
        self._counted = trio.current_time()

    async def run(
        self,
        check: Callable[[tuple[bytes, bytes]], bool],
        sent: tuple[bytes, bytes],
        processor_clock: Callable[[], float] = time.thread_time,
    ) -> bool:
        """Run a comparison in a thread, when its turn has come and processor time is left."""

        def timed() -> tuple[bool, float]:
            start = processor_clock()
            good = check(sent)
            return good, processor_clock() - start

        async with self._turn:
            self._refill()
            if self._left < 0:
                await trio.sleep(-self._left / SLOW_SHARE)
                self._refill()
            good, used = await in_thread(timed, limiter=self._limiter)
            self._left -= used
            return good

    def _refill(self) -> None:
        now = trio.current_time()
        self._left = min(SLOW_BURST, self._left + (now - self._counted) * SLOW_SHARE)
        self._counted = now


_work: trio.lowlevel.RunVar[SlowWork] = trio.lowlevel.RunVar("slow comparisons")


def _slow_work() -> SlowWork:
    """Return the SlowWork that all servers of this run of trio share."""
    try:
        return _work.get()
    except LookupError:
        _work.set(SlowWork())
        return _work.get()


class _User:
    def __init__(self, credentials: Credentials, role: Role) -> None:
        self.role = role
        self._username = credentials.username.encode("utf-8", "surrogateescape")
        self._stored = credentials.password
        self.is_slow = is_slow(credentials.password)
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._proven = b""
        """Keyed digest of the right password, for a slow form; empty until it was seen."""

    def recognises(self, sent: tuple[bytes, bytes] | None) -> bool:
        """Compare fast. A slow form is compared by its digest, once its password was right."""
        username, password = sent or (b"", b"")
        same_name = hmac.compare_digest(username, self._username)
        if self.is_slow:
            same_password = hmac.compare_digest(self._digest(password), self._proven)
        else:
            same_password = matches(password, self._stored)
        return sent is not None and same_name and same_password

    def check(self, sent: tuple[bytes, bytes]) -> bool:
        """Compare with a slow form; blocks. It takes as long for an unknown name."""
        username, password = sent
        same_password = matches(password, self._stored)
        good = hmac.compare_digest(username, self._username) and same_password
        if good:
            self._proven = self._digest(password)
        return good

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, key=self._key).digest()


def _basic(authorization: str) -> tuple[bytes, bytes] | None:
    """Decode user name and password; None if the header has none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = a2b_base64(value.encode("latin-1")).partition(b":")
    except Base64Error:
        return None
    return (username, password) if colon else None
