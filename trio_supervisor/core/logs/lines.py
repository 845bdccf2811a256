"""Lines of several logs as one sequence, taken forwards or backwards from any place."""

from __future__ import annotations

import math
from heapq import merge
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.output import WholeCharacters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_supervisor.core.logs.place import LogPlace
    from trio_supervisor.core.logs.times import When

#: Bytes that may follow the first of a UTF-8 character.
_MOST_FOLLOWING = 3


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """A line, or a part of one that is too long to be read at once."""

    stream: str
    """Name of the output."""
    data: bytes
    """Its bytes, without the newline."""
    when: When | None
    """None means that only its place among the lines of its log is known."""
    order: float
    """Its place among lines of other outputs: seconds since the epoch."""
    start: LogPlace
    end: LogPlace
    """Behind its newline."""
    is_whole: bool = True
    """False for a part of a line, and for the last line of a log while it has no newline."""
    stamp: int = 0
    """Bytes at its beginning that only repeat its time and its log."""


def spans_before(data: bytes, *, at_start: bool) -> list[tuple[int, int]]:
    """Return where the lines begin and end that end in ``data``, the oldest first.

    A line that may have begun earlier is left out, unless there is no other: then the data is part
    of a long line, and returned but for a broken character at its beginning. ``at_start`` means
    that the data begins with a line.
    """
    spans = _spans(data)
    if at_start or not spans:
        return spans
    if len(spans) > 1:
        return spans[1:]
    broken = 0
    while broken < min(_MOST_FOLLOWING, len(data) - 1) and 0x80 <= data[broken] < 0xC0:
        broken += 1
    return [(broken, len(data))]


def spans_after(data: bytes, *, at_end: bool) -> list[tuple[int, int]]:
    """Return where the lines begin and end that begin in ``data``, the oldest first.

    A line that goes on later is left out, unless there is no other: then the data is part of a long
    line, and returned but for a broken character at its end. ``at_end`` means that nothing follows.
    """
    spans = _spans(data)
    if at_end or not spans or data.endswith(b"\n"):
        return spans
    if len(spans) > 1:
        return spans[:-1]
    return [(0, len(WholeCharacters().feed(data)) or len(data))]


def _spans(data: bytes) -> list[tuple[int, int]]:
    spans, start = [], 0
    while (newline := data.find(b"\n", start)) >= 0:
        spans.append((start, newline + 1))
        start = newline + 1
    if start < len(data):
        spans.append((start, len(data)))
    return spans


def orders(times: Sequence[When | None], behind: float = math.inf) -> list[float]:
    """Return the order of lines that follow each other, the oldest first.

    Lines whose time is not known belong to those before; without any, to the next. ``behind`` is
    the order of the line after the last.
    """
    known = next((when.order for when in times if when is not None), behind)
    found = []
    for when in times:
        known = known if when is None else when.order
        found.append(known)
    return found


def forwards(logs: Iterable[Iterator[LoggedLine]]) -> Iterator[LoggedLine]:
    """Merge lines of several logs, each with its oldest line first."""
    return merge(*logs, key=_order)


def backwards(logs: Iterable[Iterator[LoggedLine]]) -> Iterator[LoggedLine]:
    """Merge lines of several logs, each with its newest line first.

    Of lines with the same order those of the last log come first, as ``forwards`` has them last.
    """
    return merge(*reversed(list(logs)), key=_order, reverse=True)


def _order(line: LoggedLine) -> float:
    return line.order
