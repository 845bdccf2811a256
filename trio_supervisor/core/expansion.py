"""``%(name)s`` in values (config.md section 5): printf rules with a mapping, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LITERAL_PERCENT = "write %% for a literal %"
#: Largest width or precision of a conversion: a short file must not make a huge value.
WIDEST = 1000
#: A width or precision worth a look, behind the name of a conversion.
_LARGE_NUMBER = re.compile(r"%\([^%]*\)[^%a-zA-Z]*?(\d{4,})")


def expand(text: str, names: Mapping[str, str | int]) -> str:
    """The text with its names replaced, once.

    Raises ValueError with a hint. A conversion without a name is refused: it would insert the
    whole mapping, environment included (Q21).
    """
    if "%" not in text:
        return text
    _refuse_unnamed(text)
    try:
        return text % names
    except KeyError as error:
        name = error.args[0]
        close = sorted(n for n in names if not n.startswith("ENV_"))
        if str(name).startswith("ENV_"):
            hint = f"no such environment variable; {LITERAL_PERCENT}"
        else:
            hint = f"known names: {', '.join(close)}, ENV_*"
        raise ValueError(f"contains the unknown name {name!r}", hint) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"is badly formatted: {error}", LITERAL_PERCENT) from None


def _refuse_unnamed(text: str) -> None:
    position = text.find("%")
    while position >= 0:
        following = text[position + 1 : position + 2]
        if following != "(" and following != "%":
            start = text[position : position + 8]
            raise ValueError(f"is badly formatted at {start!r}", LITERAL_PERCENT)
        position = text.find("%", position + 2)
    if any(int(number) > WIDEST for number in _LARGE_NUMBER.findall(text)):
        raise ValueError(f"asks for a width of more than {WIDEST} characters")
