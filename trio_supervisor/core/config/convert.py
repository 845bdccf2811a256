"""INI to TOML: a document as nested tables that mean the same.

``%(name)02d`` becomes ``${name:02d}``; values get native types where the option has one. What has
no counterpart is reported, never dropped silently.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.environment import parse_environment
from trio_supervisor.core.config.extended import is_read
from trio_supervisor.core.config.ini import DEFAULT, Document, Entry, Section
from trio_supervisor.core.config.lint import kind_of
from trio_supervisor.core.config.options import (
    MAIN_FACTORY,
    PROGRAM_DEFAULT,
    ROWS,
    RPCINTERFACE,
    TABLES,
    WITH_DEFAULTS,
)
from trio_supervisor.core.config.toml import DEFAULTS, FREE, NAMED, OTHER, SERVERS, WITHOUT_OTHER
from trio_supervisor.core.config.unknown_keys import mistaken
from trio_supervisor.core.config.value_types import ENVIRONMENT

if TYPE_CHECKING:
    from trio_supervisor.core.config.options import Option

#: A conversion of the printf kind, or an escaped percent sign.
_CONVERSION = re.compile(
    r"%(?:(%)|\((?P<name>\w+)\)(?P<flags>[-+ #0]*)(?P<width>\d*)(?P<precision>\.\d+)?"
    r"[hlL]?(?P<type>[sdiuoxXeEfFgGc]))"
)
#: The directory of the file itself.
HERE = "${here}"
#: Sections that the client reads, from the main file only.
READ_BY_CLIENT = ("supervisorctl", "ctlplugin")
FACTORY = RPCINTERFACE[0].name


class NotConvertible(Exception):
    """A value has no counterpart in TOML; the text says why."""


def to_tables(
    document: Document, here: str, *, extended: bool
) -> tuple[dict[str, object], list[str]]:
    """The document as nested tables of a file in ``here``, and what was lost.

    If not ``extended``, options that the INI form does not read are kept for other programs.
    """
    tables: dict[str, object] = {}
    lost: list[str] = []
    main = next((section.file for section in document.sections.values()), "")
    for section in document.sections.values():
        kind = kind_of(section.name)
        if section.name in (DEFAULT, "include"):
            continue
        if kind in READ_BY_CLIENT:
            section = _of_file(section, main, lost)
        own = section.name.removeprefix(kind).removeprefix(":")
        place: dict[str, object] | None = None
        if kind in NAMED and own:
            place = _inner(tables, kind, own.strip())
        elif kind in SERVERS and own:
            place = _inner(tables, kind, own)
        elif section.name == kind and kind in TABLES and kind not in NAMED:
            # Of servers the order counts: behind a named one this one has the empty name.
            place = _inner(tables, kind, "" if kind in tables else None)
        elif section.name == PROGRAM_DEFAULT and extended:
            place = _inner(tables, DEFAULTS, "program")
        if place is None:
            lost.append(f"[{section.name}] is ignored by the INI form too")
        else:
            _options(document, section, kind, place, lost, here, extended=extended)
    return tables, lost


def _of_file(section: Section, file: str, lost: list[str]) -> Section:
    """The section with the entries of one file; the client follows no ``[include]``."""
    for key, entry in section.entries.items():
        if entry.file != file:
            lost.append(
                f"[{section.name}] {key} of {entry.file}: the client reads no included file"
            )
    entries = {key: entry for key, entry in section.entries.items() if entry.file == file}
    return replace(section, entries=entries)


def _inner(tables: dict[str, object], kind: str, name: str | None) -> dict[str, object]:
    outer = tables.setdefault(kind, {})
    assert isinstance(outer, dict)
    inner = outer if name is None else outer.setdefault(name, {})
    assert isinstance(inner, dict)
    return inner


def _options(
    document: Document,
    section: Section,
    kind: str,
    place: dict[str, object],
    lost: list[str],
    here: str,
    *,
    extended: bool,
) -> None:
    legal = ROWS.get(kind, {})
    known = kind not in FREE
    entries = {**_inherited(document, section, kind, extended=extended), **section.entries}
    for key, entry in entries.items():
        if known and (key not in legal or not is_read(kind, key, entry, extended=extended)):
            if key in section.entries:
                _foreign(section, kind, key, place, lost)
            continue
        own = _directory(entry.here, here)
        try:
            place[key] = (
                _native(legal[key], entry.value, own) if known else translate(entry.value, own)
            )
        except NotConvertible as error:
            lost.append(f"[{section.name}] {key}: {error}")


def _foreign(
    section: Section, kind: str, key: str, place: dict[str, object], lost: list[str]
) -> None:
    """Keep a key that the daemon does not know where another program may look for it."""
    is_mistake = key not in ROWS.get(kind, {}) and mistaken(kind, key) is not None
    if is_mistake or kind in WITHOUT_OTHER:
        lost.append(f"[{section.name}] {key} is ignored by the INI form too")
        return
    others = place.setdefault(OTHER, {})
    assert isinstance(others, dict)
    others[key] = section.entries[key].value


def _inherited(
    document: Document, section: Section, kind: str, *, extended: bool
) -> dict[str, Entry]:
    """What the section has from ``[DEFAULT]``, which TOML lacks."""
    default = document.sections.get(DEFAULT)
    if default is None or kind in ("ctlplugin", PROGRAM_DEFAULT):
        return {}
    stronger = document.sections.get(PROGRAM_DEFAULT) if kind in WITH_DEFAULTS else None
    if extended and stronger is not None:
        return {k: entry for k, entry in default.entries.items() if k not in stronger.entries}
    if kind == "rpcinterface":
        factory = document.entry(section, FACTORY)
        if factory is None or factory.value == MAIN_FACTORY:  # it gets no other inherited option
            return {key: entry for key, entry in default.entries.items() if key == FACTORY}
    return default.entries


def _directory(of_entry: str, here: str) -> str:
    """How the file in ``here`` writes the directory of an included one."""
    if of_entry == here:
        return HERE
    below = of_entry.removeprefix(here.rstrip("/") + "/")
    literal = below.replace("$", "$$")
    return literal if below == of_entry else f"{HERE}/{literal}"


def _native(option: Option, text: str, here: str) -> object:
    if option.type is ENVIRONMENT:
        return _environment(text, here, twice=option.expanded_twice)
    translated = translate(text, here, twice=option.expanded_twice)
    return translated if "$" in translated else option.type.native(translated)


def _environment(text: str, here: str, *, twice: bool) -> dict[str, str]:
    """The pairs of a text that is divided into pairs after it has been expanded.

    A mark stands for each expansion while the text is divided. It is a word, as the value of an
    expansion mostly is.
    """
    parts = _all_parts(text, twice=twice)
    mark = "expansion"
    while mark in text:
        mark += "x"
    marks = {f"{mark}{number}z": part for number, part in enumerate(parts) if part[0]}
    names = iter(marks)
    marked = "".join(next(names) if is_name else literal for is_name, literal in parts)
    try:
        pairs = parse_environment(marked)
    except ValueError:
        raise NotConvertible("its pairs come out of a variable") from None
    if any(mark in name for name in pairs):
        raise NotConvertible("the name of a variable comes out of another one")
    split = re.compile(f"({mark}[0-9]+z)")
    return {
        name: _written([marks.get(part, (False, part)) for part in split.split(value)], here)
        for name, value in pairs.items()
    }


def translate(text: str, here: str = HERE, *, twice: bool = False) -> str:
    """A value of the INI form in the grammar of the TOML form. Raises NotConvertible.

    ``here`` stands for the directory of the value's file.
    """
    return _written(_all_parts(text, twice=twice), here)


def _all_parts(text: str, *, twice: bool) -> list[tuple[bool, str]]:
    """What ``_parts`` gives, of a text that is expanded twice where it says so."""
    parts = _parts(text)
    if twice:
        # If the second pass fails, Supervisor uses the result of the first.
        with contextlib.suppress(NotConvertible):
            again = (_parts(part) if not is_name else [(True, part)] for is_name, part in parts)
            parts = [part for more in again for part in more]
    return parts


def _written(parts: Iterable[tuple[bool, str]], here: str) -> str:
    """Expansions and literal text in the grammar of the TOML form."""
    return "".join(
        (here if part == HERE else part) if is_name else part.replace("$", "$$")
        for is_name, part in parts
    )


def _parts(text: str) -> list[tuple[bool, str]]:
    """Expansions, already translated, and the literal text between them."""
    parts: list[tuple[bool, str]] = []
    literal = ""
    position = 0
    while (percent := text.find("%", position)) >= 0:
        match = _CONVERSION.match(text, percent)
        if match is None:
            what = text[percent : percent + 12]
            raise NotConvertible(f"{what!r} is no expansion that TOML knows")
        literal += text[position:percent]
        if match[1]:
            literal += "%"
        else:
            parts += [(False, literal), (True, _expansion(match))]
            literal = ""
        position = match.end()
    return [*parts, (False, literal + text[position:])]


def _expansion(match: re.Match[str]) -> str:
    flags, width, kind = match["flags"], match["width"], match["type"]
    spec = ""
    if kind == "s":
        if width:
            spec = ("<" if "-" in flags else ">") + width
        if match["precision"]:
            raise NotConvertible(f"{match[0]} cuts its value")
    else:
        number = "d" if kind in "iu" else kind
        sign = "+" if "+" in flags else " " if " " in flags else ""
        zero = "0" if "0" in flags and "-" not in flags else ""
        spec = ("<" if "-" in flags and width else "") + sign
        spec += ("#" if "#" in flags else "") + zero + width + (match["precision"] or "")
        if match["precision"] and number in "doxX":
            raise NotConvertible(f"{match[0]} has a precision for a whole number")
        spec = spec + number if spec or number != "d" else ""
    return f"${{{match['name']}{':' + spec if spec else ''}}}"
