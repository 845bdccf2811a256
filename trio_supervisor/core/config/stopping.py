"""How a process is stopped and asked to refresh, and what is run around its life."""

from __future__ import annotations

import enum

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.signals import signal_name


@dataclass(frozen=True, slots=True)
class SignalStep:
    """One step of ``stop_sequence``."""

    signal: int
    wait: float | None = None
    """Seconds until the next step; None: stopwaitsecs."""

    def __str__(self) -> str:
        """Return the value as a configuration file has it."""
        name = signal_name(self.signal).removeprefix("SIG")
        name = name.removeprefix("signal ")
        return name if self.wait is None else f"{name}:{self.wait:g}s"


class KillMode(enum.Enum):
    """Set of processes that must have ended when a program is STOPPED."""

    PROCESS = "process"
    """The main process; a group with stopasgroup and killasgroup."""
    TREE = "tree"
    """All processes that it has started."""
    CGROUP = "cgroup"
    """All processes of its cgroup; without one as TREE."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """Options about stopping a process and about refreshing it without a restart."""

    sequence: tuple[SignalStep, ...] = ()
    """Signals in the place of ``stopsignal``; SIGKILL follows the last."""
    kill_mode: KillMode = KillMode.PROCESS
    command: str | None = None
    """A command that stops it, before any signal."""
    pre_start: str | None = None
    """A command before each start."""
    post_stop: str | None = None
    """A command after each end."""
    hook_timeout: float = 30.0
    """Seconds after which these two and ``refresh_command`` are killed."""
    refresh_signal: int | None = None
    """What asks it to refresh itself; None: SIGHUP."""
    refresh_command: str | None = None
    """A command for that, in the place of the signal."""

    @property
    def can_refresh(self) -> bool:
        """Whether an option says how it refreshes itself."""
        return self.refresh_signal is not None or self.refresh_command is not None


#: How all processes without such options stop, shared.
NO_STOPPING = Stopping()
