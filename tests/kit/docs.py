"""The code blocks of a page of the documentation, so that tests can run what readers copy."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
README = "../README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """The contents of the blocks of one language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [body for found, body in _BLOCK.findall(text) if found == language]


def program(page: str, language: str, name: str) -> str:
    """The block that has its file name in a comment."""
    (found,) = [body for body in blocks(page, language) if f"# {name}\n" in body]
    return found
