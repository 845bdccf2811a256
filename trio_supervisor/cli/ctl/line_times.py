"""Times at which lines of logs were written, and lines of several logs ordered by time."""

from __future__ import annotations

import time
from bisect import bisect_right

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from trio_supervisor.cli.ctl.lines import LinePrefix

    Source = tuple[str, str]

#: Shown in place of a time that is not known, as wide as one.
NO_TIME = f"{'-':<19}"


class LineTimes:
    """Times of the lines of one stream, by the header in which the daemon describes its beginning.

    The header has the number of bytes that were there already, and offsets with times. Lines after
    these bytes are written when they arrive.
    """

    since = 0.0

    def __init__(self, header: str) -> None:
        size, _, marks = header.partition(";")
        pairs = [mark.partition(":") for mark in marks.split(",") if mark]
        self._size = int(size or 0)
        self._offsets = [int(offset) for offset, _, _ in pairs]
        self._times = [float(at) for _, _, at in pairs]
        self._offset = 0

    def next(self, line: bytes) -> float | None:
        """Return when the next line was written, in seconds since the epoch; None: not known."""
        offset = self._offset
        self._offset += len(line) + 1
        if offset >= self._size:
            return time.time()
        place = bisect_right(self._offsets, offset)
        return self._times[place - 1] if place else None


class OwnTimes:
    """Times of lines that begin with them, as those of the activity log.

    A line without a time belongs to the one before. Lines before ``since`` are not wanted.
    """

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self._last: float | None = None

    def next(self, line: bytes) -> float | None:
        """Return when the next line was written, in seconds since the epoch; None: not known."""
        text = line[:23].decode(errors="replace")
        try:
            whole = time.mktime(time.strptime(text[:19], "%Y-%m-%d %H:%M:%S"))
            self._last = whole + int(text[20:]) / 1000
        except ValueError:
            pass
        return self._last


class LinePrinter:
    """Writes lines of several logs: those that match, with their times if wanted.

    If ``sorts`` is set, all lines are written at the end, in the order of their times; those whose
    time is not known stay at the beginning.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        prefix: LinePrefix,
        pattern: re.Pattern[str] | None,
        *,
        times: bool,
    ) -> None:
        self._write = write
        self._prefix = prefix
        self._pattern = pattern
        self._with_times = times
        self.sorts = False
        self._kept: list[tuple[float, bytes]] = []

    def show(self, source: Source, lines: list[tuple[float | None, bytes]]) -> None:
        """Write lines of one log, each with its time."""
        shown = [
            (at or 0.0, self._time(at) + self._prefix.line(*source, line))
            for at, line in lines
            if self._matches(line)
        ]
        if self.sorts:
            self._kept += shown
        elif shown:
            self._write(b"".join(line for _, line in shown))

    def finish(self) -> None:
        """Write what was kept."""
        if self._kept:
            self._kept.sort(key=lambda pair: pair[0])
            self._write(b"".join(line for _, line in self._kept))
            self._kept.clear()

    def _matches(self, line: bytes) -> bool:
        return self._pattern is None or bool(self._pattern.search(line.decode(errors="replace")))

    def _time(self, at: float | None) -> bytes:
        if not self._with_times:
            return b""
        shown = NO_TIME if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        return f"{shown} ".encode()
