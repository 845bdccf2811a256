"""Filters for the output of a child.

They strip control sequences, extract captures and keep characters whole.

Each takes bytes as they were read, split anywhere, and returns those that further input cannot
change. They know nothing of logs, events or processes.
"""

from __future__ import annotations

import re

from trio_supervisor.core.dataclass import dataclass

BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"

#: Bytes that a control sequence may have between ``ESC [`` and its final byte. Real ones have less
#: than 40. Without a limit a stray ``ESC [`` in binary output would hold back all further output.
SEQUENCE_LIMIT = 256

#: A control sequence, or, without the group, the beginning of one at the end of the data.
_SEQUENCE = re.compile(rb"\x1b(?:\[[^@-~]{0,%d}+(?:([@-~])|\Z)|\Z)" % SEQUENCE_LIMIT)

#: The beginning of a UTF-8 character at the end of the data, of two, three or four bytes.
_BROKEN_CHARACTER = re.compile(
    rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z"
)
_LONGEST_BROKEN_CHARACTER = 3


class AnsiStripper:
    """Removes control sequences that begin with ``ESC [``."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the data without sequences. The beginning of one at its end is held back."""
        data = self.finish() + data
        parts = []
        position = 0
        for match in _SEQUENCE.finditer(data):
            parts.append(data[position : match.start()])
            position = match.end()
            if match[1] is None:
                self._held = match[0]
        parts.append(data[position:])
        return b"".join(parts)

    def finish(self) -> bytes:
        """Return the bytes held back, which at the end of the output are no sequence."""
        held, self._held = self._held, b""
        return held


class WholeCharacters:
    """Keeps the bytes of each UTF-8 character together, for events that must be text."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the data. Up to 3 bytes, the beginning of a character, are held back."""
        data = self.finish() + data
        match = _BROKEN_CHARACTER.search(data, max(0, len(data) - _LONGEST_BROKEN_CHARACTER))
        if match is not None:
            self._held = match[0]
            data = data[: match.start()]
        return data

    def finish(self) -> bytes:
        """Return the bytes held back."""
        held, self._held = self._held, b""
        return held


@dataclass(frozen=True, slots=True)
class PlainOutput:
    """Ordinary output, never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Captured:
    """Output between the two tokens; may be empty."""

    data: bytes


class Capture:
    """Separates the text between capture tokens from the rest of the output.

    The last ``maxbytes`` bytes of each capture are kept.
    """

    def __init__(self, maxbytes: int) -> None:
        self._maxbytes = maxbytes
        self._captured: bytearray | None = None
        # A proper prefix of the next token; nothing else is ever held back.
        self._held = b""

    def feed(self, data: bytes) -> list[PlainOutput | Captured]:
        """Return ordinary output and complete captures, in order."""
        data = self._held + data
        items: list[PlainOutput | Captured] = []
        position = 0
        while (found := data.find(self._token, position)) >= 0:
            after = found + len(self._token)
            self._take(data[position:found], items)
            if self._captured is None:
                self._captured = bytearray()
            else:
                items.append(Captured(bytes(self._captured)))
                self._captured = None
            position = after
        end = len(data) - _prefix_at_end(data, position, self._token)
        self._take(data[position:end], items)
        self._held = data[end:]
        return items

    def finish(self) -> bytes:
        """Return the bytes held back, which are ordinary output. An open capture is discarded."""
        held = b"" if self._captured is not None else self._held
        self._held, self._captured = b"", None
        return held

    @property
    def _token(self) -> bytes:
        return BEGIN if self._captured is None else END

    def _take(self, data: bytes, items: list[PlainOutput | Captured]) -> None:
        if not data:
            return
        if self._captured is None:
            items.append(PlainOutput(data))
            return
        self._captured += data
        del self._captured[: max(0, len(self._captured) - self._maxbytes)]


def _prefix_at_end(data: bytes, start: int, token: bytes) -> int:
    """Return the length of the longest proper prefix of the token at the end of the data."""
    most = min(len(token) - 1, len(data) - start)
    return next((n for n in range(most, 0, -1) if data.endswith(token[:n])), 0)
