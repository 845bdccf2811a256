"""The code blocks of a page of the documentation, so that tests can run what readers copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
README = "../README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A block of a page, and where it stands."""

    section: str
    """The heading above it."""
    introduction: str
    """The paragraph above it."""
    language: str
    text: str

    @property
    def file(self) -> str:
        """The path at the end of the introduction (``Write this file, `PATH`:``), or empty."""
        names = re.findall(r"`([~/][^`]*)`:$", self.introduction)
        return names[0] if names else ""

    @property
    def commands(self) -> list[tuple[str, str]]:
        """The commands of a console block, each with its output."""
        return _commands(self.text)


def steps(page: str) -> list[Step]:
    """All blocks of a page in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        before = text[: block.start()]
        heading = re.findall(r"^#+ (.+)$", _BLOCK.sub("", before), re.MULTILINE)[-1]
        introduction = before.rstrip().rpartition("\n\n")[2]
        found.append(Step(heading, introduction, block[1], block[2]))
    return found


def blocks(page: str, language: str) -> list[str]:
    """The contents of the blocks of one language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [body for found, body in _BLOCK.findall(text) if found == language]


def program(page: str, language: str, name: str) -> str:
    """The block that has its file name in a comment."""
    (found,) = [body for body in blocks(page, language) if f"# {name}\n" in body]
    return found


def sessions(page: str, *, block: int | None = None) -> list[tuple[str, str]]:
    """The commands of the console blocks, or of one of them, each with its output."""
    texts = blocks(page, "console")
    text = "".join(texts) if block is None else texts[block]
    return _commands(text)


def _commands(text: str) -> list[tuple[str, str]]:
    """A backslash at the end of a line continues a command."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def shows(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed. Numbers, times and time zones may differ."""
    return _without_numbers(shown) == _without_numbers(printed)


def _without_numbers(text: str) -> str:
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "Day", text)
    text = re.sub(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b", "Month", text)
    text = re.sub(r"\b(AM|PM)\b", "AM", text)
    text = re.sub(r"\d+(:\d+)+ (UTC|[A-Z]{3,4})\b", "0 UTC", text)
    return re.sub(r" +$", "", re.sub(r" +", " ", re.sub(r"\d+", "0", text)), flags=re.MULTILINE)
