"""HTTP Basic authentication (interfaces.md 3.5): who sent a request, by its Authorization header.

Nothing here tells by the time it takes whether the name, the password or both are wrong.
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
from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.access import Credentials

CHALLENGE = ("WWW-Authenticate", 'Basic realm="default"')
#: Share of one processor that slow comparisons may take in the long run, over all servers, and
#: processor seconds that they may take at once after a rest: an ordinary login never waits.
SLOW_SHARE = 0.25
SLOW_BURST = 2.0


class Role(Enum):
    """How much a client may do."""

    FULL = "everything"
    READONLY = "look, and change nothing"


class Users:
    """The users of one server; without ``credentials`` everybody is welcome."""

    def __init__(self, credentials: Credentials | None, readonly: Credentials | None) -> None:
        self.known = [
            _User(user, role)
            for user, role in ((credentials, Role.FULL), (readonly, Role.READONLY))
            if user is not None
        ]

    def recognise(self, authorization: str) -> Role | None:
        """Who it is, if that can be told at once."""
        if not self.known:
            return Role.FULL
        given = _basic(authorization)
        roles = [user.role for user in self.known if user.recognises(given)]
        return roles[0] if roles else None

    async def identify(self, authorization: str) -> Role | None:
        """Who it is, whatever it takes to find out; None: nobody known."""
        if (role := self.recognise(authorization)) is not None:
            return role
        given = _basic(authorization)
        slow = [user for user in self.known if user.is_slow]
        if given is None or not slow:
            return None
        found = [await _slow_work().run(user.check, given) for user in slow]
        return next((user.role for user, good in zip(slow, found, strict=True) if good), None)


class SlowWork:
    """Slow comparisons: one at a time, since each takes up to 256 MiB, and within SLOW_SHARE."""

    def __init__(self) -> None:
        self._turn = trio.Lock()  # first come, first served
        self._limiter = trio.CapacityLimiter(1)
        self._left = SLOW_BURST
        """Processor seconds that may be used at once; below 0 after a comparison."""
        self._counted = trio.current_time()

    async def run(
        self,
        check: Callable[[tuple[bytes, bytes]], bool],
        given: tuple[bytes, bytes],
        processor_clock: Callable[[], float] = time.thread_time,
    ) -> bool:
        """Run a comparison in a thread, when its turn has come and there is time left for it."""

        def timed() -> tuple[bool, float]:
            start = processor_clock()
            good = check(given)
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
    """The slow work of all servers of this run of trio."""
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
        """Of a slow form: keyed digest of the password that was right; empty: none yet."""

    def recognises(self, given: tuple[bytes, bytes] | None) -> bool:
        """Compare without taking long: a slow form is known once its password was right."""
        username, password = given or (b"", b"")
        same_name = hmac.compare_digest(username, self._username)
        if self.is_slow:
            same_password = hmac.compare_digest(self._digest(password), self._proven)
        else:
            same_password = matches(password, self._stored)
        return given is not None and same_name and same_password

    def check(self, given: tuple[bytes, bytes]) -> bool:
        """Compare with a slow form; blocks. As long for an unknown name as for a known one."""
        username, password = given
        same_password = matches(password, self._stored)
        good = hmac.compare_digest(username, self._username) and same_password
        if good:
            self._proven = self._digest(password)
        return good

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, key=self._key).digest()


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
