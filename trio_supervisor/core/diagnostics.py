"""What is wrong or odd with a configuration, as a value: severity, text, place, and how to fix it.

Reading collects diagnostics, the activity log renders one line of each, ``--check`` shows them
with their line of the file. ``ConfigError`` is the exception that carries one.
"""

from __future__ import annotations

import enum

from trio_supervisor.core.dataclass import dataclass


class Severity(enum.IntEnum):
    """Levels of the activity log; larger is worse."""

    CRITICAL = 50
    ERROR = 40
    WARN = 30
    INFO = 20
    DEBUG = 10
    TRACE = 5
    BLATHER = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Place in a configuration. Lines and columns count from 1; 0 means unknown."""

    file: str | None = None
    line: int = 0
    section: str | None = None
    option: str | None = None
    column: int = 0
    """Where the offending text begins."""
    end: int = 0
    """The column behind its end."""


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Finding about a configuration. ``str()`` is one line for the activity log."""

    severity: Severity
    text: str
    place: Place = NOWHERE
    hint: str | None = None
    """How to fix it; None where the text says enough."""

    def __str__(self) -> str:
        line = self.text if self.hint is None else f"{self.text} ({self.hint})"
        place = self.place
        if place.file is None:
            return line
        section = "" if place.section is None else f", [{place.section}]"
        return f"{place.file}, line {place.line}{section}: {line}"
