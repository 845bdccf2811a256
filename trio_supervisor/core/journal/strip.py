"""The last hours of a process as segments, from its entries in the journal."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.journal.entry import JournalEntry


class Look(enum.Enum):
    """Appearance of a segment."""

    UP = "up"
    CHANGING = "changing"
    """Starting or stopping."""
    FAILING = "failing"
    """Failed starts, or a loop of them."""
    DOWN = "down"
    UNKNOWN = "unknown"
    """Before the first entry."""


_LOOKS = {
    State.RUNNING: Look.UP,
    State.STARTING: Look.CHANGING,
    State.STOPPING: Look.CHANGING,
    State.BACKOFF: Look.FAILING,
    State.FATAL: Look.FAILING,
    State.UNKNOWN: Look.FAILING,
    State.STOPPED: Look.DOWN,
    State.EXITED: Look.DOWN,
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time; the times are wall-clock seconds."""

    begin: float
    end: float
    look: Look


def segments(entries: Iterable[JournalEntry], begin: float, end: float) -> list[Segment]:
    """Return the segments of one process from ``begin`` to ``end``, without gaps.

    ``entries`` are its entries, oldest first. The time of a loop that was folded is FAILING.
    """
    marks: list[tuple[float, Look]] = [(begin, Look.UNKNOWN)]
    for entry in entries:
        if entry.what is not What.STATE:
            continue
        if entry.count > 1:
            marks.append((entry.first, Look.FAILING))
        marks.append((entry.time, _LOOKS[State[entry.new]]))
    found: list[Segment] = []
    for (start, look), (stop, _) in zip(marks, [*marks[1:], (end, Look.UNKNOWN)], strict=True):
        at, until = max(begin, min(start, end)), max(begin, min(stop, end))
        if until <= at:
            continue
        if found and found[-1].look is look:
            found[-1] = Segment(found[-1].begin, until, look)
        else:
            found.append(Segment(at, until, look))
    return found
