"""Files with variables: those of ``docker run --env-file``, and quotes around values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_QUOTED = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"")
#: What a backslash protects between double quotes; before any other character it is kept.
_ESCAPED = re.compile(r"\\([\\\"$`n])")


def parse_environment_file(text: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a text; a name alone takes its value from ``inherited``.

    Raises ValueError with the number of the line that is wrong and why, never with a part of the
    line, which may be secret.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        try:
            variables.update(_variable(line.removesuffix("\r").lstrip(), inherited))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return variables


def _variable(line: str, inherited: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variable of a line, if it has one."""
    if not line or line.startswith("#"):
        return
    if "\0" in line:
        raise ValueError("it has a NUL byte")
    name, equals, value = line.partition("=")
    if not name:
        raise ValueError("there is no name before =")
    if name.startswith("export "):
        raise ValueError("leave out export: this is no shell")
    if name.split() != [name]:
        raise ValueError("there is a blank in the name, or no =")
    if equals:
        yield name, _value(value)
    elif name in inherited:
        yield name, inherited[name]


def _value(text: str) -> str:
    """Take quotes off; a text that does not begin with one is the value as it is."""
    if text.lstrip()[:1] not in ("'", '"'):
        return text
    match = _QUOTED.fullmatch(text.strip())
    if match is None:
        raise ValueError("the value has no closing quote")
    if match[1] is not None:
        return match[1]
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], match[2])
