"""What a process, a group and a pool need from the supervisor that owns them.

Everything from outside comes through here (architecture decision 13), so that the same engine runs
with fake children and a virtual clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.fd_poller import FdPoller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.config.model import DaemonConfig, Severity
    from trio_supervisor.core.events import Event
    from trio_supervisor.runtime.events.bus import Bus
    from trio_supervisor.runtime.logs.sinks import Sinks
    from trio_supervisor.runtime.spawn.launcher import Launcher


def _reraise(error: BaseException) -> None:
    raise error


@dataclass(slots=True)
class Host:
    """One per supervisor; shared by all its groups and processes."""

    daemon: DaemonConfig
    log: Callable[[Severity, str], None]
    """Writes one record to the activity log."""
    sinks: Sinks
    bus: Bus
    launch: Launcher
    wall_clock: Callable[[], float]
    """Seconds since the epoch, for display only (P-352)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The supervisor's own environment, the lowest layer of each child's (P-062)."""
    server_url: str | None = None
    accepting: bool = True
    """False from the moment of a shutdown or restart: nothing is spawned any more (P-173)."""

    poller: FdPoller = field(default_factory=FdPoller)
    """Reads the answers of all listeners."""
    abort: Callable[[BaseException], None] = _reraise
    """What becomes of an exception of a task that is to end the program (KeyboardInterrupt)."""

    def publish(self, event: Event) -> None:
        self.bus.publish(event)
