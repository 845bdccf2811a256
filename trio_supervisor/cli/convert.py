"""``tsupervisord --convert``: an INI configuration as TOML, on standard output."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import tomli_w

from trio_supervisor.core.build import examine
from trio_supervisor.core.config import Config
from trio_supervisor.core.convert import to_tables
from trio_supervisor.core.environment import parse_environment
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.ini import Document
from trio_supervisor.core.toml import read_toml
from trio_supervisor.runtime.load import find_config, is_toml, read_document, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.surroundings import Surroundings

#: The converted text does not mean the same; it is printed all the same, with comments.
EXIT_DIFFERENT = 1
#: Stands for a variable that is not set where the file is converted: a text and a number.
STAND_IN = "1"
#: Number of a user or group that does not exist here; it is of no use for anything but comparing.
UNKNOWN = 2**31 - 2
#: What cannot stand in a comment, and what ends it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"%\(ENV_(\w+)\)")


def convert(configuration: str | None, program: str) -> int:
    """Print the file and its includes as one TOML document; returns the exit code.

    The result is read again and compared: a difference is told on standard error. Raises
    ConfigError.
    """
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    if is_toml(path):
        raise ConfigError(f"{path} is TOML already")
    around = anywhere(surroundings(origin))
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, around, here)
    unset = unset_variables(document, around)
    if unset:
        stand_in = dict.fromkeys(unset, STAND_IN)
        around = replace(around, environ={**stand_in, **around.environ})
        names = ", ".join(unset)
        print(f"not set here, compared as if it were {STAND_IN}: {names}", file=sys.stderr)
    original = examine(document, around, overrides={}, here=here)
    for error in original.errors:
        if not _is_of_stand_in(error, document, unset):
            raise error
    text, lost = toml_text(document, here)
    again = Document()
    read_toml(text, file="converted", here=here, into=again)
    converted = examine(again, around, overrides={}, here=here)
    sys.stdout.write(text)
    for line in lost:
        print(f"not converted: {line}", file=sys.stderr)
    different = differences(original.partial, converted.partial)
    # What the stand-in makes no sense for is wrong in both, in the same places.
    wrong = [[(e.section, e.option) for e in each.errors] for each in (original, converted)]
    if wrong[0] != wrong[1]:
        different.append("what uses the variables")
    for name in different:
        print(f"{name} does not mean the same: compare the two files there", file=sys.stderr)
    return EXIT_DIFFERENT if different else 0


def anywhere(around: Surroundings) -> Surroundings:
    """The same where every directory and user exists: a file may be converted elsewhere."""

    def known(find: Callable[[str], int]) -> Callable[[str], int]:
        def found(name: str) -> int:
            try:
                return find(name)
            except LookupError:
                return UNKNOWN

        return found

    return replace(
        around,
        is_dir=lambda path: True,
        user_id=known(around.user_id),
        group_id=known(around.group_id),
    )


def _is_of_stand_in(error: ConfigError, document: Document, unset: list[str]) -> bool:
    section = document.sections.get(error.section or "")
    entry = None if section is None else document.entry(section, error.option or "")
    used = [] if entry is None else _VARIABLE.findall(entry.value)
    return any(name in unset for name in used)


def unset_variables(document: Document, around: Surroundings) -> list[str]:
    """Environment variables that values use and that nothing sets, in order of first use."""
    entries = [e for section in document.sections.values() for e in section.entries.values()]
    used = dict.fromkeys(name for entry in entries for name in _VARIABLE.findall(entry.value))
    given = set(around.environ)
    for section in document.sections.values():
        environment = section.entries.get("environment")
        if environment is not None:
            with contextlib.suppress(ValueError):  # its names come out of a variable
                given |= parse_environment(environment.value).keys()
    return [name for name in used if name not in given]


def toml_text(document: Document, here: str) -> tuple[str, list[str]]:
    """The text of a file in ``here``, with comments about what has no counterpart; those alone."""
    tables, lost = to_tables(document, here)
    comments = "".join(f"# not converted: {_CONTROL.sub(' ', line)}\n" for line in lost)
    return comments + tomli_w.dumps(tables, multiline_strings=False), lost


def differences(original: Config, converted: Config) -> list[str]:
    """The parts of two configurations that are not equal, by name."""
    original, converted = meaning(original), meaning(converted)
    names = [
        name
        for name in ("daemon", "servers", "rpcinterfaces")
        if getattr(original, name) != getattr(converted, name)
    ]
    ours = {group.name: group for group in converted.groups}
    names += [f"group {group.name}" for group in original.groups if ours.get(group.name) != group]
    return names


def meaning(config: Config) -> Config:
    """A configuration without what only tells where it came from."""
    servers = tuple(replace(server, section="") for server in config.servers)
    return replace(config, messages=(), path=None, servers=servers)
