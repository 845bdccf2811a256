"""Reads a configuration that is written as TOML.

Tables and options have the names of the INI form and native types. They are turned into the same
``Document``, so that one builder gives both forms their meaning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import list_of_mapping
from trio_supervisor.core.config.ini import Document, Entry, Grammar, Section
from trio_supervisor.core.config.options import (
    NO_DEFAULT,
    NO_DEFAULT_HINT,
    NOT_DEFAULTS,
    PROGRAM_DEFAULT,
    ROWS,
)
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.config.unknown_keys import mistaken
from trio_supervisor.core.config.value_types import (
    COMMAND,
    DEPENDENCIES,
    ENVIRONMENT,
    OCTAL,
    STRING,
)
from trio_supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.value_types import ValueType

#: Tables that hold one section each.
SINGLE = ("supervisord", "supervisorctl")
#: Table of what several sections have unless they write another value.
DEFAULTS = "defaults"
#: Tables that may be one section, or hold several by name.
SERVERS = ("unix_http_server", "inet_http_server")
#: Tables whose members are sections by name.
NAMED = ("rpcinterface", "program", "fcgi-program", "eventlistener", "group", "ctlplugin")
#: Of these any key is legal.
FREE = ("rpcinterface", "ctlplugin")
#: A table in a section whose keys are for other programs that read the file.
OTHER = "other"
FOREIGN = "correct its name, or put it into the table 'other' if it is for another program"
#: Sections that cannot have it: any key is theirs, or it would be the name of a server.
WITHOUT_OTHER = (*FREE, *SERVERS)
#: Names, for messages, of TOML types that no option takes.
_NAMES_OF_TYPES: dict[type, str] = {dict: "table", float: "number with a fraction"}

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")
_LINE = re.compile(r"at line (\d+)")


def read_toml(
    text: str, *, file: str, here: str, into: Document, included: bool = False
) -> list[str]:
    """Add a file to a document; returns the globs of its ``include``. Raises nothing.

    Errors are added to the document's. An ``included`` file cannot include others: the INI form
    ignores its ``[include]``, here it is an error, like all that has no effect.
    """
    import tomllib  # most configurations are INI files

    try:
        data = tomllib.loads(text)
    except RecursionError:
        into.errors.append(_unreadable("arrays or tables are nested too deeply", file))
        return []
    except tomllib.TOMLDecodeError as error:
        into.errors.append(_unreadable(str(error), file))
        return []
    except ValueError:  # from int()
        into.errors.append(_unreadable("a number has too many digits", file))
        return []
    reader = _TomlReader(text, file, here, into)
    patterns = reader.read(data)
    if included and "include" in data:
        reader.refuse_include()
        return []
    return patterns


def _unreadable(why: str, file: str) -> ConfigError:
    """An error of the syntax; tomllib gives the line only in its text."""
    line = _LINE.search(why)
    number = None if line is None else int(line[1])
    hint = "the file is read as TOML, which https://toml.io describes"
    return ConfigError(f"File contains parsing errors: {why}", file=file, line=number, hint=hint)


class _TomlReader:
    def __init__(self, text: str, file: str, here: str, document: Document) -> None:
        self._file = file
        self._here = here
        self._document = document
        self._lines = _lines(text)

    def read(self, data: Mapping[str, object]) -> list[str]:
        include: list[str] = []
        for name, value in data.items():
            if name == "include":
                include = self._include(value)
            elif name == DEFAULTS:
                self._defaults(self._table(value, name))
            elif name in SINGLE:
                self._section(name, name, self._table(value, name))
            elif name in SERVERS:
                self._servers(name, self._table(value, name))
            elif name in NAMED:
                for own, table in self._table(value, name).items():
                    self._section(name, f"{name}:{own}", self._table(table, f"{name}.{own}"))
            else:
                meant = suggestion(name, ["include", DEFAULTS, *SINGLE, *SERVERS, *NAMED])
                known = f"did you mean [{meant}]?" if meant else "remove it, or correct its name"
                self._error(f"unknown table [{name}]", name, None, known)
        return include

    def _defaults(self, table: Mapping[str, object]) -> None:
        for kind, value in table.items():
            if kind == "program":
                name = f"{DEFAULTS}.{kind}"
                self._section(PROGRAM_DEFAULT, PROGRAM_DEFAULT, self._table(value, name), name)
            else:
                hint = f"write [{DEFAULTS}.program]"
                self._error(f"there are no defaults of {kind}", f"{DEFAULTS}.{kind}", None, hint)

    def refuse_include(self) -> None:
        """Add the error that an included file cannot include others."""
        hint = "name its files in the main file"
        self._error("an included file cannot include others", "", "include", hint)

    def _servers(self, kind: str, table: Mapping[str, object]) -> None:
        own = {key: value for key, value in table.items() if not isinstance(value, dict)}
        if own:
            self._section(kind, kind, own)
        for name, value in table.items():
            if isinstance(value, dict):
                self._section(kind, f"{kind}:{name}" if name else kind, value)

    def _section(
        self, kind: str, name: str, table: Mapping[str, object], written: str | None = None
    ) -> None:
        """``written`` is the name of the table; None: the section's, with a dot for the colon."""
        if written is not None:  # errors and entries find their lines by the section's name
            lines = self._lines.items()
            self._lines.update({(name, key): at for (of, key), at in [*lines] if of == written})
        line = self._lines.get((name.replace(":", ".", 1), ""), 0)
        section = self._document.sections.setdefault(name, Section(name, self._file, line))
        rows = ROWS.get(kind, {})
        for key, value in table.items():
            if key == OTHER and kind not in WITHOUT_OTHER and isinstance(value, dict):
                continue
            if kind in FREE or key in rows:
                wrong = len(self._document.errors)
                entry = self._entry(name, key, value, STRING if kind in FREE else rows[key].type)
                if len(self._document.errors) == wrong:
                    section.entries[key] = entry
            elif kind == PROGRAM_DEFAULT and key in NOT_DEFAULTS:
                self._error(f"{key} {NO_DEFAULT}", name, key, NO_DEFAULT_HINT)
            else:
                known = mistaken(kind, key)
                advice = FOREIGN if known is None else known[1]
                self._error(f"unknown option {key!r}", name, key, advice)

    def _entry(self, section: str, key: str, value: object, type: ValueType) -> Entry:
        line = self._lines.get((section.replace(":", ".", 1), key), 0)
        entry = Entry("", self._file, line, self._here, Grammar.DOLLAR)
        if type is ENVIRONMENT and isinstance(value, dict):
            entry.table = {name: self._text(section, key, item) for name, item in value.items()}
        elif type is DEPENDENCIES and isinstance(value, dict):
            entry.value = self._dependencies(section, key, value)
        elif isinstance(value, list):
            words = [self._item(section, key, item, type) for item in value]
            if type is COMMAND:
                entry.words = words
            elif type.is_list:
                entry.value = ",".join(words)
            else:
                self._error(f"{key} cannot be a list", section, key, "give a single value")
        elif type is OCTAL and isinstance(value, int):
            # 0o22 and 18 are the same to TOML, and 22 is meant as 0o22: no number is safe.
            self._error(
                f"{key} cannot be a number", section, key, f'write its octal digits: {key} = "022"'
            )
        else:
            entry.value = self._item(section, key, value, type)
        return entry

    def _dependencies(self, section: str, key: str, table: dict[str, object]) -> str:
        try:
            return list_of_mapping(table)
        except ValueError as error:
            self._error(error.args[0], section, key, error.args[1])
            return ""

    def _item(self, section: str, key: str, value: object, type: ValueType) -> str:
        if isinstance(value, float) and "number" in type.forms:
            return f"{value:f}"  # never with an exponent, which durations do not have
        return self._text(section, key, value)

    def _text(self, section: str, key: str, value: object) -> str:
        """The value as the INI form has it; empty if there is none such."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            try:
                return str(value)
            except ValueError:  # a hexadecimal number beyond the digits that str() writes
                self._error(f"{key} has too many digits", section, key, "give a smaller number")
                return ""
        what = _NAMES_OF_TYPES.get(type(value), type(value).__name__)
        self._error(f"{key} cannot be a {what}", section, key, "give a text or a whole number")
        return ""

    def _table(self, value: object, name: str) -> Mapping[str, object]:
        if isinstance(value, dict):
            return value
        self._error(f"{name} must be a table", name, None, f"write [{name}]")
        return {}

    def _include(self, value: object) -> list[str]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [str(item) for item in value]
        hint = 'write include = ["conf.d/*.toml"]'
        self._error("include must be a list of texts", "", "include", hint)
        return []

    def _error(self, message: str, section: str, key: str | None, hint: str) -> None:
        line = self._lines.get((section.replace(":", ".", 1), key or ""))
        self._document.errors.append(
            ConfigError(
                message, section=section or None, option=key, file=self._file, line=line, hint=hint
            )
        )


def _lines(text: str) -> dict[tuple[str, str], int]:
    """The line of each table and key as people write them, for errors only."""
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header is not None:
            table = header[1].replace('"', "").replace("'", "").strip()
            lines.setdefault((table, ""), number)
            lines.setdefault((table.partition(".")[0], ""), number)
        key = _KEY.match(line)
        if key is not None:
            lines.setdefault((table, key[1].strip("\"'")), number)
    return lines
