"""``${name}`` in values of TOML files: expanded exactly once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.interpolation_ini import (
    WIDEST,
    UnknownName,
    is_too_wide,
    known_names,
)
from trio_supervisor.core.config.shell_syntax import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

ESCAPED = "$$ for a dollar sign"
#: ``$$``, ``${name}``, ``${name:format}`` or ``${name:-default}``; group 5: a $ that begins none.
_EXPANSION = re.compile(r"\$(?:(\$)|\{(\w+)(?::(-?)([^{}]*))?\}|())")


def expand_dollars(text: str, names: Mapping[str, str | int]) -> str:
    """The text with its names replaced. Raises ValueError with a hint."""

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        if match[2] is None:
            start = text[match.start() : match.start() + 8]
            variable = VARIABLE.match(text, match.start())
            hint = f"write ${{ENV_{variable[2]}}}, or {ESCAPED}" if variable else f"write {ESCAPED}"
            raise ValueError(f"is badly formatted at {start!r}", hint)
        if match[3] and match[2] not in names:
            return match[4]
        if match[2] not in names:
            hint = known_names(match[2], names)
            if match[2].startswith("ENV_"):
                hint += f", or give a value for when it is missing: ${{{match[2]}:-value}}"
            raise UnknownName(match[2], hint)
        return _formatted(names[match[2]], "" if match[3] else match[4] or "")

    return _EXPANSION.sub(replaced, text)


def without_expansions(text: str) -> str:
    """The literal part of a text."""
    return _EXPANSION.sub("", text)


def _formatted(value: str | int, spec: str) -> str:
    if any(is_too_wide(number) for number in re.findall(r"\d+", spec)):
        raise ValueError(f"asks for a width of more than {WIDEST} characters")
    try:
        return format(value, spec)
    except ValueError as error:
        raise ValueError(f"is badly formatted: {error}") from None
