"""What lines of a log are searched for: a text, or a regular expression."""

from __future__ import annotations

import re
from typing import Protocol

from trio_supervisor.core.config.pattern import check_pattern
from trio_supervisor.core.output import AnsiStripper

#: Bytes of a line in which an expression is tried. The time that takes may grow with their square.
LONGEST_LINE = 8192
_ESCAPE = b"\x1b"


class Matcher(Protocol):
    """Finds lines."""

    def may_be_in(self, data: bytes) -> bool:
        """Return False if no line of the data can match; much faster than to try each."""

    def find(self, line: bytes) -> int:
        """Return about where in a line the match begins; -1 means that there is none."""


def matcher(pattern: str, *, is_regex: bool) -> Matcher:
    """Return what finds lines.

    Raises ValueError, with a hint as its second argument, for an expression that is wrong or whose
    matching may take very long.
    """
    if not pattern:
        raise ValueError("the search needs a text", "write a part of the lines to be found")
    if not is_regex:
        return _Text(pattern)
    check_pattern(pattern)
    return _Expression(re.compile(pattern))


class _Text:
    """Finds lines that contain a text, whatever the case of their letters."""

    def __init__(self, text: str) -> None:
        self._text = text.lower()
        self._bytes = self._text.encode(errors="replace") if text.isascii() else None

    def may_be_in(self, data: bytes) -> bool:
        return self._bytes is None or _ESCAPE in data or self._bytes in data.lower()

    def find(self, line: bytes) -> int:
        line = _plain(line)
        if self._bytes is not None:
            return line.lower().find(self._bytes)
        return line.decode(errors="replace").lower().find(self._text)


class _Expression:
    """Finds lines in which an expression matches; case counts."""

    def __init__(self, expression: re.Pattern[str]) -> None:
        self._expression = expression

    def may_be_in(self, data: bytes) -> bool:
        return True

    def find(self, line: bytes) -> int:
        text = _plain(line[:LONGEST_LINE]).removesuffix(b"\r").decode(errors="replace")
        found = self._expression.search(text)
        return -1 if found is None else found.start()


def _plain(line: bytes) -> bytes:
    """Return a line without sequences of colours: it is searched as it is shown."""
    if _ESCAPE not in line:
        return line
    stripper = AnsiStripper()
    return stripper.feed(line) + stripper.finish()
