"""One task that acts at the deadlines of many objects.

A cancel scope around each wait would take trio 0.7 KiB for each process, also while it has no
deadline.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import Protocol

import trio


class Timed(Protocol):
    """Has a deadline at times."""

    def due(self) -> None:
        """Act at the deadline, without waiting for anything."""

    def recover(self) -> None:
        """Called if that has raised an exception, while it is handled."""


class Deadlines:
    """The deadlines of the objects of one supervisor, which are told while ``run`` is running."""

    def __init__(self) -> None:
        self._times: dict[Timed, float] = {}
        self._order: list[tuple[float, int, Timed]] = []
        """The same, the next one first; the number is the identity."""
        self._wait = trio.CancelScope()

    def set(self, owner: Timed, time: float) -> None:
        """Have ``owner.due`` called at a time of trio's clock, and no more at that set before.

        Infinite means not at all.
        """
        before = self._times.pop(owner, math.inf)
        if before < math.inf:
            del self._order[bisect_left(self._order, (before, id(owner)))]
        if time < math.inf:
            self._times[owner] = time
            insort(self._order, (time, id(owner), owner))
        if self._wait.deadline != self._next:
            self._wait.deadline = self._next

    async def run(self) -> None:
        """Tell all whose deadline has come, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next) as self._wait:
                await trio.sleep_forever()
            while self._next <= trio.current_time():
                owner = self._order[0][2]
                self.set(owner, math.inf)
                try:
                    owner.due()
                except Exception:  # an error of one is no error of the others
                    owner.recover()

    @property
    def _next(self) -> float:
        return self._order[0][0] if self._order else math.inf
