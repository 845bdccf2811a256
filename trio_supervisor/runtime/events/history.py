"""The last events of a supervisor, for clients that connect after they happened.

The history is bounded and always kept. A reader remembers the number of the last entry that it has
read; the history has no state for each reader, so a slow reader misses events and costs no memory.
The numbers of the entries are its own. The bus assigns serial numbers only for subscribers, as
Supervisor does, and recording an event here must not use one up.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.events import (
    Event,
    ProcessGroup,
    ProcessHealthy,
    ProcessState,
    ProcessUnhealthy,
    SupervisorStateChange,
)
from trio_supervisor.core.numbers import natural

if TYPE_CHECKING:
    from collections.abc import Callable

#: Events that are kept: enough for a page, and for the start of a hundred programs.
CAPACITY = 200
#: Types of events that are kept: changes of state and of health, but no output, messages and ticks.
RECORDED = (
    *(ProcessState, ProcessHealthy, ProcessUnhealthy),
    *(ProcessGroup, SupervisorStateChange),
)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An event with its number in the history and its time (wall-clock seconds)."""

    number: int
    time: float
    event: Event


class EventHistory:
    """``number`` is the number of the last entry; 0 before the first."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self.number = 0
        self._id = os.urandom(4).hex()
        self._wall_clock = wall_clock
        self._entries: deque[HistoryEntry] = deque(maxlen=CAPACITY)
        self._news = trio.lowlevel.ParkingLot()

    def record(self, event: Event) -> None:
        """Add an event if its type is one of RECORDED."""
        if isinstance(event, RECORDED):
            self.number += 1
            self._entries.append(HistoryEntry(self.number, self._wall_clock(), event))
            if self._news:
                self._news.unpark_all()

    @property
    def mark(self) -> str:
        """The current position, for a reader that may come back with another connection."""
        return f"{self._id}-{self.number}"

    def number_of(self, mark: str) -> int | None:
        """Return the number of the last entry at a mark.

        None means that it is no mark, or one of another daemon.
        """
        name, _, digits = mark.partition("-")
        number = natural(digits)
        if name != self._id or number is None or number > self.number:
            return None
        return number

    def after(self, number: int) -> list[HistoryEntry] | None:
        """Return the entries after that number, oldest first; None if some are gone."""
        if self._entries and number < self._entries[0].number - 1:
            return None
        return [entry for entry in self._entries if entry.number > number]

    def latest(self) -> list[HistoryEntry]:
        """Return all entries, oldest first."""
        return list(self._entries)

    async def wait_beyond(self, number: int) -> None:
        """Wait until there is an entry after that number."""
        while self.number <= number:
            await self._news.park()
