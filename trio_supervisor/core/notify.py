"""Messages of the daemon to the service manager that started it (``sd_notify(3)``): pure rules.

The service manager is systemd, or a container runtime that implements the same protocol.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.escape import escaped
from trio_supervisor.core.process.states import STOPPED_STATES, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Variables that are meant for the daemon alone. A child that inherited them could report the
#: daemon ready, or take over its watchdog and sockets.
OWN_VARIABLES = frozenset(
    {
        *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"),
        *("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"),
    }
)
#: States that the status names processes for: an administrator has to look at these.
TROUBLE = (State.FATAL, State.BACKOFF, State.UNKNOWN)
#: Most names in a status. systemd shows it as one line.
MOST_NAMES = 5
#: Seconds by which one message extends the stop timeout. Several are sent in that time, so a
#: daemon that hangs is killed soon after the last one.
STOP_EXTENSION = 15.0
#: Seconds beyond ``stopwaitsecs`` in which a killed process must be gone: the drain of a listener
#: pool, and a kernel that is slow to end it.
STOP_MARGIN = 10.0


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """The requests of a service manager, from the environment of the daemon."""

    address: str
    """Path of a datagram socket, or ``@name`` in the abstract namespace."""
    watchdog: float | None
    """Seconds within which the manager expects a sign of life; None means no watchdog."""


def notify_settings(environment: Mapping[str, str], pid: int) -> NotifySettings | None:
    """Read the settings; None means that no service manager waits for messages.

    A watchdog that is meant for another process than ``pid`` is ignored, and so is an interval
    that is no positive number.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    meant_for = environment.get("WATCHDOG_PID", str(pid))
    interval = environment.get("WATCHDOG_USEC", "")
    watchdog = None
    if meant_for == str(pid) and interval.isascii() and interval.isdigit() and int(interval) > 0:
        watchdog = int(interval) / 1e6
    return NotifySettings(address, watchdog)


def environment_of_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that are meant for the daemon alone."""
    return {name: value for name, value in environment.items() if name not in OWN_VARIABLES}


def status_text(states: Mapping[str, State], *, leaving: str = "") -> str:
    """Summarise the states of all processes, by full name, in one line.

    ``leaving`` says that everything is being stopped, and why: ``stopping`` or ``restarting``.
    """
    if leaving:
        left = [name for name, state in states.items() if state not in STOPPED_STATES]
        return f"{leaving}, {_processes(len(left))} left{_named(left)}"
    counts = Counter(states.values())
    parts = []
    for state in sorted(counts, key=lambda state: (state is not State.RUNNING, state)):
        names = [name for name, each in states.items() if each is state]
        parts.append(f"{counts[state]} {state.name}{_named(names) if state in TROUBLE else ''}")
    return f"{_processes(len(states))}{': ' if parts else ''}{', '.join(parts)}"


def may_extend_stop(idle: float, stop_times: Iterable[float]) -> bool:
    """Whether a stop is still making progress, so that the service manager has to wait.

    ``idle`` is the number of seconds since a process has last changed its state, and
    ``stop_times`` are the ``stopwaitsecs`` of the processes that are left. A process that outlives
    its SIGKILL ends the extensions: then the stop timeout of the service manager applies.
    """
    return idle < max(stop_times, default=0.0) + STOP_MARGIN


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _named(names: list[str]) -> str:
    """Return up to MOST_NAMES names in parentheses; empty if there are none."""
    if not names:
        return ""
    shown = [escaped(name).replace("\n", "\\n") for name in names[:MOST_NAMES]]
    more = len(names) - len(shown)
    return f" ({', '.join(shown)}{f' and {more} more' if more else ''})"
