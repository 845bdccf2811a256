"""Programs and tasks that a Python program describes by values, made into groups of one process.

Log files are none unless asked for, because a library leaves nothing behind.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import ChannelConfig, GroupConfig, GroupKind, ProcessConfig
from trio_supervisor.core.config.names import why_invalid
from trio_supervisor.core.config.options import PYTHON_OPTIONS, filled
from trio_supervisor.core.config.policies import contradictions
from trio_supervisor.core.config.programs import NOT_OF_ONESHOT
from trio_supervisor.core.config.python_values import is_sequence_of, is_text
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.config.value_types import CHILD_LOG
from trio_supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from trio_supervisor.core.config.model import ProgramOptions, TaskOptions
    from trio_supervisor.runtime.spawn.task import TaskFunction

#: Keywords of the options that a task has.
_OF_TASKS = frozenset(keyword for keyword, option in PYTHON_OPTIONS.items() if option.for_tasks)
_WITHOUT_LOG = ChannelConfig(logfile=None)


def program(name: str, command: str | Sequence[str], options: ProgramOptions) -> GroupConfig:
    """A group of one program. A command of several words needs no quoting. Raises ConfigError."""
    values = _values(name, options, PYTHON_OPTIONS)
    if options.get("stopasgroup"):  # SIGKILL must reach every process that the stop signal reached
        values["killasgroup"] = True
    return _group(name, _command_line(name, command), values)


def task(name: str, function: TaskFunction, options: TaskOptions) -> GroupConfig:
    """A group of one supervised task. Raises ConfigError."""
    values = _values(name, options, _OF_TASKS)
    if not callable(function):
        raise ConfigError(f"{name}: a task is an async function, not {function!r}")
    where = f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"
    return _group(name, where, {**values, "task": function}, GroupKind.TASK)


def _group(
    name: str, command: str, values: Mapping[str, object], kind: GroupKind = GroupKind.PLAIN
) -> GroupConfig:
    blank = ProcessConfig(name, command, stdout=_WITHOUT_LOG, stderr=_WITHOUT_LOG)
    process = filled(blank, values)
    for mistake in contradictions(process):
        text = f"{name}: {mistake.text}"
        raise ConfigError(text, option=mistake.option, hint=mistake.hint)
    return GroupConfig(name, (process,), priority=process.priority, kind=kind)


def _values(name: str, options: Mapping[str, object], known: Collection[str]) -> dict[str, object]:
    """Checked options by the fields of ProcessConfig.

    Raises ConfigError for an option that the program or task called ``name`` cannot have, and for
    a value that is not what its option takes. Messages show the value unless it may be secret.
    """
    if (reason := why_invalid(name)) is not None:
        raise ConfigError(f"Invalid name: {reason}")
    values: dict[str, object] = {}
    for keyword, value in options.items():
        option = PYTHON_OPTIONS.get(keyword)
        if keyword not in known or option is None or option.python is None:
            meant = suggestion(keyword, known)
            hint = None if meant is None else f"did you mean {meant}?"
            raise ConfigError(f"{name}: there is no option {keyword}", option=keyword, hint=hint)
        if not option.python.is_right(value):
            shown = "" if option.secret else f", not {value!r}"
            text = f"{name}: {keyword} must be {option.python.expected}{shown}"
            raise ConfigError(text, option=keyword)
        try:
            converted = option.python.convert(value)
        except ValueError as error:
            text, *hints = map(str, error.args)
            hint = hints[0] if hints else None
            raise ConfigError(f"{name}: {keyword}: {text}", option=keyword, hint=hint) from None
        if isinstance(converted, str) and option.type is CHILD_LOG:
            converted = os.path.abspath(converted)
        values[option.path or keyword] = converted
    if values.get("oneshot"):
        _make_oneshot(name, values)
    return values


def _make_oneshot(name: str, values: dict[str, object]) -> None:
    """Give a job its only times and policy. Raises ConfigError for options that contradict it."""
    for keyword in NOT_OF_ONESHOT:
        if keyword in values:
            why = NOT_OF_ONESHOT[keyword]
            raise ConfigError(f"{name}: a oneshot has no {keyword}: {why}", option=keyword)
    values["startsecs"] = 0


def _command_line(name: str, command: str | Sequence[str]) -> str:
    """The command as a file would have it; of several words each is quoted. Raises ConfigError."""
    words = [command] if isinstance(command, str) else command
    if not is_sequence_of(is_text)(words) or not words or not words[0].strip():
        raise ConfigError(f"{name}: the command must be text, or a sequence of texts")
    return command if isinstance(command, str) else shlex.join(words)
