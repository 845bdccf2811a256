"""The supervisor: the groups that run, and what can be asked of all of them.

The XML-RPC door, the web pages and an embedding program call the same methods. It knows nothing of
HTTP, of signals to the daemon or of command lines.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING, Unpack

import trio

from trio_supervisor.core.config import model
from trio_supervisor.core.config.model import (
    Config,
    DaemonConfig,
    Diff,
    GroupConfig,
    Severity,
)
from trio_supervisor.core.config.reload import reread_daemon
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.errors import (
    AlreadyAdded,
    BadName,
    CantReread,
    ConfigError,
    RequestError,
    ServerError,
    ShuttingDown,
    StillRunning,
)
from trio_supervisor.core.events import (
    Event,
    ProcessGroupAdded,
    ProcessGroupRemoved,
    RemoteCommunication,
    SupervisorStateChangeRunning,
    SupervisorStateChangeStopping,
)
from trio_supervisor.core.process.cause import BOOT, Cause, CauseKind
from trio_supervisor.core.process.states import (
    STOPPED_STATES,
    DaemonState,
    State,
)
from trio_supervisor.runtime import operations
from trio_supervisor.runtime.definitions import build
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.events.history import EventHistory
from trio_supervisor.runtime.events.subscription import BUFFER_SIZE, EventStream, EventStreams
from trio_supervisor.runtime.events.ticks import tick
from trio_supervisor.runtime.group import Group
from trio_supervisor.runtime.guards import attempt, persist
from trio_supervisor.runtime.host import Host
from trio_supervisor.runtime.inspect.sampler import UsageSampler
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.runtime.shutdown import stop_groups
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.system.threads import NoThread, in_thread, in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.core.config.model import ProgramOptions, TaskOptions
    from trio_supervisor.runtime.logs.activity import ActivityLog
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.launcher import Launcher
    from trio_supervisor.runtime.spawn.task import TaskFunction

#: Seconds the end waits for log targets whose reader is slow.
SETTLE = 0.5


class Supervisor:
    """Runs the groups of a configuration. Made by ``open_supervisor`` or by the daemon."""

    def __init__(
        self,
        config: Config,
        *,
        log: Callable[[Severity, str], None],
        activity: ActivityLog | None = None,
        reload: Callable[[], Config] | None = None,
        prepare: Callable[[Config], None] = lambda config: None,
        bus: Bus | None = None,
        launch: Launcher | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``reload`` reads the configuration again, in a worker thread; it raises ConfigError.

        ``prepare`` makes ready, in a worker thread, what a restart needs that can fail; it raises
        ConfigError or ServerError.
        """
        self.config = config
        self.candidates = config.groups
        self.state = DaemonState.RUNNING
        self.successor: Config | None = None
        """What to run after a restart; None unless one was requested."""
        self.groups: dict[str, Group] = {}
        self.activity = activity
        self.log = log
        self.wall_clock = wall_clock
        self.started = wall_clock()
        """Wall-clock seconds."""
        self.event_history = EventHistory(wall_clock)
        self.usage = UsageSampler(self.processes)
        self._reload = reload
        self._prepare = prepare
        # One thread at most is lost to a file that hangs, and none of those that others need.
        self._reloading = trio.CapacityLimiter(1)
        self._launcher: ProcessLauncher | None = None
        """Closed at the end; None means that the caller closes the launcher it has given."""
        if launch is None:
            launch = self._launcher = ProcessLauncher(log=log)
        bus = Bus(log) if bus is None else bus
        bus.observe(self.event_history.record)
        self._host = Host(
            daemon=config.daemon,
            log=log,
            sinks=Sinks(log) if activity is None else activity.sinks,
            bus=bus,
            launch=launch,
            wall_clock=wall_clock,
            environment=dict(os.environ),
            server_url=config.server_url,
            abort=self._abort,
        )
        self.log_writes = self._host.sinks.writes
        """Wakes those who follow the log files that the daemon writes."""
        self._said = frozenset(config.messages)
        """Messages of the last read; those of the first are logged by the caller."""
        self._began_at: float | None = None
        self._own: dict[str, GroupConfig] = {}  # added from Python, unknown to any file
        self._nursery: trio.Nursery | None = None
        self._leaving = trio.Event()
        self._fatal: BaseException | None = None
        self._over = trio.Event()
        self._streams = EventStreams(self._host.bus, wall_clock)
        for group in config.groups:
            if group.name not in self.groups:  # equal names: the first (config.md 9.5)
                self._make(group)

    def events(self, *types: str | type[Event], buffer_size: int = BUFFER_SIZE) -> EventStream:
        """Hear of events of these types (names or classes; none: of all) inside this program.

        For ``async with``. The stream is bounded: when ``buffer_size`` events wait the oldest is
        dropped and counted in ``dropped``. It ends when the supervisor has ended. Raises
        ValueError.
        """
        return self._streams.open(types, buffer_size)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until a shutdown or restart was requested and carried out.

        ``task_status.started()`` is called when the supervisor answers requests, before the first
        process is spawned. Cancellation lets go of the children.
        """
        try:
            await self._run(task_status)
        finally:
            if self._launcher is not None:
                self._launcher.close()
            self._streams.end()
            self._over.set()
        if self.activity is None:  # an activity log settles the sinks it shares with us
            await in_thread_if_possible(self._host.sinks.settle, SETTLE)
        if self._fatal is not None:
            raise self._fatal

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._began_at = trio.current_time()
            nursery.start_soon(persist, partial(tick, self._host), "ticks", self.log)
            nursery.start_soon(persist, self._host.poller.run, "listeners' answers", self.log)
            for group in self.groups.values():
                nursery.start_soon(group.run)
            self._host.publish(SupervisorStateChangeRunning())
            task_status.started()
            self._start_soon(nursery, self.processes(), BOOT)
            await self._leaving.wait()
            await stop_groups(list(self.groups.values()), self.log)
            nursery.cancel_scope.cancel()

    def get_state(self) -> DaemonState:
        """The same as ``state``, under the name that plugins written for Supervisor call."""
        return self.state

    @property
    def uptime(self) -> float:
        """Seconds since ``run`` was called, by the monotonic clock."""
        return 0.0 if self._began_at is None else trio.current_time() - self._began_at

    def processes(self) -> list[Process]:
        """Every process, in start order: by group, then by priority."""
        return [p for group in self.groups.values() for p in group.processes.values()]

    def process(self, name: str) -> Process:
        """The process called ``group:process``, or ``process`` in the group of that name.

        Raises BadName.
        """
        group_name, colon, process_name = name.partition(":")
        group = self.groups.get(group_name)
        found = group.processes.get(process_name if colon else name) if group is not None else None
        if found is None:
            raise BadName(name)
        return found

    def group(self, name: str) -> Group:
        """The active group of that name. Raises BadName."""
        if name not in self.groups:
            raise BadName(name)
        return self.groups[name]

    start_all = staticmethod(operations.start_all)
    stop_all = staticmethod(operations.stop_all)
    restart_all = staticmethod(operations.restart_all)
    signal_all = staticmethod(operations.signal_all)

    async def reread(self) -> Diff:
        """Read the configuration again; nothing running changes (P-077 and config.md 13.1).

        Raises CantReread; the candidates of the last good read stay then.
        """
        config = await self._read_again()
        self.candidates = (*config.groups, *self._own.values())
        self._log_new([*config.messages, *self._take_over(config.daemon)])
        return model.diff({n: g.config for n, g in self.groups.items()}, self.candidates)

    def add_group(self, name: str) -> None:
        """Activate a group of the configuration last read.

        Raises AlreadyAdded, BadName or ShuttingDown.
        """
        if name in self.groups:
            raise AlreadyAdded(name)
        config = next((group for group in self.candidates if group.name == name), None)
        if config is None:
            raise BadName(name)
        self._activate(config)

    def add(self, config: GroupConfig) -> Group:
        """Add a group that is in no file; its autostart processes are started.

        A reread leaves it alone. Raises AlreadyAdded or ShuttingDown.
        """
        if config.name in self.groups:
            raise AlreadyAdded(config.name)
        group = self._activate(config)
        self._own[config.name] = config
        self.candidates = (*self.candidates, config)
        return group

    def add_program(
        self, name: str, command: str | Sequence[str], **options: Unpack[ProgramOptions]
    ) -> Process:
        """Add a program as a group of its own, under its own name (see ``add``).

        Raises ConfigError for a name that cannot be used.
        """
        return self.add(build.program(name, command, options)).processes[name]

    def add_task(
        self, name: str, function: TaskFunction, **options: Unpack[TaskOptions]
    ) -> Process:
        """Add an async function that lives by the rules of a program (see ``add_program``).

        It is RUNNING when it calls ``task_status.started()`` if it takes ``task_status``, else
        after startsecs. An exception is exit status 1, with a traceback in its stderr log; stopping
        is cancellation.
        """
        return self.add(build.task(name, function, options)).processes[name]

    async def remove(self, name: str) -> None:
        """Stop a group, then forget it; what another request does of this is joined.

        Raises BadName, or StillRunning if it was started again.
        """
        group = self.group(name)
        members = list(group.processes.values())
        for process in members:
            process.hold()
        await self.stop_all(members)
        self._forget(group)

    async def remove_stopped(self, name: str) -> None:
        """Forget a group that has nothing running, or of which the last process is being stopped.

        Raises BadName or StillRunning.
        """
        group = self.group(name)
        members = group.processes.values()
        if any(p.state not in STOPPED_STATES and not p.stopping for p in members):
            raise StillRunning(name)
        for process in members:
            await process.ended()
        self._forget(group)

    def _forget(self, group: Group) -> None:
        """Remove a group unless another request has done so. Raises StillRunning."""
        if self.groups.get(group.name) is group:
            self.remove_group(group.name)

    def remove_group(self, name: str) -> None:
        """Forget a group that has nothing running. Raises BadName or StillRunning."""
        group = self.group(name)
        if not group.at_rest:
            raise StillRunning(name)
        del self.groups[name]
        if self._own.pop(name, None) is not None:
            self.candidates = tuple(group for group in self.candidates if group.name != name)
        group.close()
        group.remove_auto_logs()
        self._host.publish(ProcessGroupRemoved(name))

    def request_shutdown(self) -> None:
        """Stop everything and end ``run``."""
        self.successor = None
        self._leave(DaemonState.SHUTDOWN)

    async def shutdown(self, within: float | None = None) -> None:
        """Stop everything in order and return when ``run`` is about to end.

        What is left after ``within`` seconds is killed; None: each has its own stopwaitsecs.
        """
        self.request_shutdown()
        with trio.move_on_after(math.inf if within is None else within):
            await self._over.wait()
            return
        self.log(Severity.WARN, f"not all has stopped within {within} seconds, killing the rest")
        for process in self.processes():
            if process.state is State.STARTING:  # being spawned, perhaps
                await process.spawned()
            with contextlib.suppress(RequestError):  # it has just ended, or said why in the log
                process.signal(SIGKILL)
        await self._over.wait()

    async def restart(self) -> None:
        """Stop everything and end ``run``, to start afresh with ``successor``.

        The configuration is read and validated first, and what it needs is made ready: if that
        cannot be nothing is stopped, one CRIT line says why and CantReread is raised.
        """
        try:
            config = await self._read_again()
            await self._make_ready(config)
        except CantReread as error:
            self.log(Severity.CRITICAL, f"restart refused, everything keeps running: {error}")
            raise
        if self.state is not DaemonState.SHUTDOWN:  # an exit request wins (P-167)
            self.successor = config
            self._leave(DaemonState.RESTARTING)

    def send_remote_communication(self, type: str, data: str) -> None:
        """Publish a REMOTE_COMMUNICATION event."""
        self._host.publish(RemoteCommunication(type, data))

    def publish(self, event: Event) -> None:
        """Publish an event of one's own."""
        self._host.publish(event)

    def reopen_logs(self) -> None:
        """Open the activity log and the logs of all children by name again (P-247).

        A log that cannot be reopened costs a line, never more (P-249, Q-43).
        """
        self.log(Severity.INFO, "supervisord logreopen")
        if self.activity is not None:
            try:
                self.activity.reopen()
            except OSError as error:
                self.log(Severity.CRITICAL, f"could not reopen the activity log: {error}")
        for process in self.processes():
            for channel in (process.stdout, process.stderr):
                try:
                    channel.reopen()
                except OSError as error:
                    self.log(Severity.CRITICAL, f"could not reopen {channel.logfile}: {error}")

    def _take_over(self, read: DaemonConfig) -> tuple[Diagnostic, ...]:
        """Bring changed options of ``[supervisord]`` into force; what the log is to say of them."""
        daemon, messages = reread_daemon(self.config.daemon, read)
        self.config = replace(self.config, daemon=daemon)
        self._host.daemon = daemon
        return messages

    def _log_new(self, messages: list[Diagnostic]) -> None:
        """Log what the last read has not said already: tools reread every few minutes."""
        for message in messages:
            if message not in self._said:
                self.log(message.severity, str(message))
        self._said = frozenset(messages)

    def _activate(self, config: GroupConfig) -> Group:
        if self.state is not DaemonState.RUNNING:
            raise ShuttingDown
        group = self._make(config)
        if self._nursery is not None:
            self._nursery.start_soon(group.run)
            cause = Cause(CauseKind.CONFIGURATION, cause_of_request().who)
            self._start_soon(self._nursery, list(group.processes.values()), cause)
        return group

    async def _read_again(self) -> Config:
        if self._reload is None:
            raise CantReread("this supervisor was not made from a configuration file")
        try:
            # Reading changes nothing: an end of ours does not wait for a disk that hangs.
            return await in_thread(self._reload, abandon_on_cancel=True, limiter=self._reloading)
        except NoThread as error:
            raise CantReread(str(error.strerror)) from error
        except ConfigError as error:
            raise CantReread(error.placed) from error

    async def _make_ready(self, config: Config) -> None:
        try:
            await trio.to_thread.run_sync(self._prepare, config, limiter=self._reloading)
        except (ConfigError, ServerError) as error:
            text = error.placed if isinstance(error, ConfigError) else str(error)
            raise CantReread(text) from error

    def _make(self, config: GroupConfig) -> Group:
        group = Group(config, self._host)
        self.groups[config.name] = group
        # Later groups come after the others of equal priority (P-146).
        self.groups = dict(sorted(self.groups.items(), key=lambda item: item[1].priority))
        self._host.publish(ProcessGroupAdded(config.name))
        return group

    async def _autostart(self, processes: list[Process], cause: Cause) -> None:
        """Spawn one after the other, without waiting for any to be RUNNING (P-150 to P-152)."""
        for process in processes:
            wanted = process.config.autostart and process.is_untouched
            if wanted and self._host.accepting:
                process.begin(cause)
                with trio.move_on_after(operations.SPAWN_PATIENCE):
                    await process.spawned()

    def _start_soon(self, nursery: trio.Nursery, processes: list[Process], cause: Cause) -> None:
        start = partial(self._autostart, processes, cause)
        nursery.start_soon(attempt, start, "autostart", self.log)

    def _abort(self, error: BaseException) -> None:
        """What ends the program waits until everything has stopped."""
        self._fatal = error
        self.request_shutdown()

    def _leave(self, state: DaemonState) -> None:
        first = self.state is DaemonState.RUNNING
        self.state = state
        if first:
            self._host.accepting = False
            for process in self.processes():
                process.hold()
            self._host.publish(SupervisorStateChangeStopping())
            self._leaving.set()
