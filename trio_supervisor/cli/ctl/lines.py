"""Lines of several logs for one reader: put together from pieces, told apart by their names.

Pure; knows nothing of where the pieces come from.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.text import RESET, cells, harmless

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bytes of a line without end that are kept back; a longer one is shown in pieces.
LONGEST_LINE = 1024 * 1024

#: Colours of names, in turn: those that can be read on dark and on light ground. Red is for stderr.
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m")
_RED = "\x1b[31m"


class LineSplitter:
    """Whole lines out of pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this completes, without their ends."""
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
        """The last line, if it has no end."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [rest] if rest else []


class LinePrefix:
    """How lines are shown. ``on_terminal``: what a log holds may not act on it (needs.md 3, 10).

    ``coloured`` is about our own prefixes; colours in a log are the program's. ``raw``: every byte
    as it is.
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
        """A line with its prefix and its end."""
        return self._prefixes[name, channel] + self._shown(line) + b"\n"

    def _shown(self, line: bytes) -> bytes:
        if self._raw:
            return line
        text = line.removesuffix(b"\r").decode(errors="replace")
        return (harmless(text) if self._on_terminal else text).encode()
