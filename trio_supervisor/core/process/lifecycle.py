"""Decisions about the life of a process, as pure functions of values.

What an exit means, whether it calls for a restart, and when the next attempt is due. The order of
events belongs to ``runtime/process/lifecycle.py``, the legality of moves to
``core/process/states.py``.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from trio_supervisor.core.config.model import Autorestart

#: An EXITED process whose child lived less than this is not respawned earlier than this many
#: seconds after its last spawn, so that a crash loop cannot become a storm (P-118, Q-06).
RESTART_FLOOR = 1.0

#: Seconds between repeated SIGKILLs when stopwaitsecs is 0 (P-127), so that they do not spin.
KILL_REPEAT_FLOOR = 1.0

#: Names the platform gives to numbers that have several (P-107); Python prefers others.
_PREFERRED_NAMES = {signal.SIGABRT: "SIGABRT", signal.SIGCHLD: "SIGCHLD", signal.SIGPOLL: "SIGPOLL"}


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; ``signal 40`` for a number without a name (P-104)."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return _PREFERRED_NAMES.get(known, known.name)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: either with an exit code or by a signal.

    Both are None if it is not known, because another part of the program has reaped the child.
    """

    code: int | None
    signal: int | None = None
    core_dumped: bool = False

    @property
    def status(self) -> int:
        """The reported exit status: the code, or -1 for death by signal and if unknown (P-019)."""
        return -1 if self.code is None else self.code

    def __str__(self) -> str:
        """The cause as the activity log shows it (P-103 to P-105)."""
        if self.signal is None:
            return f"exit status {'unknown' if self.code is None else self.code}"
        core = " (core dumped)" if self.core_dumped else ""
        return f"terminated by {signal_name(self.signal)}{core}"

    def expected(self, exitcodes: tuple[int, ...]) -> bool:
        """Whether the child exited normally with a listed code (P-108 to P-110)."""
        return self.code is not None and self.code in exitcodes


def wants_restart(policy: Autorestart, *, expected: bool) -> bool:
    """Whether a process that left RUNNING by itself is started again (P-112 to P-114)."""
    return policy is Autorestart.ALWAYS or (policy is Autorestart.UNEXPECTED and not expected)


def restart_delay(lifetime: float) -> float:
    """Seconds from an exit to the automatic restart (P-117, P-118).

    ``lifetime`` is how long the child lived, in seconds.
    """
    return max(0.0, RESTART_FLOOR - lifetime)


def kill_interval(stopwaitsecs: float) -> float:
    """Seconds from one SIGKILL to the next, should it not help (P-127)."""
    return stopwaitsecs or KILL_REPEAT_FLOOR


def retry_delay(failures: int, startretries: int, backoff: tuple[float, ...] = ()) -> float | None:
    """Seconds from the n-th consecutive failed start to the next attempt (P-085 to P-088).

    ``backoff`` names them, the last for all further; without it n. None: give up, the process
    becomes FATAL.
    """
    if failures > startretries:
        return None
    return backoff[min(failures, len(backoff)) - 1] if backoff else float(failures)
