"""Finds and reads configuration files, with the files that they include."""

from __future__ import annotations

import errno
import glob
import grp
import os
import pwd
import select
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config import toml
from trio_supervisor.core.config.build import (
    FACTORY,
    Examined,
    build,
    examine,
    include_patterns,
    names_of,
)
from trio_supervisor.core.config.context import EvalContext
from trio_supervisor.core.config.ini import Document, Section, read
from trio_supervisor.core.config.interpolation_toml import expand_dollars
from trio_supervisor.core.config.model import Config
from trio_supervisor.core.config.search import search_path
from trio_supervisor.core.config.secrets import as_written
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError, PluginError
from trio_supervisor.core.numbers import natural
from trio_supervisor.runtime.events.result_handlers import result_handler
from trio_supervisor.runtime.rpc.plugins import find_factory, is_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Seconds that a pipe given as configuration file may send nothing.
PATIENCE = 60

#: Largest configuration file, in bytes.
MAX_BYTES = 64 << 20

#: Directory of automatic logs where no temporary directory can be written.
NO_TEMPDIR = "/tmp"


def load_config(
    path: str | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    program: str | None = None,
    origin: str | None = None,
) -> Config:
    """Read the configuration in ``path``, or the first found in the usual places.

    ``program`` is the invoked script (``sys.argv[0]``); the search begins beside it. ``overrides``
    are texts for options of ``[supervisord]`` that beat the file. ``origin`` is the directory for
    relative paths: the one in which the daemon was started, because it may have changed directory
    since, and a reload must find the same files. Raises ConfigError.
    """
    origin = os.getcwd() if origin is None else origin
    path = find_config(program, origin) if path is None else path
    context = eval_context(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, messages = read_document(path, context, here)
    config = build(document, context, overrides=overrides or {}, here=here)
    for error in _unimportable(document, config):
        raise error
    absolute = os.path.normpath(os.path.join(origin, path))
    return replace(
        config, path=absolute, messages=(*messages, *config.messages, *_uncallable(config))
    )


def examine_config(
    path: str, *, overrides: Mapping[str, str] | None = None
) -> tuple[Examined, list[Diagnostic]]:
    """Errors and remarks of a file with its includes, and messages for the log.

    Starts and creates nothing. Raises ConfigError only if the file itself cannot be read.
    """
    origin = os.getcwd()
    context = eval_context(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, messages = read_document(path, context, here)
    examined = examine(document, context, overrides=overrides or {}, here=here)
    examined.errors.extend(_unimportable(document, examined.partial))
    return examined, [*messages, *_uncallable(examined.partial)]


def find_config(program: str | None, origin: str) -> str:
    """The first existing path of the search list. Raises ConfigError if there is none."""
    searched = search_path(program)
    if os.getuid() == 0:
        with suppress(OSError):  # a reload may find the reader of stderr gone
            print(
                "Warning: running as root and searching for a configuration file, also in the "
                "current directory; name it with -c to be sure which one is used",
                file=sys.stderr,
            )
    for path in searched:
        if os.path.exists(os.path.join(origin, path)):
            return path
    raise ConfigError(
        f"No config file found at default paths ({', '.join(searched)})",
        hint="use the -c option to specify a config file at a different path",
    )


def eval_context(origin: str) -> EvalContext:
    """The context of this machine and process, with relative paths below ``origin``."""
    return EvalContext(
        environ=dict(os.environ),
        cwd=origin,
        host_node_name=os.uname().nodename,
        tempdir=_temporary_directory,
        user_id=_user_id,
        group_id=_group_id,
        is_dir=lambda path: os.path.isdir(os.path.join(origin, path)),
        expand_user=os.path.expanduser,
    )


def read_document(path: str, context: EvalContext, here: str) -> tuple[Document, list[Diagnostic]]:
    """The main file with its includes, and messages for the log.

    Syntax errors are added to the document's errors. Raises ConfigError if the main
    file cannot be read.
    """
    document = Document(path)
    patterns = _read_file(path, document, context, here)
    if not is_toml(path):
        patterns = include_patterns(document, context, here)
    return document, _read_includes(path, patterns, document, context, here)


def read_alone(path: str, context: EvalContext, here: str) -> Document:
    """Read one file without those that it includes. Raises ConfigError if it cannot be read."""
    document = Document(path)
    _read_file(path, document, context, here)
    return document


def included_paths(pattern: str, here: str) -> list[str]:
    """Return the files that a pattern of an include matches in ``here``, in reading order."""
    return sorted(glob.glob(os.path.join(here, pattern)))


def is_readable(path: str) -> bool:
    """Whether an included path is a file that will be read; others are left out."""
    return os.path.isfile(path) and os.access(path, os.R_OK)


def _read_file(
    path: str, document: Document, context: EvalContext, here: str, *, included: bool = False
) -> list[str]:
    """Add one file to the document; the expanded globs that a TOML file includes.

    ``here`` is the absolute directory of the file; errors show the path as it was given.
    """
    real = os.path.join(here, os.path.basename(path))
    if not path or not os.path.exists(real):
        raise ConfigError(f"could not find config file {path}", hint="name another with -c")
    try:
        text = _content(real).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"could not read config file {path}", hint=error.strerror) from None
    except UnicodeDecodeError as error:
        raise _not_text(path, error) from None
    if not is_toml(path):
        read(text, file=path, here=here, into=document)
        return []
    patterns = toml.read_toml(text, file=path, here=here, into=document, included=included)
    names = names_of(context, here)
    try:
        return [expand_dollars(pattern, names) for pattern in patterns]
    except ValueError as error:
        hint = error.args[1] if len(error.args) > 1 else None
        document.errors.append(
            ConfigError(f"include {error.args[0]}", option="include", file=path, hint=hint)
        )
        return []


def _content(path: str) -> bytes:
    """Read a file of the configuration, which may be a pipe (``-c <(command)``).

    Neither a FIFO without a writer nor an endless device may block the thread that reads: a later
    reload waits for that thread. Raises OSError: ETIMEDOUT if no data comes for ``PATIENCE``
    seconds, EFBIG for more than ``MAX_BYTES``.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

    with open(path, "rb", buffering=0, opener=opener) as file:
        readable = select.poll()
        readable.register(file, select.POLLIN)
        content = bytearray()
        while len(content) <= MAX_BYTES:
            if not readable.poll(PATIENCE * 1000):
                raise OSError(errno.ETIMEDOUT, "it is a pipe or device that sends no data", path)
            piece = file.read(1 << 16)
            if piece == b"":
                return bytes(content)
            content += piece or b""  # None: another reader was faster
    raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES >> 20} MiB", path)


def _not_text(path: str, error: UnicodeDecodeError) -> ConfigError:
    """The error of a file that is not UTF-8, with its line but without the bytes, which may be
    part of a secret."""
    line = error.object[: error.start].count(b"\n") + 1
    return ConfigError(
        f"{path} is not UTF-8 text: {error.reason} at byte {error.start}",
        file=path,
        line=line,
        hint="save it as UTF-8",
    )


def is_toml(path: str) -> bool:
    """Whether a file is TOML, by its name; all others are INI."""
    return path.endswith(".toml")


def _read_includes(
    main: str, patterns: list[str], document: Document, context: EvalContext, here: str
) -> list[Diagnostic]:
    """Files the main file includes, after it and in order ; returns messages for the log."""
    messages = []
    for pattern in patterns:
        matches = included_paths(pattern, here)
        if not matches:
            text = f'No file matches via include "{os.path.join(here, pattern)}"'
            messages.append(Diagnostic(Severity.WARN, text, Place(section="include")))
        for path in matches:
            try:
                messages.append(_include(path, main, document, context))
            except ConfigError as error:
                document.errors.append(error)
    return messages


def _include(path: str, main: str, document: Document, context: EvalContext) -> Diagnostic:
    if is_toml(path) != is_toml(main):
        raise ConfigError(
            f"{main} cannot include {path}: one is TOML, the other is not",
            file=path,
            hint="convert one of them with tsupervisord --convert",
        )
    if not is_readable(path):
        text = f'Cannot read included file "{path}", it is left out'
        return Diagnostic(Severity.WARN, text, Place(section="include"))
    here = os.path.dirname(os.path.abspath(path))
    _read_file(path, document, context, here, included=True)
    return Diagnostic(Severity.INFO, f'Included extra file "{path}" during parsing')


def _unimportable(document: Document, config: Config) -> Iterator[ConfigError]:
    """Errors of plugins and handlers that cannot be imported, found at load, not at first use."""
    for interface in filter(is_plugin, config.rpcinterfaces):
        try:
            find_factory(interface)
        except PluginError as error:
            section = document.sections[f"rpcinterface:{interface.name}"]
            hint = "use module:callable, of a module that the daemon can import"
            yield _import_error(str(error), document, section, FACTORY, hint)
    for group in config.groups:
        if group.pool is not None:
            spec = group.pool.result_handler
            try:
                result_handler(spec)
            except (Exception, SystemExit) as error:  # whatever importing a module may raise
                section = document.sections[group.section or ""]
                text = f"{spec} cannot be resolved within [{section.name}]: {error}"
                hint = "use module:function, of a module that the daemon can import"
                yield _import_error(text, document, section, "result_handler", hint)


def _uncallable(config: Config) -> Iterator[Diagnostic]:
    """Warnings of result handlers that cannot be called: as in Supervisor, no error before use."""
    for group in config.groups:
        if group.pool is not None:
            with suppress(Exception):  # told as an error
                if not callable(result_handler(group.pool.result_handler)):
                    text = f"For [{group.section}], result_handler {group.pool.result_handler} "
                    place = Place(section=group.section)
                    yield Diagnostic(Severity.WARN, text + "cannot be called", place)


def _import_error(
    text: str, document: Document, section: Section, option: str, hint: str
) -> ConfigError:
    entry = document.entry(section, option)
    if entry is not None:
        text = as_written(text, entry.value, lambda name: os.environ.get(name, ""))
    return ConfigError(
        text,
        section=section.name,
        option=option,
        file=section.file if entry is None else entry.file,
        line=None if entry is None else entry.line,
        hint=hint,
    )


def _temporary_directory() -> str:
    """Directory of automatic logs. Where no directory can be written, it is needed only for the
    error about such a log."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return NO_TEMPDIR


def _user_id(text: str) -> int:
    number = natural(text)
    if number is None:
        return pwd.getpwnam(text).pw_uid
    if number == os.getuid():  # containers often run as a user that is not listed
        return number
    return pwd.getpwuid(number).pw_uid


def _group_id(text: str) -> int:
    number = natural(text)
    return (grp.getgrnam(text) if number is None else grp.getgrgid(number)).gr_gid
