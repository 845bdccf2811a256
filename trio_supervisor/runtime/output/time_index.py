"""Index from times to byte offsets of a channel's output, to find its last minutes in a log.

Logs have no times of their own. The index is bounded: the further back, the coarser it is.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left

#: Seconds of output that share an entry at first.
RESOLUTION = 1.0
#: Output of the past is located to this part of its age: after an hour, to 8 minutes.
COARSENESS = 8
#: Entries of one channel before those are joined that are closer than need be: 4 KiB, and with the
#: coarseness above enough for a year.
MOST_ENTRIES = 256


class TimeIndex:
    """Stretches of output: the offset where each begins, and when its last bytes came.

    Times are seconds of a clock that does not jump; amounts are bytes since the channel began.
    """

    __slots__ = ("_before", "_began", "_last")

    def __init__(self) -> None:
        self._before = array("d")
        self._last = array("d")
        self._began = 0.0
        """When the newest stretch began."""

    def note(self, now: float, before: int) -> None:
        """Add output that is written now, after so many bytes."""
        if self._last and now - self._began < RESOLUTION:
            self._last[-1] = now
            return
        self._began = now
        self._before.append(before)
        self._last.append(now)
        if len(self._last) > MOST_ENTRIES:
            self._thin(now)

    def before(self, time: float) -> int | None:
        """Return the offset of the output since a time, at most; None if there is none."""
        place = bisect_left(self._last, time)
        return int(self._before[place]) if place < len(self._before) else None

    def since(self, offset: int) -> list[tuple[int, float]]:
        """Return the stretches that reach beyond an offset: where each begins, and its time."""
        ends = (*self._before[1:], math.inf)
        stretches = zip(self._before, ends, self._last, strict=False)  # without any: an end is left
        return [(int(begin), last) for begin, end, last in stretches if end > offset]

    def forget(self) -> None:
        """Drop all entries: the log was cleared."""
        self._before, self._last = array("d"), array("d")

    def _thin(self, now: float) -> None:
        """Join neighbours, so that the number of entries grows with the logarithm of the time."""
        before, last = array("d"), array("d")
        for amount, time in zip(self._before, self._last, strict=True):
            if len(last) > 1 and time - last[-2] <= (now - time) / COARSENESS:
                last[-1] = time
            else:
                before.append(amount)
                last.append(time)
        self._before, self._last = before, last
