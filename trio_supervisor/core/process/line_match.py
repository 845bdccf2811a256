"""Look in output, as it arrives in pieces, for a line with a text or a regular expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.pattern import LONGEST_LINE, longest_line, required_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_supervisor.core.config.probes import LogLine


class LineMatch:
    """Looks for one line in the output of one channel.

    A text is found as soon as it is written; an expression is tried on complete lines, because
    ``$`` and the like need to see their end. A flood is not taken line by line if it does not have
    the text, or one that the expression cannot match without.
    """

    def __init__(self, line: LogLine, rest: bytes = b"") -> None:
        """``rest`` is the beginning of a line that was seen already."""
        pattern, is_regex = line.pattern, line.is_regex
        self._text = (required_text(pattern) if is_regex else pattern).encode()
        """What the line must contain; empty: anything."""
        self._regex = re.compile(pattern) if is_regex else None
        self._longest = longest_line(pattern) if is_regex else LONGEST_LINE
        self._rest = bytearray(rest)
        """The beginning of the line whose end has not come yet."""

    @property
    def rest(self) -> bytes:
        """The beginning of a line that was seen so far."""
        return bytes(self._rest)

    def steps(self, data: bytes) -> Iterator[bool]:
        """Look at more output in steps, none of which takes long; yield whether it is found."""
        if self._can_skip(data):
            yield self._feed_without_text(data)
            return
        # Some milliseconds for empty lines, or one long line for an expression that takes long.
        size = self._longest
        for start in range(0, len(data), size):
            yield self.feed(data[start : start + size])

    def feed(self, data: bytes) -> bool:
        """Look at more output; True if the line is found."""
        if self._can_skip(data):
            return self._feed_without_text(data)
        *complete, rest = data.split(b"\n")
        for piece in complete:
            if self._is_match(piece, complete=True):
                return True
            self._rest.clear()
        return bool(rest) and self._is_match(rest, complete=False)

    def _can_skip(self, data: bytes) -> bool:
        """Whether no line that begins in this output, and ends in it, can be the one."""
        return b"\n" in data and self._text not in data

    def _feed_without_text(self, data: bytes) -> bool:
        """Look at output that can only complete the text: a flood is not taken line by line."""
        if self._is_match(data[: data.index(b"\n")], complete=True):
            return True
        self._rest[:] = data[data.rindex(b"\n") + 1 :][: self._longest]
        return False

    def _is_match(self, piece: bytes, *, complete: bool) -> bool:
        room = self._longest - len(self._rest)
        if not room:  # what is kept of it has been looked at
            return False
        self._rest += piece[:room]
        if self._regex is None:
            return self._text in self._rest
        if (not complete and len(piece) < room) or self._text not in self._rest:
            return False
        line = self._rest.removesuffix(b"\r").decode(errors="replace")
        return self._regex.search(line) is not None
