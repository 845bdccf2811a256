"""Look in output, as it arrives in pieces, for a line with a text or a regular expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.config.probes import LogLine

#: Bytes of a line that are looked at. Of a longer one the rest is skipped.
LONGEST_LINE = 8192


class LineMatch:
    """Looks for one line in the output of one channel.

    A text is found as soon as it is written; an expression is tried on complete lines, because
    ``$`` and the like need to see their end.
    """

    def __init__(self, line: LogLine) -> None:
        self._text = b"" if line.is_regex else line.pattern.encode()
        self._regex = re.compile(line.pattern) if line.is_regex else None
        self._rest = bytearray()
        """The beginning of the line whose end has not come yet."""

    def feed(self, data: bytes) -> bool:
        """Look at more output; True if the line is found."""
        if self._regex is None and b"\n" in data and self._text not in data:
            return self._feed_without_text(data)
        *complete, rest = data.split(b"\n")
        for piece in complete:
            if self._is_match(piece, complete=True):
                return True
            self._rest.clear()
        return bool(rest) and self._is_match(rest, complete=False)

    def _feed_without_text(self, data: bytes) -> bool:
        """Look at output that can only complete the text: a flood is not taken line by line."""
        if self._is_match(data[: data.index(b"\n")], complete=True):
            return True
        self._rest[:] = data[data.rindex(b"\n") + 1 :][:LONGEST_LINE]
        return False

    def _is_match(self, piece: bytes, *, complete: bool) -> bool:
        room = LONGEST_LINE - len(self._rest)
        if not room:  # what is kept of it has been looked at
            return False
        self._rest += piece[:room]
        if self._regex is None:
            return self._text in self._rest
        if not complete and len(piece) < room:
            return False
        line = self._rest.removesuffix(b"\r").decode(errors="replace")
        return self._regex.search(line) is not None
