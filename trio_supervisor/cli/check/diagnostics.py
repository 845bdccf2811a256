"""What ``--check`` has found, with its place in a file, and how a person sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.build import COMMAND_LINE
from trio_supervisor.core.config.ini import without_comment
from trio_supervisor.core.config.lint import kind_of
from trio_supervisor.core.config.options import SECRETS, TABLES

if TYPE_CHECKING:
    from trio_supervisor.core.config.ini import Document

ERROR, WARNING = "error", "warning"
MASKED = "***"
_KEY_LINE = re.compile(r"\s*(?P<key>[^=:]+?)\s*[=:]\s*(?P<value>.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell. Lines and columns count from 1; 0 where none is known."""

    severity: str
    """ERROR or WARNING."""
    text: str
    file: str | None = None
    line: int = 0
    section: str | None = None
    option: str | None = None
    hint: str | None = None
    column: int = 0
    """Where the offending text begins, and the column behind its end."""
    end: int = 0

    def placed(self, document: Document, sources: Sources) -> Finding:
        """The same with the place of its option or its section, and columns."""
        placed = self
        if not self.line and self.file != COMMAND_LINE:
            section = document.sections.get(self.section or "")
            entry = section and document.entry(section, self.option or "")
            at = entry or section
            if at is not None:
                placed = replace(self, file=at.file, line=at.line)
        source = sources.line(placed.file, placed.line)
        start, end = _marked(source, placed.option, _is_known(placed))
        return replace(placed, column=start, end=end)

    def shown(self, sources: Sources) -> str:
        """Severity, place and text; the line of the file with a mark; the way out."""
        place = "" if self.file is None else f"{self.file}:{self.line or ''}".rstrip(":")
        if self.section is not None and self.section not in self.text:
            place = f"{place} [{self.section}]".strip()
        lines = [f"{self.severity}: {place + ': ' if place else ''}{self.text}"]
        source, start, end = self._without_secret(sources.line(self.file, self.line))
        if source:
            lines += [f"    {source}", f"    {' ' * (start - 1)}{'^' * (end - start)}"]
        if self.hint is not None:
            lines.append(f"    fix: {self.hint}")
        return "\n".join(lines)

    def _without_secret(self, source: str) -> tuple[str, int, int]:
        """The line to show, and the columns to mark in it."""
        start, end = self.column, self.end
        if not start:
            return "", 0, 0
        key = _KEY_LINE.match(source)
        if self.option is None or key is None or not _names(key["key"], self.option):
            # A header, or the rest of a value from further up; what makes no sense is in the text.
            is_header = source.lstrip().startswith("[")
            shows = is_header if self.option is None else self.option not in SECRETS
            return (source, start, end) if shows else ("", 0, 0)
        value = key.start("value")
        if not _is_known(self):
            # Whose name is misspelled may be a password.
            return f"{source[:value]}{MASKED}", start, end
        if self.option in SECRETS:
            return f"{source[:value]}{MASKED}", value + 1, value + 1 + len(MASKED)
        return source, start, end


class Sources:
    """The lines of configuration files; each file is read once."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def line(self, file: str | None, number: int) -> str:
        """A line without its end; nothing where there is none."""
        if file is None:
            return ""
        if file not in self._lines:
            try:
                # Lines are those of the dialect, which str.splitlines() has more of (3).
                with open(file, encoding="utf-8") as text:
                    self._lines[file] = text.read().split("\n")
            except (OSError, UnicodeDecodeError):
                self._lines[file] = []
        lines = self._lines[file]
        return lines[number - 1].rstrip() if 0 < number <= len(lines) else ""


def _is_known(finding: Finding) -> bool:
    """Whether the option is one of its section; else its name is what is wrong."""
    table = TABLES.get(kind_of(finding.section or ""))
    return table is None or any(option.name == finding.option for option in table)


def _marked(source: str, option: str | None, known: bool) -> tuple[int, int]:
    """The columns of the offending text: the value, else the key, else all of the line."""
    if not source:
        return 0, 0
    key = _KEY_LINE.match(source)
    if option is None or key is None or not _names(key["key"], option):
        return len(source) - len(source.lstrip()) + 1, len(source) + 1
    if not known:
        return key.start("key") + 1, key.end("key") + 1
    start = key.start("value")
    end = max(start + 1, len(without_comment(source)))
    return start + 1, end + 1


def _names(written: str, option: str) -> bool:
    return written.strip("\"'").lower() == option
