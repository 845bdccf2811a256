"""``[program-default]``: values that programs have unless they write their own.

Each value is text that stands in the section of every program, with the place where it was written;
so it is expanded for each program and each process. ``environment`` alone is merged key by key
(see ``programs.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.ini import Document, Entry, Grammar, Section
from trio_supervisor.core.config.options import (
    NO_DEFAULT,
    NO_DEFAULT_HINT,
    NOT_DEFAULTS,
    PROGRAM_DEFAULT,
    ROWS,
    WITH_DEFAULTS,
)
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = "environment"


def without_unread_defaults(document: Document) -> Document:
    """The document without defaults that INI files may not have; a remark tells it.

    TOML files may always have them.
    """
    section = document.sections.get(PROGRAM_DEFAULT)
    if section is None or document.extended:
        return document
    read = {key: entry for key, entry in section.entries.items() if entry.grammar is Grammar.DOLLAR}
    if len(read) < len(section.entries) or not read:
        text = (
            f"[{PROGRAM_DEFAULT}] has no effect without extended = true in [supervisord] of the "
            "main file"
        )
        hint = "write that line there, or keep the section for the program that reads it"
        place = Place(section.file, section.line, section.name)
        remark = Diagnostic(Severity.WARN, text, place, hint)
        document = replace(document, remarks=[*document.remarks, remark])
    sections = {**document.sections, PROGRAM_DEFAULT: replace(section, entries=read)}
    if not read:
        del sections[PROGRAM_DEFAULT]
    return replace(document, sections=sections)


def with_defaults(document: Document) -> Document:
    """The document in which each program has the defaults that it does not write itself."""
    defaults = document.sections.get(PROGRAM_DEFAULT)
    if defaults is None:
        return document
    given = {
        key: replace(entry, is_default=True)
        for key, entry in defaults.entries.items()
        if key in ROWS[PROGRAM_DEFAULT] and key != ENVIRONMENT
    }
    sections = {
        name: _with_entries(section, given) if name.partition(":")[0] in WITH_DEFAULTS else section
        for name, section in document.sections.items()
    }
    return replace(document, sections=sections)


def _with_entries(section: Section, given: dict[str, Entry]) -> Section:
    return replace(section, entries={**given, **section.entries})


def mistakes(document: Document) -> Iterator[ConfigError]:
    """Yield an error for each option that cannot be a default."""
    defaults = document.sections.get(PROGRAM_DEFAULT)
    if defaults is None:
        return
    for key, entry in defaults.entries.items():
        if key in NOT_DEFAULTS:
            yield ConfigError(
                f"{key} {NO_DEFAULT}",
                section=PROGRAM_DEFAULT,
                option=key,
                file=entry.file,
                line=entry.line or None,
                hint=NO_DEFAULT_HINT,
            )
