"""When lines of a log were written: by the lines themselves, or by the daemon's marks.

Times are seconds since the epoch.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from trio_supervisor.core.dataclass import dataclass

#: The beginning of a record of ``json``, of ``prefix`` and of the activity log. A time with a ``T``
#: is UTC; that of the activity log is local.
_STAMP = re.compile(
    rb'(?P<json>\{"time":")?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)[.,](\d{3})(?(json)Z"|Z?) ?'
)
#: Bytes at the beginning of a line in which its time is looked for.
_STAMPED = 48


@dataclass(frozen=True, slots=True)
class When:
    """The time of a line, or the interval in which it was written."""

    earliest: float
    """``-inf`` if that is not known."""
    latest: float
    order: float
    """Where in the interval the line is put among lines of other outputs."""

    @property
    def width(self) -> float:
        """Seconds by which it is uncertain."""
        return self.latest - self.earliest


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of an output that came in one interval."""

    begin: int
    """Bytes that had been written before."""
    first: float
    """When its first bytes came."""
    last: float
    """When its last bytes came."""


class Times(Protocol):
    """What knows when lines of one log were written."""

    def of(self, line: bytes, distance: int) -> When | None:
        """Return when a line was written that begins so many bytes before the end of the log.

        None means that it is not known.
        """

    def length_of_stamp(self, line: bytes) -> int:
        """Return the bytes at the beginning of a line that only repeat its time and its log."""

    @property
    def is_carried_over(self) -> bool:
        """Whether a line without a time belongs to the one before."""

    @property
    def since(self) -> float:
        """When the first bytes came whose time it knows; ``inf`` if it knows none."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Times of a raw log, by the stretches that the daemon remembers of its output.

    ``written`` are the bytes of output before the end of the log.
    """

    stretches: tuple[Stretch, ...]
    written: int

    def of(self, line: bytes, distance: int) -> When | None:
        offset = self.written - distance
        number = bisect_right(self.stretches, offset, key=lambda stretch: stretch.begin) - 1
        if number < 0:
            return None
        stretch = self.stretches[number]
        following = number + 1
        more = following < len(self.stretches)
        end = self.stretches[following].begin if more else max(self.written, offset + 1)
        share = (offset - stretch.begin) / max(1, end - stretch.begin)
        order = stretch.first + (stretch.last - stretch.first) * min(1.0, share)
        return When(stretch.first, stretch.last, order)

    def length_of_stamp(self, line: bytes) -> int:
        return 0

    @property
    def is_carried_over(self) -> bool:
        return False

    @property
    def since(self) -> float:
        return self.stretches[0].first if self.stretches else math.inf


@dataclass(frozen=True, slots=True)
class Stamps:
    """Times of a log whose lines begin with them."""

    names: bytes = b""
    """What may follow the time and says no more than which log it is: process and output."""

    def of(self, line: bytes, distance: int) -> When | None:
        found = _STAMP.match(line[:_STAMPED])
        if found is None:
            return None
        try:
            seconds = _seconds(found[2].decode()) + int(found[3]) / 1000
        except (ValueError, OverflowError):  # it only looks like a time
            return None
        return When(seconds, seconds, seconds)

    def length_of_stamp(self, line: bytes) -> int:
        found = _STAMP.match(line[:_STAMPED])
        if found is None or found["json"]:
            return 0
        return found.end() + (len(self.names) if line.startswith(self.names, found.end()) else 0)

    @property
    def is_carried_over(self) -> bool:
        return True

    @property
    def since(self) -> float:
        return math.inf


@lru_cache(maxsize=1024)
def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment.replace(tzinfo=UTC) if "T" in text else moment).timestamp()
