"""The types of option values: how each is written in a file, and how it is shown.

An option of a new type needs a converter and one line here. Reading INI and TOML, converting from
one to the other, the reference page, the JSON Schema, ``--export`` and ``getAllConfigInfo`` follow
from it.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

from trio_supervisor.core.config import converters
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.context import EvalContext
    from trio_supervisor.core.process.exit import Exit

#: How ``--export`` and ``getAllConfigInfo`` show that an option is not set.
NOT_SET = "none"
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"[0-9]+\.[0-9]+")


def _as_text(text: str) -> object:
    return text


def _as_boolean(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _as_integer(text: str) -> object:
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text


def _as_number(text: str) -> object:
    """Only what TOML writes as a number; ``1d`` stays text."""
    return float(text) if _FRACTION.fullmatch(text) else _as_integer(text)


def _as_list(text: str) -> object:
    return [item.strip() for item in text.split(",")] if text else text


def _as_integers(text: str) -> object:
    items = [item.strip() for item in text.split(",")]
    whole = all(map(_WHOLE_NUMBER.fullmatch, items))
    return [int(item) for item in items] if whole else _as_list(text)


def _as_durations(text: str) -> object:
    items = [item.strip() for item in text.split(",")]
    if not items[0][:1].isdigit():
        return text
    return _as_number(text) if len(items) == 1 else [_as_number(item) for item in items]


def _as_exits(text: str) -> object:
    return [_as_integer(item.strip()) for item in text.split(",")] if text else []


def _plain(value: Any) -> object:
    """A value of the model as JSON and TOML have it."""
    if isinstance(value, enum.Enum) and not isinstance(value, int):
        return {"true": True, "false": False}.get(value.value, value.value)
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def _plain_number(value: float) -> object:
    """Without the fraction of a whole number."""
    return int(value) if value == int(value) else value


def _plain_exit(ended: Exit) -> object:
    return ended.code if ended.signal is None else signal_name(ended.signal)


@dataclass(frozen=True, slots=True, eq=False)
class ValueType:
    """One type of option values."""

    label: str
    """What the reference page calls it."""
    convert: Callable[[str, EvalContext], object]
    """From text. Raises ValueError with what is wrong, and how to fix it as its second argument."""
    forms: tuple[str, ...] = ("string",)
    """JSON types in which the TOML form may write it."""
    native: Callable[[str], object] = _as_text
    """From the text of an INI file to the value that the TOML form writes."""
    plain: Callable[[Any], object] = _plain
    """From the value in the model, if it is set, to what JSON and TOML show."""
    shown_as: str = "string"
    """JSON type of what ``plain`` gives."""

    @property
    def is_list(self) -> bool:
        """True if TOML writes it as a list that INI separates by commas."""
        return "array" in self.forms and self is not COMMAND


BOOLEAN = ValueType(
    "true or false",
    converters.boolean,
    ("boolean", "string"),
    _as_boolean,
    shown_as="boolean",
)
INTEGER = ValueType(
    "whole number",
    converters.integer,
    ("integer", "string"),
    _as_integer,
    shown_as="integer",
)
BYTE_SIZE = ValueType(
    "size: a number, or KB, MB, GB", converters.byte_size, ("integer", "string"), shown_as="integer"
)
SIZE_LIMIT = ValueType(
    "size: a number, or KB, MB, GB",
    converters.size_limit,
    ("integer", "string"),
    shown_as="integer",
)
DURATION = ValueType(
    "seconds, or 500ms, 30s, 5m, 2h, 1d",
    converters.duration,
    ("number", "string"),
    _as_number,
    _plain_number,
    shown_as="number",
)
_RLIMIT = "SOFT or SOFT:HARD"
RLIMIT_BYTES = ValueType(
    f"{_RLIMIT}: sizes, or unlimited",
    converters.rlimit_bytes,
    ("integer", "string"),
    _as_integer,
    str,
)
RLIMIT_COUNT = ValueType(
    f"{_RLIMIT}: numbers, or unlimited",
    converters.rlimit_count,
    ("integer", "string"),
    _as_integer,
    str,
)
RLIMIT_SECONDS = ValueType(
    f"{_RLIMIT}: durations, or unlimited",
    converters.rlimit_seconds,
    ("number", "string"),
    _as_number,
    str,
)
RLIMIT_DURATION = ValueType(
    f"{_RLIMIT}: durations, or unlimited",
    converters.rlimit_duration,
    ("number", "string"),
    _as_number,
    str,
)
NICE = ValueType(
    "-20 to 19", converters.nice, ("integer", "string"), _as_integer, shown_as="integer"
)
OOM_SCORE = ValueType(
    "-1000 to 1000",
    converters.oom_score_adj,
    ("integer", "string"),
    _as_integer,
    shown_as="integer",
)
FRACTION = ValueType(
    "0 to 1", converters.fraction, ("number", "string"), _as_number, shown_as="number"
)
CORES = ValueType(
    "number of processors",
    converters.cores,
    ("number", "string"),
    _as_number,
    _plain_number,
    shown_as="number",
)
BACKOFF = ValueType(
    "linear, constant, exponential, or a list of durations",
    converters.backoff,
    ("string", "array", "number"),
    _as_durations,
    lambda value: [*map(_plain_number, value)] if isinstance(value, tuple) else value.value,
)
RESTART_LIMIT = ValueType("restarts/duration", converters.restart_limit, plain=str)
EXITS = ValueType(
    "list of exit codes and signals",
    converters.exits,
    ("array", "string", "integer"),
    _as_exits,
    lambda exits: [*map(_plain_exit, exits)],
    shown_as="array",
)
ON_FATAL = ValueType(
    "stay, or retry:duration", converters.on_fatal, plain=lambda seconds: f"retry:{seconds:g}s"
)
CGROUP = ValueType("off, auto or the path of a cgroup", converters.cgroup)
EXIT_WHEN = ValueType("never or all_ended", converters.exit_when)
SURVIVE = ValueType("none, kill or adopt", converters.survive)
OCTAL = ValueType("octal number", converters.octal, plain=lambda number: f"{number:04o}")
STRING = ValueType("text", converters.string)
COMMAND = ValueType("command line", converters.string, ("string", "array"))
ENVIRONMENT = ValueType(
    'KEY="value",...', converters.string, ("object", "string"), shown_as="object"
)
STRINGS = ValueType("list", converters.strings, ("array", "string"), _as_list, shown_as="array")
SIGNAL = ValueType(
    "signal", converters.signal, ("string", "integer"), plain=int, shown_as="integer"
)
KILL_MODE = ValueType("process, tree or cgroup", converters.kill_mode)
STOP_SEQUENCE = ValueType(
    "list of SIGNAL or SIGNAL:DURATION",
    converters.stop_sequence,
    ("array", "string"),
    _as_list,
    lambda steps: [str(step) for step in steps],
    shown_as="array",
)
EXIT_CODES = ValueType(
    "list of 0 to 255",
    converters.exit_codes,
    ("array", "string", "integer"),
    _as_integers,
    shown_as="array",
)
RESTART = ValueType(
    "true, false or unexpected", converters.restart, ("boolean", "string"), _as_boolean
)
LEVEL = ValueType("log level", converters.level, plain=lambda level: level.name.lower())
EXISTING_DIRECTORY = ValueType("existing directory", converters.existing_directory)
LOG_PATH = ValueType("file, or syslog", converters.log_path)
ABSOLUTE_FILE = ValueType("file", converters.absolute_file)
CHILD_LOG = ValueType("file, AUTO or NONE", converters.child_log)
USER = ValueType("user name or uid", converters.user, ("string", "integer"), shown_as="integer")
USER_ENV = ValueType("none or basic", converters.user_env)
ENVIRONMENT_FILES = ValueType(
    "list of files",
    converters.environment_files,
    ("array", "string"),
    _as_list,
    lambda files: [str(file) for file in files],
    shown_as="array",
)
OWNER = ValueType(
    "user or user:group", converters.owner, plain=lambda owner: ":".join(map(str, owner))
)
INET_ADDRESS = ValueType("address", converters.inet_address, ("string", "integer"))
FASTCGI_URL = ValueType("socket URL", converters.fastcgi_url)
EVENT_TYPES = ValueType(
    "list of event types", converters.event_types, ("array", "string"), _as_list
)
EVENT_LENGTH = ValueType("text", converters.event_length)
COMPRESSION = ValueType("gz or none", converters.compression)
LOG_FORMAT = ValueType("raw, prefix or json", converters.log_format)
DEPENDENCIES = ValueType(
    "list of NAME[:CONDITION][?]",
    converters.dependencies,
    ("array", "object", "string"),
    _as_list,
    lambda needs: [str(dependency) for dependency in needs],
    shown_as="array",
)
ON_DEPENDENCY_STOP = ValueType("keep, stop or restart", converters.on_dependency_stop)
POSITIVE = ValueType(
    "whole number from 1",
    converters.positive,
    ("integer", "string"),
    _as_integer,
    shown_as="integer",
)
READY = ValueType("condition", converters.ready, plain=str)
HEALTH = ValueType("check", converters.health, plain=str)
ON_UNHEALTHY = ValueType("restart, stop or none", converters.on_unhealthy)
