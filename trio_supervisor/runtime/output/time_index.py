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
#: Entries of one channel before those are joined that are closer than need be: 6 KiB, and with the
#: coarseness above enough for a year.
MOST_ENTRIES = 256
#: Of all channels without output.
_NOTHING = array("d")


class TimeIndex:
    """Stretches of output: the offset where each begins, and when its first and last bytes came.

    Times are seconds of a clock that does not jump; amounts are bytes since the channel began.
    ``other`` is the index of the process's other output: a stretch ends where that has written, so
    that the lines of both can be put in order.
    """

    __slots__ = ("_entries", "other")

    def __init__(self) -> None:
        self._entries = _NOTHING
        """Of each stretch three: where it begins, and when its first and last bytes came."""
        self.other: TimeIndex | None = None

    def note(self, now: float, before: int) -> None:
        """Add output that is written now, after so many bytes."""
        entries = self._entries
        if entries and now - entries[-2] < RESOLUTION:
            other = self.other
            if other is None or not other._entries or other._entries[-1] <= entries[-1]:
                entries[-1] = now
                return
        if not entries:
            entries = self._entries = array("d")
        entries.extend((before, now, now))
        if len(entries) > 3 * MOST_ENTRIES:
            self._thin(now)

    def before(self, time: float) -> int | None:
        """Return the offset of the output since a time, at most; None if there is none."""
        begins, lasts = self._entries[::3], self._entries[2::3]
        place = bisect_left(lasts, time)
        return int(begins[place]) if place < len(begins) else None

    def since(self, offset: int) -> list[tuple[int, float, float]]:
        """Return the stretches that reach beyond an offset.

        Of each: where it begins, and when its first and its last bytes came.
        """
        begins, firsts, lasts = (self._entries[n::3] for n in range(3))
        ends = (*begins[1:], math.inf)
        stretches = zip(begins, ends, firsts, lasts, strict=False)  # without any: an end is left
        return [(int(begin), first, last) for begin, end, first, last in stretches if end > offset]

    def forget(self) -> None:
        """Drop all entries: the log was cleared."""
        self._entries = _NOTHING

    def _thin(self, now: float) -> None:
        """Join neighbours, so that the number of entries grows with the logarithm of the time."""
        kept = array("d")
        entries = self._entries
        for at in range(0, len(entries), 3):
            last = entries[at + 2]
            if len(kept) > 3 and last - kept[-4] <= (now - last) / COARSENESS:
                kept[-1] = last
            else:
                kept.extend(entries[at : at + 3])
        self._entries = kept
