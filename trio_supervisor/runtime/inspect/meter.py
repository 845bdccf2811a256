"""Looks at what processes use, shared by those who ask at about the same time."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.inspect.procfs import Look, look
from trio_supervisor.runtime.system.threads import NoThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.inspect.procfs import Usage

#: Seconds for which a look is good enough for the next who asks: many clients together cost four
#: looks a second, and the rates one computes every other second are right within an eighth.
FRESH = 0.25


class Meter:
    """Remembers the last look."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._last = Look({}, {})
        self._taken = -math.inf

    async def usages(self, pids: Iterable[int]) -> dict[int, Usage]:
        """The use of each of these processes, its descendants included.

        One that the last look did not see, because it is younger, calls for another.
        """
        pids = list(pids)
        async with self._lock:
            if time.monotonic() - self._taken > FRESH or not self._last.own.keys() >= {*pids}:
                with suppress(NoThread):
                    self._last = await in_thread(look)
                    self._taken = time.monotonic()
            last = self._last
        return {pid: last.of(pid) for pid in pids}
