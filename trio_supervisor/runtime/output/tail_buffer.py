"""The last output of a channel, in memory, and its size in all: shown when a process fails.

Kept in memory, because a log may be a pipe, a device or nothing at all.
"""

from __future__ import annotations

#: Bytes remembered of one channel: the last lines of a traceback, little for 1,000 programs.
REMEMBERED = 2048
#: Bytes of one stream that are kept of the last child when it has ended.
LAST_LINES = 1024


class TailBuffer:
    """The end of one channel's output, and the number of bytes since the daemon's start."""

    __slots__ = ("_cut", "_end", "count")

    def __init__(self) -> None:
        self.count = 0
        self._end = b""
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Add output that goes to the log."""
        self.count += len(data)
        if len(data) < REMEMBERED:
            data = self._end + data
        self._cut = self._cut or len(data) > REMEMBERED
        self._end = data[-REMEMBERED:]

    def add(self, later: TailBuffer) -> None:
        """Add output that went to the log after what is here."""
        count = self.count + later.count
        self.feed(later._end)
        self.count = count
        self._cut = self._cut or later._cut

    @property
    def data(self) -> bytes:
        """The last bytes; whole lines as far as possible."""
        end = self._end
        if self._cut and b"\n" in end[:-1]:
            end = end.partition(b"\n")[2]
        return end

    @property
    def text(self) -> str:
        """The same as text; invalid UTF-8 is replaced."""
        return self.data.decode(errors="replace")

    def text_since(self, count: int) -> str:
        """Return the end of what came after the first ``count`` bytes, at most LAST_LINES bytes.

        Whole lines as far as possible; invalid UTF-8 is replaced.
        """
        new = self.count - count
        if not new:
            return ""
        end = self._end[-min(new, LAST_LINES) :]
        if new > len(end) and b"\n" in end[:-1]:
            end = end.partition(b"\n")[2]
        return end.decode(errors="replace")
