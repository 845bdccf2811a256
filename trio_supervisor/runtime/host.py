"""Services that a supervisor gives its groups, pools and processes: log, clock, launcher, events.

Not the machine: the checks of the machine are in ``cli/check/host_checks.py``, and the names of an
HTTP server in ``web/access/hosts.py``. The engine reaches the outside only through a ``Host``, so
tests run it with fake children and a virtual clock.
"""

from __future__ import annotations

import os
from dataclasses import field
from random import random
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.output.gathering import GatheringReader
from trio_supervisor.runtime.output.merged import MergedOutputs
from trio_supervisor.runtime.system.deadlines import Deadlines
from trio_supervisor.runtime.system.fd_poller import FdPoller
from trio_supervisor.runtime.system.memory_counter import MemoryCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import trio

    from trio_supervisor.core.config.model import DaemonConfig, GroupConfig, ProcessConfig, Severity
    from trio_supervisor.core.events import Event
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.start import Key, Wait
    from trio_supervisor.runtime.cgroups.subtree import Subtree
    from trio_supervisor.runtime.events.bus import Bus
    from trio_supervisor.runtime.inspect.own_memory import OwnMemory
    from trio_supervisor.runtime.journal.journal import Journal
    from trio_supervisor.runtime.logs.sinks import Sinks
    from trio_supervisor.runtime.probes.notify_directory import NotifyDirectory
    from trio_supervisor.runtime.spawn.launcher import Launcher


def _reraise(error: BaseException) -> None:
    raise error


def _ignore_end(config: ProcessConfig, name: str, record: ProcessRecord) -> None:
    """A process has ended for good."""


def _ignore_group(config: GroupConfig) -> None:
    """A group has other processes."""


class Coordination(Protocol):
    """Keeps starts and stops in the order of the dependencies."""

    def may_start(self, wait: Wait, /) -> bool:
        """Whether a process may be spawned now; else ``wait`` says what it waits for.

        Whenever that may have changed, the process is woken.
        """

    def holds_stop(self, key: Key, cause: Cause, among: frozenset[Key], /) -> bool:
        """Whether others must end before a process is sent its stop signal.

        It is carried out then (``Driver.stop``). ``among``: the processes that are stopped together
        with it.
        """

    def stop_held_by(self, key: Key, /) -> list[str]:
        """Return the full names of those that must end before a process is told to stop."""

    def groups_changed(self) -> None:
        """Take note that a group or a process was added or removed."""

    def in_start_order(self, keys: Iterable[Key], /) -> list[Key]:
        """Each behind those that it needs, else in the order given."""


class Keeping(Protocol):
    """Keeps what the next daemon needs if this one is killed (``survive = adopt``)."""

    def before_fork(self, key: Key, ends: Mapping[str, int], /) -> None:
        """Keep our ends of the pipes of a child that is about to be made; in a worker thread."""

    def changed(self, key: Key, /) -> None:
        """Take note that a process has another child or another stdin."""


@dataclass(slots=True)
class Host:
    """Services of one supervisor for its groups, pools and processes."""

    daemon: DaemonConfig
    log: Callable[[Severity, str], None]
    """Writes one record to the activity log."""
    sinks: Sinks
    bus: Bus
    launch: Launcher
    """Makes a child process from its ``SpawnSpec``: a ``ProcessLauncher``, or a fake in tests."""
    wall_clock: Callable[[], float]
    """Seconds since the epoch, for display only."""
    journal: Journal
    """Gets an entry about everything that changes a process."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment of the supervisor: the lowest layer of that of each child."""
    server_url: str | None = None
    owner: str = ""
    """Path of the configuration whose next daemon ends what is left of this one; empty: none."""
    accepting: bool = True
    """False from the beginning of a shutdown or restart: nothing is spawned after that."""

    cgroups: Subtree | None = None
    """Where programs get cgroups; None: nowhere."""
    hold: trio.Event | None = None
    """No start is begun while there is one: the supervisor is about to be handed over."""
    letting_go: bool = False
    """Whether the tasks of the supervisor end, and its children go on with another one: whatever
    belongs to a child stays open."""

    coordination: Coordination | None = None
    """None: no process depends on another one."""
    keeping: Keeping | None = None
    """None: nothing is kept for a next daemon."""
    groups_changed: Callable[[GroupConfig], None] = _ignore_group
    """Called with a group to which a process was added, or from which one was removed."""
    poller: FdPoller = field(default_factory=FdPoller)
    """Reads the replies of all event listeners."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    """Those of all processes."""
    gathering: GatheringReader = field(init=False)
    """Reads the output of all programs."""
    outputs: MergedOutputs = field(init=False)
    """The streams of the output of several processes."""
    chance: Callable[[], float] = random
    """A random number from 0 to 1 for the jitter of pauses."""
    memory_kills: MemoryCounter = field(default_factory=MemoryCounter)
    """Tells whether the kernel has killed a child for lack of memory."""
    ended_unasked: Callable[[ProcessConfig, str, ProcessRecord], None] = _ignore_end
    """Called with the configuration, full name and record of a process that has ended for good,
    although nobody has asked it to stop."""
    abort: Callable[[BaseException], None] = _reraise
    """Called with an exception of a task that has to end the program (KeyboardInterrupt)."""

    _notify_directory: NotifyDirectory | None = None
    _own_memory: OwnMemory | None = None

    def __post_init__(self) -> None:
        self.gathering = GatheringReader(self.sinks.batch())
        self.outputs = MergedOutputs(self.wall_clock)

    def notify_directory(self, path: str | None = None) -> NotifyDirectory:
        """Return the directory of notify sockets; the first call makes it ready.

        ``path`` is that of one which an earlier supervisor has made.
        """
        if self._notify_directory is None:
            from trio_supervisor.runtime.probes.notify_directory import NotifyDirectory

            self._notify_directory = NotifyDirectory(os.environ, path)
        return self._notify_directory

    def own_memory(self) -> OwnMemory:
        """Return what reads the memory of programs whose ``memory_max`` is watched."""
        if self._own_memory is None:
            from trio_supervisor.runtime.inspect.own_memory import OwnMemory

            self._own_memory = OwnMemory()
        return self._own_memory

    def close(self) -> None:
        """Remove what was made on the way: the supervisor has ended."""
        if self._notify_directory is not None:
            if self.letting_go:
                self._notify_directory.unlock()  # the next supervisor locks it
            else:
                self._notify_directory.close()

    def publish(self, event: Event) -> None:
        self.bus.publish(event)
