"""``tsupervisord --convert``: an INI configuration, or a Procfile, as TOML on standard output."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from trio_supervisor.core.config.build import examine, include_patterns, reads_extended
from trio_supervisor.core.config.convert import NotConvertible, to_tables, translate
from trio_supervisor.core.config.ini import Document, Section
from trio_supervisor.core.config.model import Config
from trio_supervisor.core.config.procfile import procfile_tables
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.load import (
    eval_context,
    find_config,
    included_paths,
    is_readable,
    is_toml,
    read_alone,
    read_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.core.config.context import EvalContext

#: Exit code if the converted text does not mean the same; it is printed nevertheless.
EXIT_DIFFERENT = 1
#: Beginning of the names of Procfiles (``Procfile.dev``), and the file of variables beside them.
PROCFILE = "Procfile"
VARIABLES = ".env"
#: Stands for a variable that is not set where the file is converted: a text and a number.
STAND_IN = "1"
#: Number of a user or group that does not exist here; it is of no use for anything but comparing.
UNKNOWN = 2**31 - 2
#: What cannot stand in a comment, and what ends it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"%\(ENV_(\w+)\)")


def convert(configuration: str | None, program: str, *, keep_includes: bool = False) -> int:
    """Print the file as TOML; returns the exit code.

    The files that it includes become a part of the result. With ``keep_includes`` the result
    includes TOML files in their places, which are converted one by one. The result is read again
    and compared: differences and losses are reported on standard error.
    Raises ConfigError.
    """
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    if os.path.basename(path).startswith(PROCFILE):
        return _convert_procfile(path)
    if is_toml(path):
        raise ConfigError(f"{path} is TOML already")
    context = anywhere(eval_context(origin))
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, context, here)
    whole = _whole(document, path)
    unset = unset_variables(whole, context, here)
    stand_in = dict.fromkeys(unset, STAND_IN)
    if unset:
        names = ", ".join(unset)
        print(f"not set here, compared as if it were {STAND_IN}: {names}", file=sys.stderr)
    with_stand_ins = replace(context, environ={**stand_in, **context.environ})
    original = examine(whole, with_stand_ins, overrides={}, here=here)
    for error in original.errors:
        if not _is_tolerable(error, whole, context):
            raise error
    extended = reads_extended(whole, with_stand_ins, here)
    translate_file = _kept if keep_includes else _merged
    conversion = translate_file(path, document, context, here, extended=extended)
    again = _whole(conversion.again, path)
    converted = examine(again, with_stand_ins, overrides={}, here=here)
    sys.stdout.write(conversion.text)
    for line in conversion.notes:
        print(line, file=sys.stderr)
    different = differences(original.partial, converted.partial)
    # Options for which the stand-in makes no sense are wrong in both, in the same places.
    places = [
        [f"[{e.section}] {e.option or ''}".rstrip() for e in each.errors if e.section != "include"]
        for each in (original, converted)
    ]
    different += sorted(set(places[0]) ^ set(places[1]))
    for name in different:
        print(f"{name} does not mean the same: compare the two files there", file=sys.stderr)
    return EXIT_DIFFERENT if different or conversion.is_partial else 0


def _convert_procfile(path: str) -> int:
    """Print a Procfile and the ``.env`` file beside it as a configuration. Raises ConfigError."""
    beside = os.path.join(os.path.dirname(path), VARIABLES)
    text, variables = "", ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if os.path.exists(beside):
            variables = Path(beside).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the Procfile: {error}") from error
    tables = procfile_tables(text, variables)
    if "program" not in tables:
        raise ConfigError(f"{path} has no entry of the form 'name: command'")
    if variables:
        print(f"the variables of {beside} are in [supervisord.environment]", file=sys.stderr)
    sys.stdout.write(_dumped(tables))
    return 0


@dataclass
class _Conversion:
    """The result for one file, with notes for the user."""

    text: str
    again: Document
    """Return the configuration that the daemon would read, with all included files."""
    notes: list[str] = field(default_factory=list)
    is_partial: bool = False
    """Files that the INI form would include are missing."""


def _merged(
    path: str, document: Document, context: EvalContext, here: str, *, extended: bool
) -> _Conversion:
    """A file and all that it includes as one."""
    resolved: list[str] = []
    missing: list[str] = []
    for pattern in _patterns(path, context, here, missing):
        files = included_paths(pattern, here)
        read = [file for file in files if is_readable(file)]
        missing += [f"[include] {file}: it cannot be read" for file in files if file not in read]
        if read:
            resolved.append(f"[include] {pattern} is replaced by what stands in {', '.join(read)}")
        elif not files:
            missing.append(f"[include] {pattern} matches no file here; --keep-includes keeps it")
    tables, lost = to_tables(document, here, extended=extended)
    notes = [*resolved, *(f"not converted: {line}" for line in (*missing, *lost))]
    text = _comments(notes) + _dumped(tables)
    again = Document()
    read_toml(text, file="converted", here=here, into=again)
    return _Conversion(text, again, notes, is_partial=bool(missing))


def _kept(
    path: str, document: Document, context: EvalContext, here: str, *, extended: bool
) -> _Conversion:
    """A file alone, with an include of the files that those it includes will be converted to."""
    missing: list[str] = []
    notes, texts = [], []
    patterns = _patterns(path, context, here, missing)
    for file in _files(patterns, here):
        directory = os.path.dirname(os.path.abspath(file))
        tables, lost = to_tables(read_alone(file, context, directory), directory, extended=extended)
        texts.append((_dumped(tables), directory))
        command = f"tsupervisord --convert {shlex.quote(file)} > {shlex.quote(_as_toml(file))}"
        notes += [f"convert it too: {command}", *(f"not converted: {line}" for line in lost)]
    main = read_alone(path, context, here)
    tables, lost = to_tables(main, here, extended=extended)
    include, problems = _translated_include(main)
    if include and patterns and len(include) != len(patterns):
        problems.append("[include] files: a variable that holds several patterns is one in TOML")
    notes += [f"not converted: {line}" for line in (*lost, *problems)]
    notes += [f"not compared: {line}" for line in missing]
    text = _dumped({"include": include, **tables} if include else tables)
    again = Document()
    read_toml(text, file="converted", here=here, into=again)
    for included, directory in texts:
        read_toml(included, file="converted", here=directory, into=again, included=True)
    return _Conversion(_comments(notes) + text, again, notes, is_partial=bool(problems))


def _patterns(path: str, context: EvalContext, here: str, missing: list[str]) -> list[str]:
    """The patterns of a file's ``[include]``; why there are none is added to ``missing``."""
    main = read_alone(path, context, here)
    section = main.sections.get("include")
    patterns = include_patterns(main, context, here)
    entry = None if section is None else main.entry(section, "files")
    if entry is not None and not patterns:
        unset = [name for name in _VARIABLE.findall(entry.value) if name not in context.environ]
        if unset:
            names = ", ".join(dict.fromkeys(unset))
            missing.append(
                f"[include] {entry.value}: not set here, so its files are unknown: {names}"
            )
    return patterns


def _translated_include(main: Document) -> tuple[list[str], list[str]]:
    """The patterns of ``[include]`` for ``.toml`` files, and what has no counterpart."""
    section = main.sections.get("include")
    entry = None if section is None else main.entry(section, "files")
    if entry is None:
        return [], []
    try:
        return [_as_toml(translate(word)) for word in entry.value.split()], []
    except NotConvertible as error:
        return [], [f"[include] files: {error}"]


def _files(patterns: Iterable[str], here: str) -> list[str]:
    """The files that are included, in order."""
    return [
        file for pattern in patterns for file in included_paths(pattern, here) if is_readable(file)
    ]


def _as_toml(path: str) -> str:
    """The same name with the ending by which a file is known to be TOML."""
    return os.path.splitext(path)[0] + ".toml"


def _whole(document: Document, path: str) -> Document:
    """The document as that of a main file, also if it is that of a file which others include."""
    section = document.sections.get("supervisord", Section("supervisord", path, 0))
    return replace(document, sections={**document.sections, "supervisord": section})


def anywhere(context: EvalContext) -> EvalContext:
    """The same where every directory and user exists: a file may be converted elsewhere."""

    def known(find: Callable[[str], int]) -> Callable[[str], int]:
        def found(name: str) -> int:
            try:
                return find(name)
            except LookupError:
                return UNKNOWN

        return found

    return replace(
        context,
        is_dir=lambda path: True,
        user_id=known(context.user_id),
        group_id=known(context.group_id),
    )


def _is_tolerable(error: ConfigError, document: Document, context: EvalContext) -> bool:
    """Whether an error comes from what is not here: variables, or the other files' programs."""
    if error.option == "programs" and document.sections["supervisord"].line == 0:
        return True
    return any(name not in context.environ for name in _used(document, error))


def _used(document: Document, error: ConfigError) -> list[str]:
    """The environment variables that the option uses where an error is."""
    section = document.sections.get(error.section or "")
    entry = None if section is None else document.entry(section, error.option or "")
    return [] if entry is None else _VARIABLE.findall(entry.value)


def unset_variables(document: Document, context: EvalContext, here: str) -> list[str]:
    """Environment variables without which options have no value, in order of first use.

    A variable that a section sets itself is one of these where it is used before it is set.
    """
    unset: list[str] = []
    while True:
        known = {**dict.fromkeys(unset, STAND_IN), **context.environ}
        examined = examine(document, replace(context, environ=known), overrides={}, here=here)
        missing = [
            ((error.unknown_name or "").removeprefix("ENV_"), error.section, error.option)
            for error in examined.errors
            if error.section != "include" and (error.unknown_name or "").startswith("ENV_")
        ]
        # What sets variables comes first: without it the options that use them are wrong too.
        found: list[str] = []
        for kind, key in (("supervisord", "environment"), ("", "environment"), ("", "")):
            found = found or [
                name
                for name, section, option in missing
                if kind in ("", section) and key in ("", option)
            ]
        if not found:
            break
        unset += dict.fromkeys(found)
    entries = [e for section in document.sections.values() for e in section.entries.values()]
    used = dict.fromkeys(name for entry in entries for name in _VARIABLE.findall(entry.value))
    return [name for name in used if name in unset]


def toml_text(document: Document, here: str, *, extended: bool) -> tuple[str, list[str]]:
    """The text of a file in ``here``, with comments about what has no counterpart; those alone."""
    tables, lost = to_tables(document, here, extended=extended)
    return _comments(f"not converted: {line}" for line in lost) + _dumped(tables), lost


def _dumped(tables: dict[str, object]) -> str:
    return tomli_w.dumps(tables, multiline_strings=False)


def _comments(lines: Iterable[str]) -> str:
    return "".join(f"# {_CONTROL.sub(' ', line)}\n" for line in lines)


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
    """Return a configuration without the fields that only record where it came from."""
    servers = tuple(replace(server, section="") for server in config.servers)
    return replace(config, messages=(), path=None, servers=servers)
