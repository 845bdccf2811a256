"""Text for people on a terminal: widths in cells, control characters, sizes and times.

Pure; for the commands that draw. Scripts get their lines from the other modules.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from trio_supervisor.core.escape import UNSAFE, escaped

#: What a terminal may be told by a log: colours and the like (SGR, ECMA-48 8.3.117).
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
#: The same after XML-RPC, which cannot carry an escape (interfaces.md 2.3).
_REPLACED_COLOUR = re.compile(r"[\x1b\ufffd]\[[0-9;:]*m")
#: All that is unsafe, and the line feed: these are lines.
_CONTROL = re.compile(f"[\n{UNSAFE}]")
#: A word with the blanks in front of it.
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
#: Sizes count in these, as ls and top do.
_KIBI = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def cells(text: str) -> int:
    """How many columns of a terminal it takes: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    # Mn, Me: combining marks; Cf: joiners and the like.
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clip(text: str, width: int) -> str:
    """At most ``width`` cells of it; what is cut shows by an ellipsis."""
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
    """Exactly ``width`` cells: clipped, or filled with blanks on the other side."""
    text = clip(text, width)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def folded(text: str, width: int, indent: int) -> list[str]:
    """The text in lines of at most ``width`` cells, broken at blanks only.

    Lines after the first begin with ``indent`` blanks. A single word that is wider than a line has
    a line of its own.
    """
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1].strip() and cells(lines[-1]) + cells(piece) > width:
            lines.append(" " * indent + piece.lstrip())
        else:
            lines[-1] += piece
    return lines


def harmless(text: str) -> str:
    """A line of a log that cannot move the cursor, retitle the window or worse (needs.md 3, 10).

    Control characters are shown as ``cat -v`` does; colours stay and end with the line.
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
    """The same without colours."""
    return _CONTROL.sub(_shown, _REPLACED_COLOUR.sub("", text).expandtabs())


def _shown(control: re.Match[str]) -> str:
    code = ord(control[0])
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else escaped(control[0])


def painted(text: str, state: str) -> str:
    return f"{COLOURS[state]}{text}{RESET}" if state in COLOURS else text


class AnsiFilter:
    """Makes a log that comes in pieces harmless, whole lines at a time where it can."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """What of it may be shown. A sequence cut in two by the pieces is shown, not obeyed."""
        lines = self._decoder.decode(data).split("\n")
        return "\n".join(harmless(line) for line in lines)


def size(count: float) -> str:
    """Bytes in at most five characters: ``999``, ``1.5K``, ``12M``, ``1023M``."""
    if count < _KIBI:
        return f"{count:.0f}"
    power = 0
    while round(count) >= _KIBI and power < len(_UNITS):
        count /= _KIBI
        power += 1
    # 9.96 would be written as 10.0
    return f"{count:.{1 if count < 9.95 else 0}f}{_UNITS[power - 1]}"


def duration(seconds: int) -> str:
    """In at most eight characters for 27 years: ``0:05``, ``1:02:03``, ``3d04h``."""
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}:{seconds % _MINUTE:02}"
    if seconds < _DAY:
        return f"{seconds // _HOUR}:{seconds % _HOUR // _MINUTE:02}:{seconds % _MINUTE:02}"
    return f"{seconds // _DAY}d{seconds % _DAY // _HOUR:02}h"
