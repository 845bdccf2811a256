"""What has happened lately, for people who look when it is over: the last events of a supervisor.

Always kept and bounded. Readers hold a number, the history holds nothing for them, so one who is
slow misses events and never costs memory. Unlike a subscriber it takes no serial numbers.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.events import Event, ProcessGroup, ProcessState, SupervisorStateChange
from trio_supervisor.core.numbers import natural

if TYPE_CHECKING:
    from collections.abc import Callable

#: Events that are remembered: a screenful for a person, the start of a hundred programs.
REMEMBERED = 200
#: What changes for a person; output, messages and ticks do not belong here.
TOLD = (ProcessState, ProcessGroup, SupervisorStateChange)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An event, the how-many-th it was, and when (wall-clock seconds)."""

    number: int
    time: float
    event: Event


class EventHistory:
    """``number`` is that of the last entry; 0 before the first."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self.number = 0
        self._id = secrets.token_hex(4)
        self._wall_clock = wall_clock
        self._entries: deque[HistoryEntry] = deque(maxlen=REMEMBERED)
        self._news = trio.lowlevel.ParkingLot()

    def record(self, event: Event) -> None:
        """Take an event, if it is one that is told."""
        if isinstance(event, TOLD):
            self.number += 1
            self._entries.append(HistoryEntry(self.number, self._wall_clock(), event))
            self._news.unpark_all()

    @property
    def mark(self) -> str:
        """Where it stands now, for a reader that may come back in another connection."""
        return f"{self._id}-{self.number}"

    def number_of(self, mark: str) -> int | None:
        """The number of the last entry at a mark; None if it is none, or another daemon's."""
        name, _, digits = mark.partition("-")
        number = natural(digits)
        if name != self._id or number is None or number > self.number:
            return None
        return number

    def after(self, number: int) -> list[HistoryEntry] | None:
        """The entries after that one, oldest first; None if some of them are forgotten."""
        if self._entries and number < self._entries[0].number - 1:
            return None
        return [entry for entry in self._entries if entry.number > number]

    def latest(self) -> list[HistoryEntry]:
        """All that is remembered, oldest first."""
        return list(self._entries)

    async def wait_beyond(self, number: int) -> None:
        """Return when there is an entry after that one."""
        while self.number <= number:
            await self._news.park()
