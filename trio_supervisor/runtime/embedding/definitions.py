"""Programs and tasks that a Python program describes by values, made into groups of one process.

Log files are none unless asked for, because a library leaves nothing behind.
"""

from __future__ import annotations

import inspect
import os
import pwd
import re
import shlex
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import (
    ChannelConfig,
    GroupConfig,
    GroupKind,
    ProcessConfig,
    Program,
)
from trio_supervisor.core.config.names import why_invalid
from trio_supervisor.core.config.options import PYTHON_OPTIONS, filled
from trio_supervisor.core.config.policies import contradictions
from trio_supervisor.core.config.programs import MOST_PROCESSES, NOT_OF_ONESHOT
from trio_supervisor.core.config.python_values import is_text
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.config.value_types import CHILD_LOG
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from trio_supervisor.core.config.keywords import PathLike, ProgramOptions, TaskOptions
    from trio_supervisor.runtime.spawn.task import TaskFunction

    #: A command as a file has it, the path of a program, or a program with its arguments.
    CommandWords = str | PathLike | Sequence[str | PathLike]
    #: The same for all processes of a program, or by their number.
    NumberedCommand = CommandWords | Callable[[int], CommandWords]
    #: Makes the process of a name and number.
    MakeProcess = Callable[[str, int], ProcessConfig]

#: Keywords of the options that a task has.
_OF_TASKS = frozenset(keyword for keyword, option in PYTHON_OPTIONS.items() if option.for_tasks)
#: Names that other libraries have for our options.
_OTHER_NAMES = {
    "cwd": "directory",
    "env": "environment",
    "user": "uid",
    "restart": "autorestart",
    "stop_signal": "stopsignal",
    "stop_timeout": "stopwaitsecs",
}
_AWAITABLE = re.compile(r"\b(Awaitable|Coroutine)\b")
_WITHOUT_LOG = ChannelConfig(logfile=None)


def program(name: str, command: CommandWords, options: ProgramOptions) -> GroupConfig:
    """A group of one program. A command of several words needs no quoting. Raises ConfigError."""
    if callable(command):
        text = f"{name}: the command is a function, {command!r}"
        hint = "add_task takes async functions, add_programs commands that depend on the number"
        raise ConfigError(text, hint=hint)
    process = _program(name, command, options, name)
    return GroupConfig(name, (process,), priority=process.priority)


def programs(
    name: str,
    command: NumberedCommand,
    numprocs: int,
    options: ProgramOptions,
    each: Callable[[int], ProgramOptions] | None = None,
) -> GroupConfig:
    """A group of several processes of one program. Raises ConfigError."""

    def make(process: str, number: int) -> ProcessConfig:
        own = {} if each is None else each(number)
        if not isinstance(own, dict):
            raise ConfigError(f"{name}: each({number}) must give a dict of options, not {own!r}")
        words = command(number) if callable(command) else command
        return _program(name, words, {**options, **own}, process)

    return _numbered(name, make, numprocs, GroupKind.PLAIN)


def task(
    name: str, function: TaskFunction, options: TaskOptions, args: Sequence[object] = ()
) -> GroupConfig:
    """A group of one supervised task. Raises ConfigError."""
    process = _task(name, function, options, args, name)
    return GroupConfig(name, (process,), priority=process.priority, kind=GroupKind.TASK)


def tasks(
    name: str,
    function: TaskFunction,
    numprocs: int,
    options: TaskOptions,
    args: Sequence[object] = (),
) -> GroupConfig:
    """A group of several supervised tasks of one function. Raises ConfigError."""

    def make(process: str, number: int) -> ProcessConfig:
        return _task(name, function, options, args, process)

    return _numbered(name, make, numprocs, GroupKind.TASK)


@dataclass(frozen=True, slots=True)
class NumberedTemplate:
    """Makes the processes of a program or task that has several; they are called ``name_00``."""

    name: str
    make: MakeProcess

    def process(self, number: int, count: int) -> ProcessConfig:
        """Process ``number``. Raises ConfigError."""
        return self.make(f"{self.name}_{number:02d}", number)


def _numbered(name: str, make: MakeProcess, count: int, kind: GroupKind) -> GroupConfig:
    is_number = isinstance(count, int) and not isinstance(count, bool)
    if not is_number or not 0 <= count <= MOST_PROCESSES:
        text = f"{name}: numprocs must be a number from 0 to {MOST_PROCESSES}, not {count!r}"
        raise ConfigError(text, option="numprocs")
    made = Program(name, NumberedTemplate(name, make), count)
    first = make(name, 0)  # also if there is none yet: mistakes are told now
    processes = made.processes()
    return GroupConfig(name, processes, priority=first.priority, kind=kind, programs=(made,))


def _program(
    name: str, command: CommandWords, options: ProgramOptions, process: str
) -> ProcessConfig:
    """The process of this name; ``name`` is that of its program."""
    values = _values(name, options, PYTHON_OPTIONS)
    if options.get("stopasgroup"):  # SIGKILL must reach every process that the stop signal reached
        values["killasgroup"] = True
    return _process(process, _command_line(name, command), values)


def _task(
    name: str, function: TaskFunction, options: TaskOptions, args: Sequence[object], process: str
) -> ProcessConfig:
    """The task of this process; ``name`` is what was added."""
    values = _values(name, options, _OF_TASKS)
    if (why := why_no_task(function)) is not None:
        raise ConfigError(f"{name}: a task is an async function, not {function!r}; {why}")
    if args:
        function = partial(function, *args)
    where = f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"
    return _process(process, where, {**values, "task": function})


def _process(name: str, command: str, values: Mapping[str, object]) -> ProcessConfig:
    blank = ProcessConfig(name, command, stdout=_WITHOUT_LOG, stderr=_WITHOUT_LOG)
    process = filled(blank, values)
    for mistake in contradictions(process):
        text = f"{name}: {mistake.text}"
        raise ConfigError(text, option=mistake.option, hint=mistake.hint)
    return process


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
            meant = _OTHER_NAMES.get(keyword) or suggestion(keyword, known)
            if meant not in known:
                meant = None
            hint = None if meant is None else f"did you mean {meant}?"
            if keyword == "numprocs":
                hint = "add_programs and add_tasks add several processes"
            raise ConfigError(f"{name}: there is no option {keyword}", option=keyword, hint=hint)
        if keyword == "uid" and isinstance(value, str):
            value = _uid_of(name, value)
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


def _uid_of(name: str, user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ConfigError(f"{name}: there is no user {user!r}", option="uid") from None


def _make_oneshot(name: str, values: dict[str, object]) -> None:
    """Give a job its only times and policy. Raises ConfigError for options that contradict it."""
    for keyword in NOT_OF_ONESHOT:
        if keyword in values:
            why = NOT_OF_ONESHOT[keyword]
            raise ConfigError(f"{name}: a oneshot has no {keyword}: {why}", option=keyword)
    values["startsecs"] = 0


def _command_line(name: str, command: CommandWords) -> str:
    """The command as a file would have it; of several words each is quoted. Raises ConfigError."""
    if isinstance(command, str):
        if command.strip() and is_text(command):
            return command
    else:
        words = [command] if isinstance(command, os.PathLike) else command
        if isinstance(words, Sequence) and words:
            texts = [os.fspath(w) if isinstance(w, os.PathLike) else w for w in words]
            if all(map(is_text, texts)) and texts[0].strip():
                return shlex.join(texts)
    raise ConfigError(f"{name}: the command must be text, or a sequence of texts, not {command!r}")


def why_no_task(function: object) -> str | None:
    """Tell why this is no async function; None if it may be one.

    A function that is not ``async`` may return an awaitable: a lambda, a wrapper, or one whose
    annotation says so.
    """
    if inspect.isawaitable(function):
        if inspect.iscoroutine(function):
            function.close()  # else Python warns that it was never awaited
        return "give the function itself, and its arguments behind it: add_task(name, f, x)"
    if not callable(function):
        return "it cannot be called"
    if inspect.isclass(function):
        return "it is a class"
    while isinstance(function, partial):
        function = function.func
    if inspect.isasyncgenfunction(function):
        return "it is a generator"
    if inspect.isbuiltin(function):
        return "use trio.to_thread.run_sync for what blocks"
    plain = inspect.isfunction(function) or inspect.ismethod(function)
    if not plain or inspect.iscoroutinefunction(function) or hasattr(function, "__wrapped__"):
        return None
    returns = str(getattr(function, "__annotations__", {}).get("return", ""))
    if getattr(function, "__name__", "") == "<lambda>" or _AWAITABLE.search(returns):
        return None
    return "it is not async: write async def, or use trio.to_thread.run_sync for what blocks"
