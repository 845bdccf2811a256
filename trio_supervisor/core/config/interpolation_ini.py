"""Expands ``%(name)s`` in values of INI files: printf rules with a mapping, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

LITERAL_PERCENT = "write %% for a literal %"
#: Largest width or precision of a conversion: a short file must not make a huge value.
WIDEST = 1000
#: A conversion that lacks the letter behind its name: %(here)/x.
_WITHOUT_TYPE = re.compile(r"%\(\w+\)(?![-+ #0-9.hlL]*[sdiuoxXeEfFgGcra%])")
#: A width or precision worth a look, behind the name of a conversion.
_LARGE_NUMBER = re.compile(r"%\([^%]*\)[^%a-zA-Z]*?(\d{4,})")


class UnknownName(ValueError):
    """A value uses a name that nothing sets."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"contains the unknown name {name!r}", hint)
        self.name = name


def expand(text: str, names: Mapping[str, str | int]) -> str:
    """The text with its names replaced, once.

    Raises ValueError with a hint. A conversion without a name is refused: it would insert the
    whole mapping, environment included, as it does in Supervisor.
    """
    if "%" not in text:
        return text
    _refuse_unnamed(text)
    try:
        return text % names
    except KeyError as error:
        name = str(error.args[0])
        raise UnknownName(name, known_names(name, names)) from None
    except (TypeError, ValueError, OverflowError) as error:
        unfinished = _WITHOUT_TYPE.search(text)
        hint = f"write {unfinished[0]}s" if unfinished else LITERAL_PERCENT
        raise ValueError(f"is badly formatted: {error}", hint) from None


def known_names(name: str, names: Mapping[str, str | int]) -> str:
    """A hint about an unknown name: a known one that resembles it, or what is known."""
    variable = f"ENV_{name}"
    meant = variable if variable in names else suggestion(name, names)
    if meant is not None:
        return f"did you mean {meant}?"
    if name.startswith("ENV_"):
        return f"set the environment variable {name.removeprefix('ENV_')}"
    others = sorted(known for known in names if not known.startswith("ENV_"))
    return f"known names: {', '.join(others)}, ENV_*"


def is_too_wide(digits: str) -> bool:
    """Whether a width or precision makes a value longer than WIDEST; leading zeros do not count."""
    significant = digits.lstrip("0")
    return len(significant) > len(str(WIDEST)) or int(significant or 0) > WIDEST


def _refuse_unnamed(text: str) -> None:
    position = text.find("%")
    while position >= 0:
        following = text[position + 1 : position + 2]
        if following != "(" and following != "%":
            start = text[position : position + 8]
            raise ValueError(f"is badly formatted at {start!r}", LITERAL_PERCENT)
        position = text.find("%", position + 2)
    for number in _LARGE_NUMBER.findall(text):
        if is_too_wide(number):
            raise ValueError(f"asks for a width of more than {WIDEST} characters")
