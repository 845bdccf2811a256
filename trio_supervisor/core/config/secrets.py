"""Keeps secrets of a configuration out of messages: the mask, and values of variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Stands for a value that may be a secret, wherever one is shown.
MASK = "***"
#: Characters of a value that may be a secret; replacing shorter ones would garble messages.
SHORTEST_SECRET = 4
#: The use of an environment variable in either grammar, and its name.
_VARIABLE = re.compile(r"([%$][({]ENV_(\w+)[^{}()]*[)}]s?)")


def as_written(text: str, written: str, variable: Callable[[str], str]) -> str:
    """A text about a value, without what environment variables put into it: that may be secret.

    ``written`` is the value as it stands in the file, ``variable`` gives the value of each variable
    that it uses.
    """
    for use, name in _VARIABLE.findall(written):
        value = variable(name)
        if len(value) >= SHORTEST_SECRET:
            for spelling in {value, repr(value)[1:-1], value.upper(), value.lower()}:
                text = text.replace(spelling, use)
    return text
