"""Options that a program gives as Python values: each must be what its name promises.

Files are checked when their text is converted (``core/config/converters.py``); here there is no
text.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.errors import ConfigError


def check(name: str, options: Mapping[str, object], known: frozenset[str]) -> None:
    """Raise ConfigError for an option that the thing called ``name`` cannot have or that is not
    what it must be. Values are shown, but for the environment's, which may be secret."""
    for option, value in options.items():
        if option not in known:
            meant = suggestion(option, known)
            hint = None if meant is None else f"did you mean {meant}?"
            raise ConfigError(f"{name}: there is no option {option}", option=option, hint=hint)
        is_right, what = _RULES[option]
        if not is_right(value):
            shown = "" if option == "environment" else f", not {value!r}"
            raise ConfigError(f"{name}: {option} must be {what}{shown}", option=option)


def command_line(name: str, command: str | Sequence[str]) -> str:
    """The command as a file would have it; of several words each is quoted. Raises ConfigError."""
    words = [command] if isinstance(command, str) else command
    if not _words(words) or not words[0].strip():
        raise ConfigError(f"{name}: the command must be text, or a sequence of texts")
    return command if isinstance(command, str) else shlex.join(words)


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


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) and _text(os.fspath(value))


def _text(value: object) -> bool:
    """What the system can pass to a program."""
    return isinstance(value, str) and "\0" not in value


def _several(each: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, Sequence) and not isinstance(value, str) and all(map(each, value))
    )


def _environment(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        _text(key) and key and "=" not in key and _text(text) for key, text in value.items()
    )


def _restart_policy(value: object) -> bool:
    return isinstance(value, (bool, Autorestart))


def _signal(value: object) -> bool:
    return _integer(value) and value in signal.valid_signals()


def _words(value: object) -> bool:
    return _several(_text)(value) and bool(value)


_COUNT = _count, "a whole number, 0 or more"
_BOOLEAN = _boolean, "True or False"
_PATH = _path, "a path"
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "autorestart": (_restart_policy, "True, False or an Autorestart"),
    "autostart": _BOOLEAN,
    "backoff": (_several(_number), "a sequence of seconds"),
    "directory": _PATH,
    "environment": (_environment, "a mapping of names to texts"),
    "exitcodes": (_several(_within(255)), "a sequence of numbers from 0 to 255"),
    "ignore_sigpipe": _BOOLEAN,
    "killasgroup": _BOOLEAN,
    "priority": (_integer, "a whole number"),
    "redirect_stderr": _BOOLEAN,
    "startretries": _COUNT,
    "startsecs": _COUNT,
    "stderr_logfile": _PATH,
    "stdout_logfile": _PATH,
    "stopasgroup": _BOOLEAN,
    "stopsignal": (_signal, "the number of a signal"),
    "stopwaitsecs": _COUNT,
    "uid": (_count, "the number of a user"),
    "umask": (_within(0o777), "a number from 0 to 0o777"),
}
