"""The memory that a server spends on its clients: bodies of requests, and answers not yet taken.

What one request may need is limited elsewhere. Here is the limit of all requests together: a
thousand clients that send 15 MiB each, or ask for a log and do not read it, must not use up the
memory of the machine. Requests beyond it are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.threads import NoThread, in_thread
from trio_supervisor.web.message import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import CDLL

#: Bytes for all clients of a server, unless one body may be larger: some answers as large as
#: possible.
LIMIT = 128 * 1024 * 1024
#: Bytes of a request and its answer from which on the C library is asked to return what it has
#: kept of them to the system.
LARGE = 1024 * 1024
#: Of <malloc.h>.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
#: Bytes of a block, and of the unused end of an arena, from which on glibc keeps nothing for later.
KEPT = 1024 * 1024
FULL = "too many large requests at this time; try again later"


class Memory:
    """Counts the bytes that the connections of a server hold.

    ``trim`` returns unused memory to the system; it is called in a thread.
    """

    def __init__(self, limit: int = LIMIT, trim: Callable[[], object] | None = None) -> None:
        self._left = limit
        self._trim = malloc_trim if trim is None else trim
        self._untidy = False

    @contextmanager
    def account(self) -> Iterator[Account]:
        """The bytes of one request and its answer, given back at the end of the block."""
        account = Account(self)
        try:
            yield account
        finally:
            self._left += account.size
            self._untidy = self._untidy or account.size >= LARGE

    def take(self, size: int) -> None:
        """Count some bytes. Raises Refusal if they are too many."""
        if size > self._left:
            raise Refusal(503, FULL)
        self._left -= size

    async def tidy(self) -> None:
        """Return memory to the system if a large request has ended. May take some milliseconds."""
        if self._untidy:
            self._untidy = False
            with suppress(NoThread):
                await in_thread(self._trim)


class Account:
    """What one request holds; to be made by a Memory."""

    def __init__(self, memory: Memory) -> None:
        self.size = 0
        self._memory = memory

    def take(self, size: int) -> None:
        """Hold some more bytes. Raises Refusal."""
        self._memory.take(size)
        self.size += size
        if self.size >= LARGE:
            map_large_blocks()


@cache
def map_large_blocks() -> None:
    """Let glibc take each large block from the system and return it at once when it is freed.

    By default it learns from the first large block to keep later ones: up to 64 MiB in the arena of
    every thread, of which malloc_trim() returns nothing where they are at the end of the arena.
    """
    with suppress(AttributeError):
        libc = _libc()
        libc.mallopt(M_MMAP_THRESHOLD, KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def malloc_trim() -> None:
    """Return memory that glibc keeps for later to the system."""
    with suppress(AttributeError):
        _libc().malloc_trim(0)


@cache
def _libc() -> CDLL:
    """The C library; one that is not glibc has none of the functions above, and needs none."""
    import ctypes  # seldom needed, and not small

    return ctypes.CDLL(None)
