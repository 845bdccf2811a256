"""Text as unit files of systemd have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def unit_text(*sections: tuple[str, Iterable[str]]) -> str:
    """Return the text of a unit with these sections, each with its name and lines."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections
    )


def words(parts: Iterable[str]) -> str:
    """Return a command line, or a list of names."""
    return " ".join(quoted(part, "$") for part in parts)


def quoted(word: str, doubled: str = "") -> str:
    """Quote a word where necessary; ``doubled`` are characters that are written twice."""
    text = specifiers(word)
    for character in doubled:
        text = text.replace(character, character * 2)
    if _PLAIN_WORD.fullmatch(text.replace("%", "").replace("$", "") or " "):
        return text
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    return f'"{text}"'


def specifiers(text: str) -> str:
    """Return text in which systemd finds no specifier such as ``%n``."""
    return text.replace("%", "%%")


def plain(text: str) -> str:
    """Return text for a description: one line, without specifiers."""
    return specifiers(" ".join(text.split()))
