"""Regular expressions that a configuration gives and that are tried on the output of programs.

The matching of a bad one can take time that grows exponentially with the text, and nothing else
runs meanwhile. So a repeated group may hold neither a repetition nor an alternative, and there are
no references to groups. What is left grows with a power of the length of a line, so the length that
is looked at depends on the expression.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a line that are looked at. Of a longer one the rest is skipped.
LONGEST_LINE = 8192
#: The same for expressions whose time grows with this power of the length or a larger one.
_LONGEST = {3: 700, 4: 200, 5: 96, 6: 60}

_REPEATS = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}|\{[0-9]+\}")
#: Escapes of letters and digits that are more than one character long, or that mean a character.
_OTHER_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[^\W_dDwWsSbBAZ]")
#: What changes nothing about whether there is a match.
_SURROUNDINGS = re.compile(r"^\^?\.\*\??|(?<!\\)\.\*\??\$?$")
_CHARACTERS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def check_pattern(pattern: str) -> None:
    """Raise ValueError, with a hint as its second argument, for one that is wrong or unsafe."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        hint = "see https://docs.python.org/3/library/re.html, or use log:TEXT"
        raise ValueError(f"{pattern!r} is no regular expression: {error}", hint) from None
    if _has_reference(pattern):
        hint = "write the text of the group again"
        raise ValueError(f"{pattern!r} refers to a group, which can take very long", hint)
    if _repeats_a_choice(pattern):
        hint = "repeat single characters or sets like [a-z]+ only"
        text = f"{pattern!r} repeats a group that has repetitions or alternatives inside"
        raise ValueError(f"{text}, which can take very long", hint)


def _has_reference(pattern: str) -> bool:
    return re.search(r"(?<!\\)(?:\\\\)*\\[1-9]|\(\?P=|\(\?\(", pattern) is not None


def _repeats_a_choice(pattern: str) -> bool:
    """Whether a group with a repetition or an alternative inside is itself repeated."""
    ambiguous, closed = [False], False
    for kind, _ in _tokens(pattern):
        if kind is _Kind.REPEAT and closed:
            return True
        closed = False
        if kind is _Kind.OPEN:
            ambiguous.append(False)
        elif kind is _Kind.CLOSE and len(ambiguous) > 1:
            closed = ambiguous.pop()
            ambiguous[-1] |= closed
        elif kind in (_Kind.ALTERNATIVE, _Kind.REPEAT):
            ambiguous[-1] = True
    return False


def required_text(pattern: str) -> str:
    """Return a text that every match contains, so that output without it need not be tried.

    Empty if none is found. It is the longest of those that are neither repeated nor in a group.
    """
    if "(?" in pattern.replace("(?:", "") or _OTHER_ESCAPE.search(pattern) is not None:
        return ""
    runs, depth = [""], 0
    for kind, text in _tokens(pattern):
        if kind is _Kind.ALTERNATIVE and not depth:
            return ""
        if kind in (_Kind.REPEAT, _Kind.OPTIONAL):
            runs[-1] = runs[-1][:-1]  # of the character or the group before
        if kind is _Kind.LITERAL and not depth:
            runs[-1] += text
        else:
            runs.append("")
        depth += (kind is _Kind.OPEN) - (kind is _Kind.CLOSE)
    return max(runs, key=len)


def longest_line(pattern: str) -> int:
    """Return how many bytes of a line may be looked at.

    The time to find out that there is no match grows with a power of the length: one for each
    repetition, and one for the place at which the match begins.
    """
    inner = _SURROUNDINGS.sub("", pattern)
    power = sum(kind is _Kind.REPEAT for kind, _ in _tokens(inner))
    power += not inner.startswith(("^", "\\A"))
    return _LONGEST.get(power, LONGEST_LINE if power < min(_LONGEST) else min(_LONGEST.values()))


class _Kind(enum.Enum):
    """What a part of a regular expression is."""

    LITERAL = "a character that stands for itself"
    SET = "a set of characters, a position, or an escape"
    OPEN = "("
    CLOSE = ")"
    ALTERNATIVE = "|"
    REPEAT = "how often the part before may occur"
    OPTIONAL = "?"


_KINDS = {"(": _Kind.OPEN, ")": _Kind.CLOSE, "|": _Kind.ALTERNATIVE, "?": _Kind.OPTIONAL}


def _tokens(pattern: str) -> Iterator[tuple[_Kind, str]]:
    """Yield the parts of a regular expression, each with what it means as a text."""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        characters = _CHARACTERS.match(pattern, position)
        repeat = _REPEATS.match(pattern, position)
        if character == "\\":
            escaped = pattern[position + 1]
            position += 2
            yield _Kind.SET if escaped.isalnum() else _Kind.LITERAL, escaped
        elif characters is not None:
            position = characters.end()
            yield _Kind.SET, ""
        elif repeat is not None:
            position = repeat.end()
            yield _Kind.REPEAT, ""
        else:
            position += 1
            kind = _Kind.SET if character in ".^$" else _Kind.LITERAL
            yield _KINDS.get(character, kind), character
