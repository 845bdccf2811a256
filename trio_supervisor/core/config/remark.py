"""A remark about a configuration that loads all the same: what is probably not meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remark:
    """``str()`` is one line for the activity log."""

    text: str
    file: str
    line: int
    section: str | None = None
    option: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}"
        if self.section is not None:
            where += f", [{self.section}]"
        hint = "" if self.hint is None else f" ({self.hint})"
        return f"{where}: {self.text}{hint}"
