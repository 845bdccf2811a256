"""Regular expressions that a configuration gives and that are tried on the output of programs.

The matching of a bad one can take time that grows exponentially with the text, and nothing else
runs meanwhile. So a repeated group may hold neither a repetition nor an alternative, and there are
no references to groups.
"""

from __future__ import annotations

import re

_REPEATS = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}|\{[0-9]+\}")
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
    position, ambiguous = 0, [False]
    while position < len(pattern):
        character = pattern[position]
        characters = _CHARACTERS.match(pattern, position)
        repeat = _REPEATS.match(pattern, position)
        if character == "\\":
            position += 2
            continue
        if characters is not None:
            position = characters.end()
            continue
        position += 1
        if character == "(":
            ambiguous.append(False)
        elif character == ")" and len(ambiguous) > 1:
            inner = ambiguous.pop()
            if inner and _REPEATS.match(pattern, position) is not None:
                return True
            ambiguous[-1] |= inner
        elif character == "|" or repeat is not None:
            ambiguous[-1] = True
    return False
