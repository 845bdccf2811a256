"""Rendering of diagnostics for ``--check``: each with its place and the line of the file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.build import COMMAND_LINE
from trio_supervisor.core.config.ini import without_comment
from trio_supervisor.core.config.lint import kind_of
from trio_supervisor.core.config.options import ROWS, SECRETS
from trio_supervisor.core.config.secrets import MASK
from trio_supervisor.core.diagnostics import Severity
from trio_supervisor.runtime.system.opening import open_regular

if TYPE_CHECKING:
    from trio_supervisor.core.config.ini import Document
    from trio_supervisor.core.diagnostics import Diagnostic, Place

#: The severities that are printed, in text and in JSON; a check reports no other.
ERROR, WARNING = "error", "warning"
_KEY_LINE = re.compile(r"\s*(?P<key>[^=:]+?)\s*[=:]\s*(?P<value>.*?)\s*$")


def level(found: Diagnostic) -> str:
    """ERROR if the configuration cannot be used, else WARNING."""
    return ERROR if found.severity >= Severity.ERROR else WARNING


def as_json(found: Diagnostic) -> dict[str, object]:
    """The members that ``--check --json`` prints."""
    place = found.place
    return {
        "severity": level(found),
        "text": found.text,
        "file": place.file,
        "line": place.line,
        "section": place.section,
        "option": place.option,
        "hint": found.hint,
        "column": place.column,
        "end": place.end,
    }


def placed(found: Diagnostic, document: Document, sources: Sources) -> Diagnostic:
    """The same with columns, and with file and line of its option or section if it had none."""
    place = found.place
    if not place.line and place.file != COMMAND_LINE:
        section = document.sections.get(place.section or "")
        entry = section and document.entry(section, place.option or "")
        at = entry or section
        if at is not None:
            place = replace(place, file=at.file, line=at.line)
    source = sources.line(place.file, place.line)
    start, end = _marked(source, place.option, _is_known(place))
    return replace(found, place=replace(place, column=start, end=end))


def rendered(found: Diagnostic, sources: Sources) -> str:
    """Severity, place and text; the line of the file with a mark; how to fix it."""
    at = found.place
    place = "" if at.file is None else f"{at.file}:{at.line or ''}".rstrip(":")
    if at.section is not None and at.section not in found.text:
        place = f"{place} [{at.section}]".strip()
    lines = [f"{level(found)}: {place + ': ' if place else ''}{found.text}"]
    source, start, end = _without_secret(at, sources.line(at.file, at.line))
    if source:
        lines += [f"    {source}", f"    {' ' * (start - 1)}{'^' * (end - start)}"]
    if found.hint is not None:
        lines.append(f"    fix: {found.hint}")
    return "\n".join(lines)


def _without_secret(place: Place, source: str) -> tuple[str, int, int]:
    """The line to show, and the columns to mark in it."""
    start, end = place.column, place.end
    if not start:
        return "", 0, 0
    key = _KEY_LINE.match(source)
    if place.option is None or key is None or not _names(key["key"], place.option):
        # A header, or the rest of a value from further up; what makes no sense is in the text.
        is_header = source.lstrip().startswith("[")
        shows = is_header if place.option is None else place.option not in SECRETS
        return (source, start, end) if shows else ("", 0, 0)
    value = key.start("value")
    if not _is_known(place):
        # The value of a misspelled option may be a password.
        return f"{source[:value]}{MASK}", start, end
    if place.option in SECRETS:
        return f"{source[:value]}{MASK}", value + 1, value + 1 + len(MASK)
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
                # A pipe has been read already: a second reading would wait for another writer.
                with open(open_regular(file), encoding="utf-8") as text:
                    # str.splitlines() also splits at characters that end no line of these files.
                    self._lines[file] = text.read().split("\n")
            except (OSError, UnicodeDecodeError):
                self._lines[file] = []
        lines = self._lines[file]
        return lines[number - 1].rstrip() if 0 < number <= len(lines) else ""


def _is_known(place: Place) -> bool:
    """Whether the option is one of its section; else its name is what is wrong."""
    rows = ROWS.get(kind_of(place.section or ""))
    return rows is None or place.option in rows


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
