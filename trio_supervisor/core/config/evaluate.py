"""Evaluates single options: the text of the file or the default, expanded and converted.

The one place that turns an error in a value into a ConfigError with its place.
"""

from __future__ import annotations

import shlex
from collections import ChainMap
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from trio_supervisor.core.config.ini import Grammar
from trio_supervisor.core.config.interpolation_ini import UnknownName, expand
from trio_supervisor.core.config.interpolation_toml import expand_dollars, without_expansions
from trio_supervisor.core.config.options import SECRETS
from trio_supervisor.core.config.secrets import MASK, as_written
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import ConfigError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.config.context import EvalContext
    from trio_supervisor.core.config.ini import Document, Entry, Section
    from trio_supervisor.core.config.options import Option

    Names = ChainMap[str, str | int]


T = TypeVar("T")

#: Characters of a message; a value that is quoted in it may be megabytes long.
LONGEST_MESSAGE = 1000


class Diagnostics:
    """Errors of a configuration in order of evaluation, each once."""

    def __init__(self) -> None:
        self._errors: dict[str, ConfigError] = {}

    @property
    def errors(self) -> list[ConfigError]:
        return list(self._errors.values())

    def add(self, error: ConfigError) -> None:
        self._errors.setdefault(str(error), error)  # all processes of a section meet the same one


@dataclass(frozen=True, slots=True)
class SectionReader:
    """One section, the options of its kind, and the names its values may use.

    An error is added to ``diagnostics`` and the default used in place of the value, so that one
    reading finds all errors. ConfigError is raised only where there is no default.
    """

    document: Document
    section: Section
    options: Mapping[str, Option]
    names: Names
    """From the innermost: own variables, number and program, then what all sections share."""
    context: EvalContext
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    defaults: dict[str, object] = field(default_factory=dict)
    """Converted defaults without expansions, which all sections of this kind share."""

    def with_names(
        self, names: Mapping[str, str | int], diagnostics: Diagnostics | None = None
    ) -> SectionReader:
        """The same reader with more names, which may add its errors to other diagnostics."""
        # Every section needs several of these, and ``dataclasses.replace`` is three times slower.
        return SectionReader(
            self.document,
            self.section,
            self.options,
            ChainMap({**names}, *self.names.maps),
            self.context,
            self.diagnostics if diagnostics is None else diagnostics,
            self.defaults,
        )

    def take(self, name: str, kind: type[T]) -> T:
        """The value of an option that has a default or is known to be written."""
        value = self.value(name)
        if value is None and self.diagnostics.errors:
            raise self.diagnostics.errors[-1]  # the option itself was wrong and has no default
        if not isinstance(value, kind):
            raise InternalError(f"option {name} is {value!r}, not {kind.__name__}")
        return value

    def find(self, name: str, kind: type[T]) -> T | None:
        """The value of an option, or None if it is not set."""
        value = self.value(name)
        return None if value is None else self.take(name, kind)

    def has(self, name: str) -> bool:
        """Whether the option is written in the section or in ``[DEFAULT]``."""
        return self.document.entry(self.section, name) is not None

    def raw(self, name: str) -> str | None:
        """The text as written, or the default's."""
        entry = self.document.entry(self.section, name)
        return self.options[name].default if entry is None else entry.value

    def text(self, name: str) -> str | None:
        """The expanded text; None if the option is not set and has no default."""
        entry = self.document.entry(self.section, name)
        value = self.options[name].default if entry is None else entry.value
        if value is None:
            return None
        if entry is None:
            return expand(value, self.names)
        if entry.words is not None:  # each word stays one, whatever comes out of its expansions
            expanded = (self._expanded(name, word, entry) for word in entry.words)
            return shlex.join(word or "" for word in expanded)
        return self._expanded(name, value, entry)

    def table(self, name: str) -> dict[str, str] | None:
        """The expanded values of an option written as a table; None if it is not."""
        entry = self.document.entry(self.section, name)
        if entry is None or entry.table is None:
            return None
        expanded = {k: self._expanded(name, v, entry) for k, v in entry.table.items()}
        return {key: value or "" for key, value in expanded.items()}

    def spelled(self, texts: Mapping[Grammar, str]) -> str:
        """Pick the text that is written in the grammar of this section's file."""
        entries = self.section.entries.values()
        dollars = any(entry.grammar is Grammar.DOLLAR for entry in entries)
        return texts[Grammar.DOLLAR if dollars else Grammar.PERCENT]

    def has_process_number(self, name: str) -> bool:
        """Whether the text as written uses ``process_num``."""
        entry = self.document.entry(self.section, name)
        dollars = entry is not None and entry.grammar is Grammar.DOLLAR
        return ("${process_num" if dollars else "%(process_num)") in (self.raw(name) or "")

    def literal(self, name: str) -> str:
        """The literal part of the text, where its grammar can tell it from expansions."""
        entry = self.document.entry(self.section, name)
        text = self.raw(name) or ""
        dollars = entry is not None and entry.grammar is Grammar.DOLLAR
        # If all of it is an expansion, "x" stands for a text that is not empty.
        return without_expansions(text) or "x" if dollars and text else text

    def _expanded(self, name: str, value: str, entry: Entry) -> str | None:
        if entry.grammar is Grammar.PERCENT and "%" not in value:
            return value
        here: dict[str, str | int] = {"here": entry.here}
        names = ChainMap(here, *self.names.maps)
        try:
            if entry.grammar is Grammar.DOLLAR:
                return expand_dollars(value, names)
            once = expand(value, names)
        except ValueError as error:
            shown, why = repr(value), error.args[0]
            if name in SECRETS:
                # The name of a variable is no secret, a piece of the value is.
                named = name == "environment" and isinstance(error, UnknownName)
                shown, why = MASK, why if named else "cannot be expanded"
            what = f"Format string {shown} for '{self.section.name}.{name}' {why}"
            problem = self.error(what, name, *error.args[1:])
            problem.unknown_name = error.name if isinstance(error, UnknownName) else None
            self.diagnostics.add(problem)
            return self._default(name)
        if not self.options[name].expanded_twice:
            return once
        try:
            return expand(once, names)
        except ValueError:  # the result of the first pass stands, as in Supervisor
            return once

    def is_extended(self, name: str) -> bool:
        """Whether the option may be written in forms that Supervisor does not have."""
        entry = self.document.entry(self.section, name)
        return entry is not None and (self.document.extended or entry.grammar is Grammar.DOLLAR)

    def value(self, name: str) -> object:
        """The converted value; None if the option is not set and has no default."""
        option = self.options[name]
        if "%" in (option.default or "") or self.has(name):
            return self.converted(name, option.type.convert)
        if name not in self.defaults:
            self.defaults[name] = self.converted(name, option.type.convert)
        return self.defaults[name]

    def converted(self, name: str, convert: Callable[[str, EvalContext], object]) -> object:
        """Like ``value``, with another converter than that of the option's type."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return convert(text, self.context)
        except ValueError as error:
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
            hint = error.args[1:] if not quoted else ["leave the quotes out"]
            self.diagnostics.add(self.error(str(error.args[0]), name, *hint))
        default = self._default(name)
        return None if default is None else convert(default, self.context)

    def _as_written(self, text: str, entry: Entry) -> str:
        written = entry.value if entry.words is None else " ".join(entry.words)
        return as_written(text, written, lambda name: str(self.names.get(f"ENV_{name}", "")))

    def _default(self, name: str) -> str | None:
        default = self.options[name].default
        return None if default is None else expand(default, self.names)

    def add_error(self, message: str, name: str | None = None, hint: str | None = None) -> None:
        """Add an error to ``diagnostics``; the caller goes on with a value that makes sense."""
        self.diagnostics.add(self.error(message, name, hint))

    def error(self, message: str, name: str | None = None, hint: str | None = None) -> ConfigError:
        """An error of this section, with the place of the option if it is written there."""
        entry = None if name is None else self.document.entry(self.section, name)
        if entry is not None:
            message = self._as_written(message, entry)
            hint = None if hint is None else self._as_written(hint, entry)
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}..."
        return ConfigError(
            message,
            section=self.section.name,
            option=name,
            file=self.section.file if entry is None else entry.file,
            line=None if entry is None else entry.line or None,
            hint=hint,
        )


def variables(environment: Mapping[str, str]) -> dict[str, str | int]:
    """The names under which values may use environment variables."""
    return {f"ENV_{name}": value for name, value in environment.items()}
