"""When a channel wrote what: so that its last minutes can be found in a log that has no times.

Pure; bounded however much is written: the further back, the coarser.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

#: Seconds of output that share a mark at first.
RESOLUTION = 1.0
#: What was written some time ago is known to this part of that time: to 8 minutes after an hour.
COARSENESS = 8
#: Marks of one channel before those are joined that are closer than need be: 4 KiB, and with the
#: coarseness above enough for a year.
MOST_MARKS = 256


class TimeIndex:
    """Stretches of output: how much there was before each, and when the last of it came.

    Times are seconds of a clock that does not jump; amounts are bytes since the channel began.
    """

    __slots__ = ("_before", "_began", "_last")

    def __init__(self) -> None:
        self._before = array("d")
        self._last = array("d")
        self._began = 0.0
        """When the newest stretch began."""

    def note(self, now: float, before: int) -> None:
        """Something is written now, after so many bytes."""
        if self._last and now - self._began < RESOLUTION:
            self._last[-1] = now
            return
        self._began = now
        self._before.append(before)
        self._last.append(now)
        if len(self._last) > MOST_MARKS:
            self._thin(now)

    def before(self, time: float) -> int | None:
        """How many bytes were written before this time, at least; None if none were since."""
        place = bisect_left(self._last, time)
        return int(self._before[place]) if place < len(self._before) else None

    def forget(self) -> None:
        """What was written is gone."""
        self._before, self._last = array("d"), array("d")

    def _thin(self, now: float) -> None:
        """Join neighbours, so that the number of marks grows with the logarithm of the time."""
        before, last = array("d"), array("d")
        for amount, time in zip(self._before, self._last, strict=True):
            if len(last) > 1 and time - last[-2] <= (now - time) / COARSENESS:
                last[-1] = time
            else:
                before.append(amount)
                last.append(time)
        self._before, self._last = before, last
