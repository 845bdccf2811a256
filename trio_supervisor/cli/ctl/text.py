"""Text for a terminal: widths in cells, colours, control characters, sizes and durations.

Pure. Not imported for scripts, whose output goes to no terminal.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from trio_supervisor.core.escape import UNSAFE, escaped

#: The only escape sequences of a log that are passed on: colours and the like (SGR).
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
#: The same after XML-RPC, which cannot carry an escape: the daemon has replaced it.
_REPLACED_COLOUR = re.compile(r"[\x1b\ufffd]\[[0-9;:]*m")
#: All unsafe characters, and the newline, because these functions take single lines.
_CONTROL = re.compile(f"[\n{UNSAFE}]")
#: A word with the blanks before it.
_PIECE = re.compile(r"\s*\S+")
RESET = "\x1b[0m"
ELLIPSIS = "…"

RED, GREEN, YELLOW, GREY = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[90m"
COLOURS = {
    "RUNNING": GREEN,
    "STARTING": YELLOW,
    "STOPPING": YELLOW,
    "BACKOFF": RED,
    "FATAL": RED,
    "UNKNOWN": RED,
    "STOPPED": GREY,
    "EXITED": GREY,
}

_UNITS = "KMGTPE"
#: The factor between units of sizes, as in ls and top.
_KIBI = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def cells(text: str) -> int:
    """Return the width in columns: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    # Mn, Me: combining marks; Cf: joiners and the like.
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clip(text: str, width: int) -> str:
    """Cut a text to at most ``width`` cells, with an ellipsis where it is cut."""
    if cells(text) <= width:
        return text
    kept, left = [], width - 1
    for character in text:
        left -= _width(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + ELLIPSIS if width > 0 else ""


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Clip a text or pad it with blanks to exactly ``width`` cells."""
    text = clip(text, width)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def folded(text: str, width: int, indent: int) -> list[str]:
    """Break a text at blanks into lines of at most ``width`` cells.

    Lines after the first begin with ``indent`` blanks. A word that is wider than a line gets its
    own line.
    """
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1].strip() and cells(lines[-1]) + cells(piece) > width:
            lines.append(" " * indent + piece.lstrip())
        else:
            lines[-1] += piece
    return lines


def harmless(text: str) -> str:
    """Make a line of a log safe for a terminal: it could move the cursor or run commands.

    Control characters are shown as ``cat -v`` does. Colours are kept, and reset at the end.
    """
    if not _CONTROL.search(text):
        return text
    pieces, end, last = [], 0, RESET
    for colour in _COLOUR.finditer(text):
        last = colour[0]
        pieces += [_CONTROL.sub(_shown, text[end : colour.start()]), last]
        end = colour.end()
    pieces.append(_CONTROL.sub(_shown, text[end:]))
    return "".join(pieces if last == RESET else [*pieces, RESET])


def plain(text: str) -> str:
    """Make a line safe for a terminal and remove its colours."""
    return _CONTROL.sub(_shown, _REPLACED_COLOUR.sub("", text).expandtabs())


def _shown(control: re.Match[str]) -> str:
    code = ord(control[0])
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else escaped(control[0])


def painted(text: str, state: str) -> str:
    return f"{COLOURS[state]}{text}{RESET}" if state in COLOURS else text


class AnsiFilter:
    """Makes a log that arrives in pieces safe for a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """Return the text to show. A colour that is split between two pieces appears as text."""
        lines = self._decoder.decode(data).split("\n")
        return "\n".join(harmless(line) for line in lines)


def size(count: float) -> str:
    """Format a number of bytes in at most five characters: ``999``, ``1.5K``, ``1023M``."""
    if count < _KIBI:
        return f"{count:.0f}"
    power = 0
    while round(count) >= _KIBI and power < len(_UNITS):
        count /= _KIBI
        power += 1
    # 9.96 would be formatted as 10.0
    return f"{count:.{1 if count < 9.95 else 0}f}{_UNITS[power - 1]}"


def duration(seconds: int) -> str:
    """Format seconds in at most eight characters: ``0:05``, ``1:02:03``, ``3d04h``."""
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}:{seconds % _MINUTE:02}"
    if seconds < _DAY:
        return f"{seconds // _HOUR}:{seconds % _HOUR // _MINUTE:02}:{seconds % _MINUTE:02}"
    return f"{seconds // _DAY}d{seconds % _DAY // _HOUR:02}h"
