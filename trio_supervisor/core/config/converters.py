"""Converters from the text of an option to its value.

Each raises ValueError with what is wrong with the text; the second argument of the error is how to
fix it.
"""

from __future__ import annotations

import math
import posixpath
import re
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import (
    Dependency,
    OnDependencyStop,
    parse_dependencies,
    parse_on_dependency_stop,
)
from trio_supervisor.core.config.identity import EnvironmentFile, UserEnv
from trio_supervisor.core.config.limits import UNLIMITED, UNLIMITED_NAME, Rlimit
from trio_supervisor.core.config.model import (
    AUTO,
    Auto,
    Autorestart,
    Compression,
    EventLength,
    ExitWhen,
    LogFormat,
    OnUnhealthy,
    Severity,
    Survive,
)
from trio_supervisor.core.config.restarting import Backoff, RestartLimit
from trio_supervisor.core.config.stopping import KillMode, SignalStep
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.events import EVENT_TYPES
from trio_supervisor.core.numbers import LONGEST_SECONDS, natural
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.signals import parse_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.context import EvalContext
    from trio_supervisor.core.config.probes import HealthCheck, ReadyCondition

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SUFFIXES = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ms|s|m|h|d)?")
#: Units of durations, in seconds.
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEVELS = {
    "critical": Severity.CRITICAL,
    "error": Severity.ERROR,
    "warn": Severity.WARN,
    "info": Severity.INFO,
    "debug": Severity.DEBUG,
    "trace": Severity.TRACE,
    "blather": Severity.BLATHER,
}
_LEVEL_HINTS = {"warning": "use warn", "crit": "use critical", "err": "use error"}
_RESTART_HINTS = {"always": "use true", "never": "use false", "on-failure": "use unexpected"}
_BACKOFFS = {kind.value: kind for kind in Backoff}
_EXIT_WHENS = {when.value: when for when in ExitWhen}
_SURVIVES = {survive.value: survive for survive in Survive}
#: Ports that a server can listen on.
_PORTS = range(1, 65536)
#: Largest value of C ``int``: file modes are passed to the kernel as ``int``.
LARGEST_INT = 2**31 - 1
#: Largest value of a limit that is not unlimited.
LARGEST_LIMIT = 2**63 - 1
#: Largest number of processors.
LARGEST_CORES = 2**16
#: Largest number of a user or group: the one above means none.
LARGEST_ID = 2**32 - 2
LARGEST_EXIT_CODE = 255
SYSLOG = "syslog"


def string(text: str, _: EvalContext) -> str:
    return text


def integer(text: str, _: EvalContext) -> int:
    try:
        return _addable(int(text))
    except ValueError:
        raise ValueError(f"invalid number {text!r}", "use a whole number, like 10") from None


def _addable(number: int) -> int:
    """The number itself. Raises ValueError if it can never be added to a time, which is a float."""
    try:
        float(number)
    except OverflowError as error:
        raise ValueError("too many digits") from error
    return number


def boolean(text: str, _: EvalContext) -> bool:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    quoted = "leave the quotes out" if text[:1] in ("'", '"') else "use true or false"
    raise ValueError(f"not a valid boolean value: {text!r}", quoted)


def byte_size(text: str, _: EvalContext) -> int:
    word = text.lower()
    number, factor = word, 1
    for suffix, value in _SUFFIXES.items():
        if word.endswith(suffix):
            number, factor = word.removesuffix(suffix), value
    try:
        return _addable(int(number) * factor)
    except ValueError:
        hint = (
            f"use {text}B" if re.fullmatch(r"[0-9]+[kmg]", word) else "use a number, KB, MB or GB"
        )
        raise ValueError(f"invalid size {text!r}", hint) from None


def size_limit(text: str, context: EvalContext) -> int:
    size = byte_size(text, context)
    if size < 1:
        raise ValueError(f"{text} leaves nothing at all", "use at least 1")
    if size > LARGEST_LIMIT:  # the kernel would take the rest of a division for it
        raise ValueError(f"{text} is too large", f"use {LARGEST_LIMIT} at most")
    return size


def duration(text: str, _: EvalContext) -> float:
    """A time in seconds, from a number of seconds or one with a unit."""
    return parse_duration(text)


def parse_duration(text: str) -> float:
    """A time in seconds: ``2``, ``0.5``, ``500ms``, ``30s``, ``5m``, ``2h`` or ``1d``."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"invalid duration {text!r}", "use a number, or 500ms, 30s, 5m, 2h, 1d")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"duration {text!r} is too long", "use less than thirty years")
    return seconds


def rlimit_bytes(text: str, context: EvalContext) -> Rlimit:
    return _rlimit(text, lambda part: byte_size(part, context))


def rlimit_count(text: str, context: EvalContext) -> Rlimit:
    return _rlimit(text, lambda part: integer(part, context))


def rlimit_seconds(text: str, _: EvalContext) -> Rlimit:
    """Durations in whole seconds, rounded up: the kernel knows no others, and 0 is at once."""
    return _rlimit(text, lambda part: math.ceil(parse_duration(part)))


def rlimit_duration(text: str, _: EvalContext) -> Rlimit:
    return _rlimit(text, parse_duration)


def _rlimit(text: str, convert: Callable[[str], float]) -> Rlimit:
    """``SOFT:HARD``, or one value for both."""
    parts = [part.strip() for part in text.split(":")]
    values = [math.inf if part.lower() == UNLIMITED_NAME else convert(part) for part in parts]
    if len(values) > 2 or any(value < 0 for value in values):
        raise ValueError(f"invalid limit {text!r}", "write SOFT or SOFT:HARD, like 1024:4096")
    soft, hard = values[0], values[-1]
    if soft > hard:
        raise ValueError(f"limit {text!r} has a soft limit above the hard limit", "write SOFT:HARD")
    if any(LARGEST_LIMIT < value < math.inf for value in values):
        raise ValueError(f"limit {text!r} is too large", f"use {UNLIMITED_NAME}")
    return Rlimit(*(UNLIMITED if value == math.inf else value for value in (soft, hard)))


def nice(text: str, context: EvalContext) -> int:
    return _between(integer(text, context), -20, 19)


def oom_score_adj(text: str, context: EvalContext) -> int:
    return _between(integer(text, context), -1000, 1000)


def cores(text: str, _: EvalContext) -> float:
    """A number of processors; the kernel gives a hundredth at least."""
    try:
        number = float(text) if text.isascii() else 0.0
    except ValueError:
        number = 0.0
    if not 0.01 <= number <= LARGEST_CORES:  # NaN compares false
        raise ValueError(f"{text!r} is no number of processors", "use 0.5, 2 and the like")
    return number


def _between(number: int, first: int, last: int) -> int:
    if not first <= number <= last:
        raise ValueError(f"{number} is not in {first} to {last}", f"use {first} to {last}")
    return number


def backoff(text: str, _: EvalContext) -> Backoff | tuple[float, ...]:
    """``linear``, ``constant``, ``exponential``, or pauses separated by commas."""
    word = text.strip().lower()
    if word in _BACKOFFS:
        return _BACKOFFS[word]
    try:
        return tuple(parse_duration(item) for item in text.split(","))
    except ValueError:
        meant = suggestion(word, _BACKOFFS)
        hint = "use linear, constant, exponential, or pauses like 1s, 5s, 1m"
        hint = hint if meant is None else f"did you mean {meant}?"
        raise ValueError(f"invalid 'backoff' value {text!r}", hint) from None


def fraction(text: str, _: EvalContext) -> float:
    try:
        number = float(text) if text.isascii() else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN compares false
        raise ValueError(f"{text!r} is not between 0 and 1", "use a fraction, like 0.2")
    return number


def restart_limit(text: str, _: EvalContext) -> RestartLimit:
    return parse_restart_limit(text)


def parse_restart_limit(text: str) -> RestartLimit:
    """``5/60s``: at most five within a minute."""
    number, _slash, within = text.partition("/")
    count = natural(number.strip())
    try:
        seconds = parse_duration(within)
    except ValueError:
        seconds = 0.0
    if not count or not seconds:
        hint = "use restarts/time, both above 0, like 5/60s"
        raise ValueError(f"invalid limit {text!r}", hint)
    return RestartLimit(count, seconds)


def exits(text: str, _: EvalContext) -> tuple[Exit, ...]:
    return tuple(parse_exit(item) for item in strings(text, _))


def parse_exit(text: str) -> Exit:
    """An exit code from 0 to 255, or the name of a signal."""
    if (code := natural(text)) is not None:
        if code > LARGEST_EXIT_CODE:
            raise ValueError(f"{text} is not an exit code", "use 0 to 255, or a name, like SIGTERM")
        return Exit(code)
    number = parse_signal(text)
    if number == 0:
        raise ValueError(f"{text!r} is neither an exit code nor a signal", "use 78 or SIGTERM")
    return Exit(None, number)


def on_fatal(text: str, _: EvalContext) -> float | None:
    return parse_on_fatal(text)


def parse_on_fatal(text: str) -> float | None:
    """``stay``, which is None, or ``retry:5m``: the time until a new try in seconds."""
    word, colon, after = text.strip().lower().partition(":")
    if word == "stay" and not colon:
        return None
    if word != "retry" or not colon:
        raise ValueError(f"invalid 'on_fatal' value {text!r}", "use stay, or retry:5m")
    return parse_duration(after)


def exit_when(text: str, _: EvalContext) -> ExitWhen:
    word = text.strip().lower()
    if word in _EXIT_WHENS:
        return _EXIT_WHENS[word]
    raise ValueError(f"invalid 'exit_when' value {text!r}", "use all_ended, or leave it out")


def survive(text: str, _: EvalContext) -> Survive:
    word = text.strip().lower()
    if word in _SURVIVES:
        return _SURVIVES[word]
    raise ValueError(f"invalid 'survive' value {text!r}", "use adopt or kill, or leave it out")


def cgroup(text: str, _: EvalContext) -> str:
    """``off``, ``auto``, or an absolute path."""
    word = text.strip().lower()
    if word in ("off", "auto"):
        return word
    if not text.startswith("/"):
        hint = "use off, auto, or a path like /sys/fs/cgroup/supervised"
        raise ValueError(f"invalid 'cgroup' value {text!r}", hint)
    return posixpath.normpath(text)


def octal(text: str, _: EvalContext) -> int:
    """A mode or a umask. Values that the kernel cannot take are refused here, not when used."""
    hint = "use the digits 0 to 7, like 022"
    try:
        number = int(text, 8)
    except ValueError:
        raise ValueError(f"invalid octal number {text!r}", hint) from None
    if abs(number) > LARGEST_INT:
        raise ValueError(f"octal number {text!r} is too large", hint)
    return number


def positive(text: str, context: EvalContext) -> int:
    """A whole number from 1 on."""
    number = integer(text, context)
    if number < 1:
        raise ValueError(f"{text} is less than 1", "use 1 or more")
    return number


def ready(text: str, _: object) -> ReadyCondition:
    # Most configurations have no such option: they do without these classes.
    from trio_supervisor.core.config.probes import parse_ready

    return parse_ready(text)


def health(text: str, _: object) -> HealthCheck:
    from trio_supervisor.core.config.probes import parse_health  # as above

    return parse_health(text)


def on_unhealthy(text: str, _: EvalContext) -> OnUnhealthy:
    try:
        return OnUnhealthy(text.lower())
    except ValueError:
        hint = "use restart, stop or none"
        raise ValueError(f"invalid 'on_unhealthy' value {text!r}", hint) from None


def signal(text: str, _: EvalContext) -> int:
    return parse_signal(text)


def stop_sequence(text: str, _: EvalContext) -> tuple[SignalStep, ...]:
    return parse_stop_sequence(text)


def parse_stop_sequence(text: str) -> tuple[SignalStep, ...]:
    """``QUIT:10s, TERM:5s, INT``."""
    steps = tuple(_signal_step(item.strip()) for item in text.split(",")) if text.strip() else ()
    if any(step.signal == 0 for step in steps):
        raise ValueError("signal 0 stops nothing", "use a name, like TERM")
    return steps


def _signal_step(text: str) -> SignalStep:
    name, colon, wait = text.partition(":")
    return SignalStep(parse_signal(name), parse_duration(wait) if colon else None)


def kill_mode(text: str, _: EvalContext) -> KillMode:
    try:
        return KillMode(text.lower())
    except ValueError:
        hint = "use process, tree or cgroup"
        raise ValueError(f"invalid 'kill_mode' value {text!r}", hint) from None


def exit_codes(text: str, _: EvalContext) -> tuple[int, ...]:
    try:
        codes = tuple(int(item) for item in strings(text, _))
    except ValueError:
        codes = (-1,)
    if any(not 0 <= code <= LARGEST_EXIT_CODE for code in codes):
        hint = "use numbers from 0 to 255, separated by commas, like 0,2"
        raise ValueError(f"not a valid list of exit codes: {text!r}", hint)
    return codes


def strings(text: str, _: EvalContext) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",")) if text else ()


def restart(text: str, _: EvalContext) -> Autorestart:
    word = text.lower()
    if word == "unexpected":
        return Autorestart.UNEXPECTED
    if word in _TRUE:
        return Autorestart.ALWAYS
    if word in _FALSE:
        return Autorestart.NEVER
    hint = _RESTART_HINTS.get(word, "use true, false or unexpected")
    raise ValueError(f"invalid 'autorestart' value {text!r}", hint)


def level(text: str, _: EvalContext) -> Severity:
    word = text.lower()
    if word not in _LEVELS:
        meant = suggestion(word, _LEVELS)
        hint = f"use one of {' '.join(_LEVELS)}" if meant is None else f"did you mean {meant}?"
        hint = _LEVEL_HINTS.get(word, hint)
        raise ValueError(f"bad logging level name {text!r}", hint)
    return _LEVELS[word]


def existing_directory(text: str, context: EvalContext) -> str:
    path = context.expand_user(text)
    if not path or not context.is_dir(path):
        hint = "create it, or name another" if path else "name a directory, or leave it out"
        raise ValueError(f"{text} is not an existing directory", hint)
    return path


def file_path(text: str, context: EvalContext) -> str:
    """A file whose directory exists; names without a directory always pass."""
    path = context.expand_user(text)
    directory = posixpath.dirname(path)
    if directory and not context.is_dir(directory):
        raise ValueError(
            f"The directory named as part of the path {text} does not exist",
            "create the directory, or name another",
        )
    return path


def absolute_path(text: str, context: EvalContext) -> str:
    path = context.expand_user(text.strip())
    return posixpath.normpath(posixpath.join(context.cwd, path))


def log_path(text: str, context: EvalContext) -> str:
    """The daemon's own log: ``syslog``, or a file, made absolute because the daemon changes
    its directory."""
    return text if text == SYSLOG else absolute_path(file_path(text, context), context)


def absolute_file(text: str, context: EvalContext) -> str:
    return absolute_path(file_path(text, context), context)


def child_log(text: str, context: EvalContext) -> str | Auto | None:
    """A path, AUTO, or None or an empty text for no file: ``getAllConfigInfo`` tells those apart.

    ``syslog`` is returned as it is; ``programs.py`` turns it into the option for syslog.
    """
    word = text.lower()
    if word in ("none", "off"):
        return None
    if word == "auto":
        return AUTO
    return SYSLOG if word == SYSLOG else file_path(text, context)


def user(text: str, context: EvalContext) -> int:
    try:
        return context.user_id(text)
    except LookupError:
        kind = "user id" if text.isdecimal() else "user name"
        hint = f"there is no such user: create it, or see getent passwd {text}".rstrip()
        raise ValueError(f"Invalid {kind} {text}", hint) from None


def user_and_group(text: str, context: EvalContext) -> tuple[int, int | None]:
    """``USER``, ``USER:GROUP`` or numbers, which need no entry if both are given.

    None: the group of the user.
    """
    name, colon, group = text.partition(":")
    if not colon:
        try:
            return user(text, context), None
        except ValueError:
            if _id(text) is None:
                raise
            hint = f"for a user that is not listed give the group too: {text}:{text}"
            raise ValueError(f"Invalid user id {text}", hint) from None
    uid, gid = _id(name), _id(group)
    if uid is None:
        uid = user(name, context)
    if gid is None:
        gid = _group(group, context)
    return uid, gid


def _id(text: str) -> int | None:
    """The number of a user or group, which need have no entry; None: it is a name."""
    number = natural(text)
    return number if number is not None and number <= LARGEST_ID else None


def user_env(text: str, _: EvalContext) -> UserEnv:
    try:
        return UserEnv(text.lower())
    except ValueError:
        raise ValueError(f"invalid 'user_env' value {text!r}", "use none or basic") from None


def environment_files(text: str, context: EvalContext) -> tuple[EnvironmentFile, ...]:
    """Absolute paths; a minus sign before one says that it may be missing."""
    files = tuple(
        EnvironmentFile(absolute_path(item.removeprefix("-"), context), item.startswith("-"))
        for item in strings(text, context)
    )
    if any(item.removeprefix("-").strip() == "" for item in strings(text, context)):
        raise ValueError("the path of an environment file is missing", "write PATH, -PATH")
    return files


def owner(text: str, context: EvalContext) -> tuple[int, int]:
    """``USER`` or ``USER:GROUP``; -1 leaves the group unchanged."""
    name, colon, group = text.partition(":")
    uid = user(name, context)
    return uid, _group(group, context) if colon else -1


def _group(group: str, context: EvalContext) -> int:
    try:
        return context.group_id(group)
    except LookupError:
        hint = f"there is no such group: create it, or see getent group {group}".rstrip()
        raise ValueError(f"Invalid group name {group}", hint) from None


def inet_address(text: str, _: EvalContext) -> tuple[str, int]:
    """``PORT``, ``:PORT``, ``*:PORT``, ``HOST:PORT`` or ``[IPv6]:PORT``; an empty
    host means all addresses."""
    host, _colon, port = text.strip().rpartition(":")
    try:
        number = int(port)
    except ValueError:
        raise ValueError(f"{text!r} is not a valid port number", "use PORT or HOST:PORT") from None
    if number not in _PORTS:
        raise ValueError(
            f"port number {number} is not between 1 and 65535", "use a free port, like 9001"
        )
    host = host.lower().removeprefix("[").removesuffix("]")
    return ("" if host == "*" else host), number


def fastcgi_url(text: str, _: EvalContext) -> str:
    """``unix:///ABSOLUTE/PATH`` or ``tcp://HOST:PORT``, normalised."""
    scheme, _sep, rest = text.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return f"unix://{posixpath.normpath(rest)}"
    host, _colon, port = rest.rpartition(":")
    bare = host.startswith("[") == host.endswith("]") and (":" not in host or host[0] == "[")
    if scheme == "tcp" and host and bare and natural(port) in _PORTS:
        return text
    raise ValueError(f"bad socket value {text!r}", "use unix:///absolute/path or tcp://host:port")


def event_length(text: str, _: EvalContext) -> EventLength:
    try:
        return EventLength(text.lower())
    except ValueError:
        raise ValueError(f"invalid 'event_len' value {text!r}", "use characters or bytes") from None


def log_format(text: str, _: EvalContext) -> LogFormat:
    try:
        return LogFormat(text.lower())
    except ValueError:
        raise ValueError(f"{text!r} is no log format", "use raw, prefix or json") from None


def compression(text: str, _: EvalContext) -> Compression:
    try:
        return Compression(text.lower())
    except ValueError:
        raise ValueError(f"{text!r} is no compression", "use gz or none") from None


def event_types(text: str, _: EvalContext) -> frozenset[str]:
    names = [name.upper() for name in strings(text, _)]
    for name in names:
        if name not in EVENT_TYPES:
            meant = suggestion(name, EVENT_TYPES)
            hint = "separate names by commas" if meant is None else f"did you mean {meant}?"
            raise ValueError(f"Unknown event type {name}", hint)
    return frozenset(names)


def dependencies(text: str, _: EvalContext) -> tuple[Dependency, ...]:
    return parse_dependencies(text)


def on_dependency_stop(text: str, _: EvalContext) -> OnDependencyStop:
    return parse_on_dependency_stop(text)
