"""The memory that programs use alone, for those whose ``memory_max`` is watched.

One pass over ``/proc`` serves all of them. It takes a thread, because it may block.
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.process.memory_watch import own_memory
from trio_supervisor.runtime.inspect.procfs import PROC, ProcessTable
from trio_supervisor.runtime.system.threads import NoThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from trio_supervisor.core.process.member import Member

    Members = Callable[[], Iterable[Member]]

#: Seconds for which a pass may be used again.
FRESH = 1.0
#: More than such a file ever has.
_STATUS_SIZE = 16384


class OwnMemory:
    """Reads the memory of all processes that are watched."""

    def __init__(self) -> None:
        self._watched: dict[int, Members | None] = {}
        self._used: dict[int, int] = {}
        self._read_at = -math.inf
        self._lock = trio.Lock()

    @contextmanager
    def watching(self, pid: int, members: Members | None = None) -> Iterator[None]:
        """Read the memory of this process, too, for the length of the block.

        ``members`` finds what belongs to it beside its descendants.
        """
        self._watched[pid] = members
        try:
            yield
        finally:
            self._watched.pop(pid, None)

    async def of(self, pid: int) -> int | None:
        """Return the bytes that a watched process and all of its use, at most FRESH s old.

        Pages that a file backs do not count, because the kernel can take them away; swapped ones
        do. None means that it cannot be read now.
        """
        async with self._lock:
            if trio.current_time() - self._read_at > FRESH or pid not in self._used:
                try:
                    self._used = await in_thread(_read, dict(self._watched))
                except NoThread:
                    return None
                self._read_at = trio.current_time()
            return self._used.get(pid)


def _read(watched: Mapping[int, Members | None]) -> dict[int, int]:
    """Return the bytes by pid; one that has ended is left out."""
    table, used = ProcessTable.read(), {}
    for pid, members in watched.items():
        if pid in table.own:
            beside = () if members is None else (member.pid for member in members())
            used[pid] = sum(map(_own, {*table.tree(pid), *beside}))
    return used


def _own(pid: int) -> int:
    with suppress(OSError):  # it has just ended
        fd = os.open(f"{PROC}/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return own_memory(os.read(fd, _STATUS_SIZE))
        finally:
            os.close(fd)
    return 0
