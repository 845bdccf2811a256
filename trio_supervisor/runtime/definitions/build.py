"""Programs and tasks as a Python program describes them, made into groups of one process.

What a file gives as text is a keyword here; log files are none unless asked for, because a library
leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from trio_supervisor.core.config.model import (
    Autorestart,
    ChannelConfig,
    GroupConfig,
    GroupKind,
    ProcessConfig,
)
from trio_supervisor.core.config.programs import FORBIDDEN_IN_NAMES
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.definitions.validation import check, command_line

if TYPE_CHECKING:
    from trio_supervisor.runtime.spawn.task import TaskFunction


class CommonOptions(TypedDict, total=False):
    """What programs and tasks have in common; names and defaults are those of a file."""

    priority: int
    autostart: bool
    autorestart: bool | Autorestart
    """By default UNEXPECTED: after any end that is not in exitcodes."""
    startsecs: int
    startretries: int
    backoff: Sequence[float]
    """Seconds of pause after the first, the second, ... failed start in a row; the last one counts
    for all further. By default 1, 2, 3, ..."""
    stopwaitsecs: int


class TaskOptions(CommonOptions, total=False):
    """Options of ``Supervisor.add_task``."""

    stderr_logfile: str | os.PathLike[str]
    """Where the tracebacks of its exceptions go."""


class ProgramOptions(CommonOptions, total=False):
    """Options of ``Supervisor.add_program``."""

    directory: str | os.PathLike[str]
    umask: int
    uid: int
    exitcodes: Sequence[int]
    stopsignal: int
    stopasgroup: bool
    killasgroup: bool
    redirect_stderr: bool
    ignore_sigpipe: bool
    """False: start it with the default effect of SIGPIPE and SIGXFSZ."""
    environment: Mapping[str, str]
    stdout_logfile: str | os.PathLike[str]
    stderr_logfile: str | os.PathLike[str]


def program(name: str, command: str | Sequence[str], options: ProgramOptions) -> GroupConfig:
    """A group of one program. A command of several words needs no quoting. Raises ConfigError."""
    check(_checked(name), options, frozenset(ProgramOptions.__annotations__))
    process = ProcessConfig(name, command_line(name, command), **_values(options))
    return GroupConfig(name, (process,), priority=process.priority)


def task(name: str, function: TaskFunction, options: TaskOptions) -> GroupConfig:
    """A group of one supervised task. Raises ConfigError."""
    check(_checked(name), options, frozenset(TaskOptions.__annotations__))
    if not callable(function):
        raise ConfigError(f"{name}: a task is an async function, not {function!r}")
    where = f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"
    process = ProcessConfig(name, where, task=function, **_values(options))
    return GroupConfig(name, (process,), priority=process.priority, kind=GroupKind.TASK)


def _checked(name: str) -> str:
    bad = next((character for character in name if character in FORBIDDEN_IN_NAMES), None)
    if not name or bad is not None:
        reason = "it is empty" if bad is None else f"{name!r} because of character: {bad!r}"
        raise ConfigError(f"Invalid name: {reason}")
    return name


def _values(options: Mapping[str, object]) -> dict[str, Any]:
    """The options as fields of ProcessConfig."""
    values: dict[str, Any] = dict(options)
    for channel in ("stdout", "stderr"):
        logfile = values.pop(f"{channel}_logfile", None)
        path = None if logfile is None else os.path.abspath(logfile)
        values[channel] = ChannelConfig(logfile=path)
    if "directory" in values:
        values["directory"] = os.fspath(values["directory"])
    for several in ("exitcodes", "backoff"):
        if several in values:
            values[several] = tuple(values[several])
    policy = values.get("autorestart")
    if isinstance(policy, bool):
        values["autorestart"] = Autorestart.ALWAYS if policy else Autorestart.NEVER
    if values.get("stopasgroup"):  # SIGKILL must reach whom the stop signal reached
        values["killasgroup"] = True
    return values
