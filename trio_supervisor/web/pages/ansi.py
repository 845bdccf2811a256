"""Conversion of program output to HTML: colours become classes (ECMA-48, section 8.3.117).

Output may be split anywhere, also within an escape sequence or a character. Each piece of HTML is
complete, and so is each of its lines. Sequences that move the cursor or set a title are removed;
other control characters are shown as U+FFFD.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.web.pages.layout import visible

#: Characters of the longest sequence that is held back until it is complete.
HELD = 256
#: Numbers of one sequence that are read; a full style has a dozen.
_PARAMETERS = 32
_TOKEN = re.compile(
    r"(?P<end>\n)"
    r"|\x1b\[(?P<sgr>[0-9;:]*)m"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # titles, links
    r"|\x1b[()][0-9A-Za-z]"  # character sets
)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[()])?\Z")

_BRIGHT = 8
_BASIC = (
    *((0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0)),
    *((0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170)),
    *((85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85)),
    *((85, 85, 255), (255, 85, 255), (85, 255, 255), (255, 255, 255)),
)
"""The 16 colours that pages have classes for."""
_CUBE = (0, 95, 135, 175, 215, 255)
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_UNSET = {
    22: ("bold", "dim"),
    23: ("italic",),
    24: ("underline",),
    27: ("inverse",),
    29: ("strike",),
}


@dataclass(frozen=True, slots=True)
class _Style:
    """``text`` and ``back`` are numbers of 16 colours; None means the default of the page."""

    text: int | None = None
    back: int | None = None
    flags: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        text = None if self.text is None else f"a-t{self.text}"
        back = None if self.back is None else f"a-b{self.back}"
        if "inverse" in self.flags:
            text = "a-inverse" if self.back is None else f"a-t{self.back}"
            back = "a-inverse" if self.text is None else f"a-b{self.text}"
        drawn = sorted(f"a-{flag}" for flag in self.flags - {"inverse"})
        return " ".join(dict.fromkeys(name for name in (text, back, *drawn) if name))


class Painter:
    """Converts one output. It has the state that a terminal would have."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._style = _Style()

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Convert a piece of output; ``final`` means that it is the last one."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if not final:
            text, self._held = _split(text)
        return "".join(
            filter(None, self._paint(text))
        )  # most of up to millions of pieces are empty

    def _paint(self, text: str) -> Iterator[str]:
        place = 0
        for token in _TOKEN.finditer(text):
            yield self._span(text[place : token.start()])
            place = token.end()
            if token["end"] is not None:
                yield "\n"
            elif token["sgr"] is not None:
                self._style = _changed(self._style, token["sgr"])
        yield self._span(text[place:])

    def _span(self, text: str) -> str:
        if not text:  # there may be millions, between two sequences
            return ""
        classes = self._style.classes
        return f'<span class="{classes}">{visible(text)}</span>' if classes else visible(text)


def _split(text: str) -> tuple[str, str]:
    """Split off the beginning of a sequence at the end of the text."""
    start = text.find("\x1b", max(0, len(text) - HELD))
    while start >= 0:
        if _BEGUN.match(text, start):
            return text[:start], text[start:]
        start = text.find("\x1b", start + 1)
    return text, ""


@lru_cache(maxsize=1024)
def _changed(style: _Style, parameters: str) -> _Style:
    """Return the style after a Select Graphic Rendition sequence."""
    numbers = iter([int(p[:4] or 0) for p in re.split("[;:]", parameters)[:_PARAMETERS]])
    text, back, flags = style.text, style.back, style.flags
    for number in numbers:
        if number == 0:
            text, back, flags = None, None, frozenset()
        elif number in _FLAGS:
            flags |= {_FLAGS[number]}
        elif number in _UNSET:
            flags -= {*_UNSET[number]}
        elif number in (38, 48):
            colour = _extended(numbers)
            text, back = (colour, back) if number == 38 else (text, colour)
        elif number in (39, 49):
            text, back = (None, back) if number == 39 else (text, None)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            text = number % 10 + (_BRIGHT if number >= 90 else 0)
        elif 40 <= number <= 47 or 100 <= number <= 107:
            back = number % 10 + (_BRIGHT if number >= 100 else 0)
    return _Style(text, back, flags)


def _extended(numbers: Iterator[int]) -> int | None:
    """Read a colour of 256, or of 24 bits; returns the nearest of 16, which both themes have."""
    match next(numbers, None):
        case 5:
            number = next(numbers, 0)
            return number if number < 16 else _nearest(_of_256(number))
        case 2:
            return _nearest((next(numbers, 0), next(numbers, 0), next(numbers, 0)))
        case _:
            return None


def _of_256(number: int) -> tuple[int, int, int]:
    if number >= 232:
        grey = 8 + 10 * (min(number, 255) - 232)
        return grey, grey, grey
    cube = number - 16
    return _CUBE[cube // 36], _CUBE[cube // 6 % 6], _CUBE[cube % 6]


def _nearest(colour: tuple[int, int, int]) -> int:
    def distance(other: tuple[int, int, int]) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, other, strict=True))

    return min(range(len(_BASIC)), key=lambda number: distance(_BASIC[number]))
