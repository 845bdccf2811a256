"""Options that a Python program gives as values: what each must be, and how the model keeps it.

Files are checked when their text is converted (``converters.py``); here there is no text.
"""

from __future__ import annotations

import math
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trio_supervisor.core.config import converters
from trio_supervisor.core.config.converters import (
    parse_duration,
    parse_exit,
    parse_on_fatal,
    parse_restart_limit,
)
from trio_supervisor.core.config.depends_on import (
    Dependency,
    OnDependencyStop,
    list_of_mapping,
    parse_dependencies,
    parse_on_dependency_stop,
)
from trio_supervisor.core.config.identity import EnvironmentFile, UserEnv
from trio_supervisor.core.config.model import Autorestart, LogFormat, OnUnhealthy
from trio_supervisor.core.config.restarting import Backoff, RestartLimit
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.signals import parse_signal


def _same(value: Any) -> object:
    return value


@dataclass(frozen=True, slots=True, eq=False)
class PythonValue:
    """Type of an option of ``add_program``."""

    is_right: Callable[[object], bool]
    expected: str
    """Completes "must be" in the message."""
    convert: Callable[[Any], object] = _same
    """From a right value to that of the model. Raises ValueError, as converters do."""


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: object) -> bool:
    return _integer(value) and _number(value)


def _number(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )


def _within(last: int) -> Callable[[object], bool]:
    return lambda value: _count(value) and value in range(last + 1)


def _from_to(first: int, last: int) -> Callable[[object], bool]:
    return lambda value: _integer(value) and value in range(first, last + 1)


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_path(value: object) -> bool:
    return (isinstance(value, str) or hasattr(type(value), "__fspath__")) and is_text(_path(value))


def _path(value: Any) -> object:
    """The text of a path, as ``os.fspath`` gives it; core does not import ``os``."""
    return value if isinstance(value, str) else value.__fspath__()


def is_text(value: object) -> bool:
    """True for text that the system can pass to a program."""
    return isinstance(value, str) and "\0" not in value


def is_sequence_of(each: Callable[[object], bool]) -> Callable[[object], bool]:
    """A check for sequences, but for text, of which every item passes ``each``."""
    return lambda value: (
        isinstance(value, Sequence) and not isinstance(value, str) and all(map(each, value))
    )


def _environment(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        is_text(key) and key and "=" not in key and is_text(text) for key, text in value.items()
    )


def _restart_policy(value: object) -> bool:
    return isinstance(value, (bool, Autorestart)) or value == Autorestart.UNEXPECTED.value


def _policy(value: bool | Autorestart | str) -> Autorestart:
    if isinstance(value, Autorestart):
        return value
    if isinstance(value, str):
        return Autorestart.UNEXPECTED
    return Autorestart.ALWAYS if value else Autorestart.NEVER


def _signal(value: object) -> bool:
    """Whether it is the number or name of a signal that a program can be sent."""
    try:
        number = parse_signal(value) if isinstance(value, str) else value
    except ValueError:
        return False
    return _integer(number) and number in signal.valid_signals()


def signal_number(value: int | str) -> int:
    """The number of a signal that is given by number or name. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return parse_signal(value)
    except ValueError as error:
        raise ValueError("; ".join(error.args)) from None  # one text: a program shows str(error)


def _is_duration(value: object) -> bool:
    return _number(value) or _parses(parse_duration)(value)


def _duration(value: float | str) -> float:
    return parse_duration(value) if isinstance(value, str) else float(value)


def _like_in_a_file(convert: Callable[[str, Any], object], expected: str) -> PythonValue:
    """A number, or the text that a file would have; ``convert`` needs no context."""

    def read(value: object) -> object:
        return convert(str(value), None)

    def is_right(value: object) -> bool:
        if not isinstance(value, str) and not _number(value):
            return False
        try:
            read(value)
        except ValueError:
            return False
        return True

    return PythonValue(is_right, expected, read)


def _log_format(value: object) -> bool:
    return value in {each.value for each in LogFormat} or isinstance(value, LogFormat)


def _is_dependencies(value: object) -> bool:
    try:
        _dependencies(value)
    except (TypeError, ValueError):
        return False
    return True


def _dependencies(value: object) -> tuple[Dependency, ...]:
    """Raises TypeError for another type, ValueError for a wrong entry."""
    if isinstance(value, str):
        return parse_dependencies(value)
    if isinstance(value, Mapping):
        return parse_dependencies(list_of_mapping(value))
    if is_sequence_of(is_text)(value) and isinstance(value, Sequence):
        return parse_dependencies(",".join(value))
    raise TypeError("neither text, sequence nor mapping")


def _is_on_dependency_stop(value: object) -> bool:
    words = [choice.value for choice in OnDependencyStop]
    return isinstance(value, OnDependencyStop) or value in words


def _on_dependency_stop(value: str | OnDependencyStop) -> OnDependencyStop:
    return value if isinstance(value, OnDependencyStop) else parse_on_dependency_stop(value)


def _is_user_env(value: object) -> bool:
    return isinstance(value, UserEnv) or value in {member.value for member in UserEnv}


def _files(value: Any) -> object:
    """Paths of a program are used as they are; a minus sign before one: it may be missing."""
    paths = [str(_path(item)) for item in value]
    return tuple(EnvironmentFile(path.removeprefix("-"), path.startswith("-")) for path in paths)


def _parses(parse: Callable[[str], object]) -> Callable[[object], bool]:
    """A check for texts that ``parse`` takes without a ValueError."""

    def check(value: object) -> bool:
        try:
            return isinstance(value, str) and (parse(value), True)[1]
        except ValueError:
            return False

    return check


def _is_backoff(value: object) -> bool:
    if isinstance(value, str):
        return any(value == kind.value for kind in Backoff)
    return is_sequence_of(_is_duration)(value)


def _backoff(value: str | Sequence[float | str]) -> object:
    if isinstance(value, str):
        return Backoff(value)
    return tuple(map(_duration, value)) or Backoff.LINEAR


def _is_fraction(value: object) -> bool:
    return _number(value) and value <= 1  # type: ignore[operator]  # it is a number


def _is_limit(value: object) -> bool:
    if isinstance(value, str):
        return _is_limit_text(value)
    return (
        isinstance(value, tuple)
        and len(value) == len(("count", "within"))
        and _count(value[0])
        and _is_duration(value[1])
        and bool(value[0] and _duration(value[1]))
    )


def _limit(value: str | tuple[int, float | str]) -> object:
    if isinstance(value, str):
        return parse_restart_limit(value)
    return RestartLimit(value[0], _duration(value[1]))


def _is_exit(value: object) -> bool:
    return isinstance(value, signal.Signals) or _within(255)(value) or _is_exit_text(value)


def _exits(values: Sequence[int | str]) -> object:
    return tuple(map(_exit, values))


def _exit(value: int | str) -> Exit:
    if isinstance(value, signal.Signals):
        return Exit(None, int(value))
    return parse_exit(value) if isinstance(value, str) else Exit(value)


_is_limit_text = _parses(parse_restart_limit)
_is_exit_text = _parses(parse_exit)


def _is_text_or_texts(value: Any) -> bool:
    words = [value] if isinstance(value, str) else value
    return is_sequence_of(is_text)(words) and bool(words) and bool(words[0].strip())


def _stop_sequence(value: str | Sequence[str]) -> object:
    text = value if isinstance(value, str) else ",".join(value)
    return converters.parse_stop_sequence(text)


def _is_stop_sequence(value: Any) -> bool:
    try:
        return _is_text_or_texts(value) and bool(_stop_sequence(value))
    except ValueError:
        return False


def _command(value: str | Sequence[str]) -> str:
    """As a file would have it; of several words each is quoted."""
    return value if isinstance(value, str) else shlex.join(value)


ANY_INTEGER = PythonValue(_integer, "a whole number")
COUNT = PythonValue(_count, "a whole number, 0 or more")
DURATION = PythonValue(_is_duration, "seconds, or a text like 500ms, 30s, 5m, 2h, 1d", _duration)
_LIMIT = "a limit: {}, unlimited, or two of them like 10:20"
RLIMIT_BYTES = _like_in_a_file(converters.rlimit_bytes, _LIMIT.format("bytes, a text like 512MB"))
RLIMIT_COUNT = _like_in_a_file(converters.rlimit_count, _LIMIT.format("a number"))
RLIMIT_SECONDS = _like_in_a_file(converters.rlimit_seconds, _LIMIT.format("seconds"))
RLIMIT_DURATION = _like_in_a_file(converters.rlimit_duration, _LIMIT.format("seconds"))
BYTES = _like_in_a_file(converters.size_limit, "bytes, or a text like 512MB")
CORES = _like_in_a_file(converters.cores, "a number of processors, like 0.5")
NICE = PythonValue(_from_to(-20, 19), "a number from -20 to 19")
OOM_SCORE = PythonValue(_from_to(-1000, 1000), "a number from -1000 to 1000")
STOP_SEQUENCE = PythonValue(
    _is_stop_sequence,
    "signals with times, like ['QUIT:10s', 'TERM']",
    _stop_sequence,
)
KILL_MODE = PythonValue(
    lambda value: isinstance(value, KillMode) or value in {each.value for each in KillMode},
    "'process', 'tree', 'cgroup' or a KillMode",
    KillMode,
)
COMMAND = PythonValue(_is_text_or_texts, "text, or a sequence of texts", _command)
NOT_NEGATIVE = PythonValue(_number, "a number, 0 or more")
FLAG = PythonValue(_boolean, "True or False")
PATH = PythonValue(_is_path, "a path", _path)
RESTART_POLICY = PythonValue(
    _restart_policy, "True, False, 'unexpected' or an Autorestart", _policy
)
LOG_FORMAT = PythonValue(_log_format, "a LogFormat or its name: raw, prefix, json", LogFormat)
BACKOFF = PythonValue(
    _is_backoff, "linear, constant, exponential, or a sequence of durations", _backoff
)
FRACTION = PythonValue(_is_fraction, "a number from 0 to 1", float)
RESTART_LIMIT = PythonValue(_is_limit, "a text like 5/60s, or a tuple like (5, 60)", _limit)
EXITS = PythonValue(
    is_sequence_of(_is_exit), "a sequence of exit codes and names of signals", _exits
)
ON_FATAL = PythonValue(_parses(parse_on_fatal), "stay, or a text like retry:5m", parse_on_fatal)
EXIT_STATUSES = PythonValue(
    is_sequence_of(_within(255)), "a sequence of numbers from 0 to 255", tuple
)
SIGNAL_NUMBER = PythonValue(_signal, "the number or name of a signal", signal_number)
USER_NUMBER = PythonValue(_count, "the number or name of a user")
GROUP_NUMBER = PythonValue(_count, "the number of a group")
USER_ENV = PythonValue(_is_user_env, "'none', 'basic' or a UserEnv", UserEnv)
ENVIRONMENT_FILES = PythonValue(is_sequence_of(_is_path), "a sequence of paths", _files)
FILE_MASK = PythonValue(_within(0o777), "a number from 0 to 0o777")
VARIABLES = PythonValue(_environment, "a mapping of names to texts")
DEPENDENCIES = PythonValue(
    _is_dependencies,
    "names with conditions, like ['db:healthy', 'cache?'] or {'db': 'healthy'}",
    _dependencies,
)
ON_DEPENDENCY_STOP = PythonValue(
    _is_on_dependency_stop, "'keep', 'stop' or 'restart'", _on_dependency_stop
)
POSITIVE = PythonValue(lambda value: _count(value) and value != 0, "a whole number from 1")
ON_UNHEALTHY = PythonValue(
    lambda value: value in {each.value for each in OnUnhealthy},
    "restart, stop or none",
    OnUnhealthy,
)
READY = PythonValue(is_text, "a text like tcp:8080", lambda value: converters.ready(value, None))
HEALTH = PythonValue(is_text, "a text like tcp:8080", lambda value: converters.health(value, None))
