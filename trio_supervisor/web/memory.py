"""Limit of the memory that a server uses for its clients: bodies of requests, and unsent answers.

The size of one request is limited elsewhere. This module limits all requests together: a thousand
clients that send 15 MiB each, or request a log and do not read it, must not use up the memory of
the machine. Requests beyond the limit are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.malloc import fix_thresholds, malloc_trim
from trio_supervisor.runtime.system.threads import NoThread, in_thread
from trio_supervisor.web.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes for all clients of a server, unless a single body may be larger. Some answers of the
#: largest size fit.
LIMIT = 128 * 1024 * 1024
#: Bytes of a request and its answer from which on the C library is asked to return freed memory to
#: the system.
LARGE = 1024 * 1024
FULL = "too many large requests at this time; try again later"


class Memory:
    """Counts the bytes that the connections of a server hold.

    ``trim`` returns unused memory to the system. It is called in a thread.
    """

    def __init__(self, limit: int = LIMIT, trim: Callable[[], object] | None = None) -> None:
        self._left = limit
        self._trim = malloc_trim if trim is None else trim
        self._untidy = False

    @contextmanager
    def account(self) -> Iterator[Account]:
        """Account for one request and its answer, until the end of the block."""
        account = Account(self)
        try:
            yield account
        finally:
            self._left += account.size
            self._untidy = self._untidy or account.size >= LARGE

    def take(self, size: int) -> None:
        """Add bytes. Raises Refusal if there are too many."""
        if size > self._left:
            raise Refusal(503, FULL)
        self._left -= size

    async def tidy(self) -> None:
        """Return memory to the system if a large request has ended.

        This may take some milliseconds, in a thread.
        """
        if self._untidy:
            self._untidy = False
            with suppress(NoThread):
                await in_thread(self._trim)


class Account:
    """The bytes of one request and its answer, created by Memory."""

    def __init__(self, memory: Memory) -> None:
        self.size = 0
        self._memory = memory

    def take(self, size: int) -> None:
        """Add bytes. Raises Refusal."""
        self._memory.take(size)
        self.size += size
        if self.size >= LARGE:
            fix_thresholds()
