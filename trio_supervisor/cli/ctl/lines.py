"""Merges lines of several logs into one output, with the name of the log in front of each.

Pure.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.text import RESET, cells, harmless

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bytes of an unfinished line that are buffered; a longer line is shown in pieces.
LONGEST_LINE = 1024 * 1024

#: Colours of names, in turn, readable on dark and light backgrounds. Red is for stderr.
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m")
_RED = "\x1b[31m"


class LineSplitter:
    """Splits a stream that arrives in pieces of any size into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that a piece completes, without their newlines."""
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest = bytearray(rest)
        else:
            self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            lines += self.finish()
        return lines

    def finish(self) -> list[bytes]:
        """Return the last line, if it has no newline."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [rest] if rest else []


class LinePrefix:
    """Formats lines for the output.

    ``on_terminal`` makes control characters harmless, since a log may hold anything. ``coloured``
    applies to the prefixes; colours in a log are kept. ``raw`` keeps every byte.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        prefixed: bool,
        on_terminal: bool,
        coloured: bool,
        raw: bool = False,
    ) -> None:
        names = list(dict.fromkeys(names))
        width = max(map(cells, names), default=0)
        self._prefixes: dict[tuple[str, str], bytes] = {}
        for number, name in enumerate(names):
            padded = name + " " * (width - cells(name))
            colour = _COLOURS[number % len(_COLOURS)]
            for channel, bar in (("stdout", colour), ("stderr", _RED)):
                prefix = f"{colour}{padded}{bar} |{RESET} " if coloured else f"{padded} | "
                self._prefixes[name, channel] = prefix.encode() if prefixed else b""
        self._on_terminal = on_terminal
        self._raw = raw

    def line(self, name: str, channel: str, line: bytes) -> bytes:
        """Return the line with its prefix and a newline."""
        return self._prefixes[name, channel] + self._shown(line) + b"\n"

    def _shown(self, line: bytes) -> bytes:
        if self._raw:
            return line
        text = line.removesuffix(b"\r").decode(errors="replace")
        return (harmless(text) if self._on_terminal else text).encode()
