"""The supervisor: the groups that run, and what can be asked of all of them.

XML-RPC, the JSON API, the web pages and an embedding program call the same methods. The supervisor
knows nothing of HTTP, of signals to the daemon or of command lines.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import trio

from trio_supervisor.core.config import model
from trio_supervisor.core.config.model import (
    Config,
    DaemonConfig,
    Diff,
    ExitWhen,
    GroupConfig,
    GroupKind,
    Severity,
)
from trio_supervisor.core.config.python_values import signal_number
from trio_supervisor.core.config.reload import reread_daemon
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.errors import (
    BadName,
    CantReread,
    ConfigError,
)
from trio_supervisor.core.events import (
    TICKS,
    Event,
    RemoteCommunication,
    SupervisorStateChangeRunning,
    SupervisorStateChangeStopping,
    ticks_between,
)
from trio_supervisor.core.plan import Plan, make_plan
from trio_supervisor.core.process.cause import BOOT, POLICY, Cause, CauseKind
from trio_supervisor.core.process.ending import code_if_all_ended, failure_of
from trio_supervisor.core.process.states import (
    STOPPED_STATES,
    DaemonState,
)
from trio_supervisor.runtime.config_source import ConfigSource
from trio_supervisor.runtime.embedding import definitions
from trio_supervisor.runtime.embedding.jobs import run_job
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.events.history import EventHistory
from trio_supervisor.runtime.events.subscription import BUFFER_SIZE, EventStream, EventStreams
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.groups.active_groups import ActiveGroups
from trio_supervisor.runtime.groups.coordination import in_group_order
from trio_supervisor.runtime.groups.ending import blocked_for_good, kill_all, stop_on_signals
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.guards import run_forever, run_logged
from trio_supervisor.runtime.host import Host
from trio_supervisor.runtime.inspect.sampler import UsageSampler
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES
from trio_supervisor.runtime.requester import cause_of_request, requested_by
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.task import TaskChild
from trio_supervisor.runtime.system.threads import in_thread_if_possible, require_trio_of
from trio_supervisor.runtime.upgrades import Upgrades

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
    from contextlib import AbstractContextManager

    from trio_supervisor.core.config.keywords import ProgramOptions, TaskOptions
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.errors import ProcessFailed
    from trio_supervisor.core.journal.chain import Why
    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.cgroups.subtree import Subtree
    from trio_supervisor.runtime.embedding.definitions import CommandWords, NumberedCommand
    from trio_supervisor.runtime.embedding.jobs import Completed
    from trio_supervisor.runtime.events.subscription import EventOverflow
    from trio_supervisor.runtime.groups.operations import StepResult
    from trio_supervisor.runtime.logs.activity import ActivityLog
    from trio_supervisor.runtime.output.backlog import Overflow
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.output.merged import MergedOutput
    from trio_supervisor.runtime.process.process import Process, Result
    from trio_supervisor.runtime.spawn.launcher import Launcher
    from trio_supervisor.runtime.spawn.task import TaskFunction

E = TypeVar("E", bound=Event)

#: Seconds that a shutdown waits for log targets whose reader is slow.
CLOSE_TIMEOUT = 0.5
#: Longest pause in seconds between two readings of the wall clock for TICK events: the clock may be
#: set, or go on while the machine sleeps.
TICK_PAUSE = 1.0
#: Seconds that killed processes get to be recorded as ended, before the supervisor lets go of them.
KILL_PATIENCE = 5.0


class Supervisor:
    """Runs the groups of a configuration. Made by ``open_supervisor`` or by the daemon."""

    def __init__(
        self,
        config: Config,
        *,
        log: Callable[[Severity, str], None],
        environment: Mapping[str, str],
        activity: ActivityLog | None = None,
        reload: Callable[[], Config] | None = None,
        prepare: Callable[[Config], None] = lambda config: None,
        bus: Bus | None = None,
        launch: Launcher | None = None,
        wall_clock: Callable[[], float] = time.time,
        journal: Journal | None = None,
        cgroups: Subtree | None = None,
    ) -> None:
        """``environment`` is the lowest layer of that of each child.

        ``reload`` reads the configuration again, in a worker thread; it raises ConfigError.

        ``prepare`` makes ready, in a worker thread, what a restart needs that can fail; it raises
        ConfigError or ServerError.

        ``journal`` was opened by the caller, and goes on after a restart; None means a new one.
        ``cgroups`` is where programs get cgroups.
        """
        self.config = config
        self.state = DaemonState.RUNNING
        self.exit_code = 0
        """That of the daemon: 0, or what the essential process that has ended gives it."""
        self.successor: Config | None = None
        """Configuration to run after a restart; None means that no restart was requested."""
        self.activity = activity
        self.log = log
        self.wall_clock = wall_clock
        self.started = wall_clock()
        """Wall-clock seconds."""
        self.event_history = EventHistory(wall_clock)
        self._opens_journal = journal is None
        self.journal = Journal(wall_clock) if journal is None else journal
        self.usage = UsageSampler(self.processes)
        self._launcher: ProcessLauncher | None = None
        """Closed at the end; None means that the caller closes the launcher it has given."""
        if launch is None:
            launch = self._launcher = ProcessLauncher(log=log)
        self._source = ConfigSource(reload, prepare)
        bus = Bus(log) if bus is None else bus
        bus.observe(self.event_history.record)
        self._host = Host(
            daemon=config.daemon,
            log=log,
            sinks=Sinks(log) if activity is None else activity.sinks,
            bus=bus,
            launch=launch,
            wall_clock=wall_clock,
            journal=self.journal,
            environment=environment,
            server_url=config.server_url,
            owner=config.path or "" if config.daemon.survive.marks else "",
            abort=self._abort,
            ended_unasked=self._ended_unasked,
            cgroups=cgroups,
        )
        self.log_writes = self._host.sinks.writes
        """Wakes the followers of log files that the daemon writes."""
        self.upgrades = Upgrades()
        self.arrival: Callable[[], object] | None = None
        """Called in place of a boot if it goes on with the state of another supervisor."""
        self.before_boot: Callable[[Cause], Awaitable[object]] | None = None
        """Awaited before the first program is started, unless a request to leave comes first."""
        self._logged_messages = frozenset(config.messages)
        """Messages of the last read, already logged; the caller logs those of the first read."""
        self._began_at: float | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        """Of all that runs until the end; None before ``run``."""
        self._leaving = trio.Event()
        self._leaving_by = Cause(CauseKind.SHUTDOWN)
        self._fatal: BaseException | None = None
        self.failure: ProcessFailed | None = None
        """The first essential process that has ended for good, and so ended the supervisor."""
        self.on_leave: Callable[[Cause], None] = lambda cause: None
        """Called once when the supervisor begins to stop or to restart, with the cause."""
        self._over = trio.Event()
        self._scope = trio.CancelScope()
        """Around all that ``run`` does."""
        self._streams = EventStreams(self._host.bus, wall_clock)
        self.active = ActiveGroups(config, self._host)

    def __repr__(self) -> str:
        return f"<Supervisor {self.state.name}: groups {', '.join(self.groups) or 'none'}>"

    @overload
    def events(
        self, *, buffer_size: int = BUFFER_SIZE, overflow: EventOverflow = "drop_oldest"
    ) -> EventStream[Event]: ...

    @overload
    def events(
        self,
        *types: type[E],
        buffer_size: int = BUFFER_SIZE,
        overflow: EventOverflow = "drop_oldest",
    ) -> EventStream[E]: ...

    @overload
    def events(
        self,
        *types: str | type[Event],
        buffer_size: int = BUFFER_SIZE,
        overflow: EventOverflow = "drop_oldest",
    ) -> EventStream[Event]: ...

    def events(
        self,
        *types: str | type[Event],
        buffer_size: int = BUFFER_SIZE,
        overflow: EventOverflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Hear of events of these types (names or classes; none: of all) inside this program.

        For ``async with``. The stream is bounded: when ``buffer_size`` events wait the oldest is
        dropped and counted in ``dropped``; with ``overflow="error"`` the reader gets StreamOverflow
        instead, and the stream ends. With ``overflow="block"`` none is lost: a program that some of
        them come from is not started again by itself, and its output is not read if that makes
        events, until the reader goes on; changes of state and requests wait for no reader, and
        their events are kept. The stream ends when the supervisor has ended. Raises
        TypeError for what is neither a name nor a class of events, ValueError for an unknown name.
        """
        return self._streams.open(types, buffer_size, overflow)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until a shutdown or restart was requested and carried out.

        ``task_status.started()`` is called when the supervisor answers requests, before the first
        process is spawned. Cancellation lets go of the children.
        """
        try:
            with self._scope:
                await self._run(task_status)
        finally:
            if self._launcher is not None:
                self._launcher.close()
            self._host.close()
            self._streams.end()
            self._host.outputs.end()
            self._over.set()
        if self.successor is None:  # else the next supervisor goes on with it
            await self.journal.close()
        if self.activity is None:  # an activity log settles the sinks it shares with us
            await in_thread_if_possible(self._host.sinks.settle, CLOSE_TIMEOUT)
        if self._fatal is not None:
            raise self._fatal

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        if self._opens_journal:
            await self.journal.open(self.config.daemon, self.log)
        async with trio.open_nursery() as nursery:
            if self._began_at is None:
                self._began_at = trio.current_time()
            if (writer := self.journal.writer) is not None:
                nursery.start_soon(run_forever, writer, "journal", self.log)
            self._nursery = nursery
            self._token = trio.lowlevel.current_trio_token()
            nursery.start_soon(run_forever, partial(tick, self._host), "ticks", self.log)
            nursery.start_soon(run_forever, self._host.poller.run, "listeners' answers", self.log)
            nursery.start_soon(run_forever, self._host.deadlines.run, "deadlines", self.log)
            self.active.run_in(nursery)
            if self.arrival is not None:
                self.arrival()
                task_status.started()
            else:
                self._host.publish(SupervisorStateChangeRunning())
                boot = BOOT.of(self.journal.started(self.config.path))
                if self.before_boot is not None:
                    await self._until_leaving(partial(self.before_boot, boot))
                task_status.started()
                self.active.autostart(boot)
            await self._leaving.wait()
            await self._stop_all(list(self.groups.values()))
            nursery.cancel_scope.cancel()

    async def _until_leaving(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run a task to its end; cancel it when the supervisor is to stop or to restart."""
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                await task()
                nursery.cancel_scope.cancel()

            nursery.start_soon(run)
            await self._leaving.wait()
            nursery.cancel_scope.cancel()

    async def _stop_all(self, groups: list[Group]) -> None:
        cause, within = self._leaving_by, self.config.daemon.stop_timeout
        graph = self.active.dependencies.graph
        stop = partial(operations.shut_down, groups, self.log, cause, graph)
        if within is None:
            await stop()
            return
        from trio_supervisor.runtime.groups.stop_timeout import stop_within  # few daemons need it

        if not await stop_within(within, groups, graph, cause, stop):
            self._log_left()

    def start_task(self, task: Callable[[], Awaitable[object]], what: str) -> None:
        """Run a task beside everything else; an error in it is logged. Only while it runs."""
        assert self._nursery is not None
        self._nursery.start_soon(run_logged, task, what, self.log)

    def let_go(self) -> None:
        """End ``run`` without a stop: everything stays as it is, for another supervisor.

        ``runtime/handover/departure.py`` makes sure that nothing is under way.
        """
        self._host.letting_go = True
        self._scope.cancel()

    def get_state(self) -> DaemonState:
        """The same as ``state``, under the name that plugins written for Supervisor call."""
        return self.state

    @property
    def uptime(self) -> float:
        """Seconds since ``run`` was called, by the monotonic clock."""
        return 0.0 if self._began_at is None else trio.current_time() - self._began_at

    @property
    def groups(self) -> dict[str, Group]:
        """The active groups by name, in start order."""
        return self.active.by_name

    @property
    def candidates(self) -> tuple[GroupConfig, ...]:
        """The groups of the configuration last read, and those added from Python."""
        return self.active.candidates

    def processes(self) -> list[Process]:
        """Every process, in start order: by group, then by priority."""
        return self.active.processes()

    def process(self, name: str) -> Process:
        """The process called ``group:process``, or ``process`` in the group of that name.

        Raises BadName.
        """
        _require_name(name, "process")
        group_name, colon, process_name = name.partition(":")
        group = self.groups.get(group_name)
        found = group.processes.get(process_name if colon else name) if group is not None else None
        if found is None:
            raise BadName(name)
        return found

    def group(self, name: str) -> Group:
        """The active group of that name. Raises BadName."""
        _require_name(name, "group")
        return self.active.group(name)

    async def start(self, processes: Iterable[Process], *, wait: bool = True) -> list[Result]:
        """Start all that are not RUNNING in the order given, then wait for all.

        Each as ``Process.start`` does: failed tries are retried, and what is under way is joined.
        Results come in order of completion; ``error`` is what ``Process.start`` would raise.
        """
        return await operations.start(operations.listed(processes), wait=wait)

    async def stop(
        self, processes: Iterable[Process], *, wait: bool = True, to_restart: bool = False
    ) -> list[Result]:
        """Stop those in the running set, last first, then wait for all.

        Stops that are under way are joined. ``to_restart``: the first half of a restart.
        """
        return await operations.stop(operations.listed(processes), wait=wait, to_restart=to_restart)

    async def restart(
        self,
        processes: Iterable[Process],
        *,
        wait: bool = True,
        check: Callable[[], object] = lambda: None,
    ) -> list[Result]:
        """Stop those in the running set, last first, then start all; results are of the starts.

        Stops that are under way are joined. ``check`` is called before the starts; what it raises
        leaves all stopped. A process that another request has stopped meanwhile is not started,
        which is AbnormalTermination. Failed tries are retried, as by ``Process.restart``.
        """
        return await operations.restart(operations.listed(processes), wait=wait, check=check)

    async def start_once(self, processes: Iterable[Process], *, wait: bool = True) -> list[Result]:
        """``start`` as clients are answered: it fails at the first failed try."""
        return await operations.start_once(processes, wait=wait)

    async def restart_once(
        self,
        processes: Iterable[Process],
        *,
        wait: bool = True,
        check: Callable[[], object] = lambda: None,
    ) -> list[Result]:
        """``restart`` as clients are answered: a start fails at the first failed try."""
        return await operations.restart(
            operations.listed(processes), wait=wait, check=check, once=True
        )

    def signal(self, processes: Iterable[Process], signal: int | str) -> list[Result]:
        """Send a signal, given by number or name, to those that have a child."""
        return operations.signal(operations.listed(processes), signal_number(signal))

    async def refresh(self, processes: Iterable[Process]) -> list[Result]:
        """Refresh all at the same time, as ``Process.refresh`` does."""
        return await operations.refresh(operations.listed(processes))

    start_all = start
    stop_all = stop
    signal_all = signal

    async def reread(self) -> Diff:
        """Read the configuration again; nothing that runs changes.

        Raises CantReread; the candidates of the last good read stay then.
        """
        config = await self._source.read()
        try:
            self.active.follow(config)
        except ConfigError as error:
            raise CantReread(str(error)) from error
        self._log_new([*config.messages, *self._take_over(config.daemon)])
        found = model.diff(self.active.configs, self.candidates)
        found = replace(found, added=tuple(in_group_order(self.candidates, found.added)))
        self.journal.reread(found, cause_of_request())
        return found

    async def plan(self) -> Plan:
        """Read the configuration again, and return what would have to be done to follow it.

        Nothing that runs changes. Raises CantReread.
        """
        await self.reread()
        order = partial(in_group_order, self.candidates)
        return make_plan(self.active.configs, self.candidates, order)

    async def apply(self, plan: Plan) -> list[StepResult]:
        """Carry out a plan: stop, remove, add and start groups.

        A step that fails keeps no other from its turn. Steps that another update has carried out
        meanwhile are done.
        """
        with requested_by(Cause(CauseKind.CONFIGURATION, cause_of_request().who)):
            return await operations.apply(plan, self.active)

    async def update(self) -> list[StepResult]:
        """Read the configuration again, and make it so. Raises CantReread."""
        return await self.apply(await self.plan())

    def add_group(self, name: str) -> None:
        """Activate a group of the configuration last read.

        Raises AlreadyAdded, BadName or ShuttingDown.
        """
        self.active.add_group(name)

    def add(self, config: GroupConfig) -> Group:
        """Add a group that is in no file; its autostart processes are started.

        A reread leaves it alone. Raises AlreadyAdded or ShuttingDown.
        """
        if not isinstance(config, GroupConfig):
            hint = "for a command there is add_program, for an async function add_task"
            raise TypeError(f"give a GroupConfig, not {config!r}; {hint}")
        require_trio_of(self._token)
        return self.active.add(config)

    def add_program(
        self, name: str, command: CommandWords, **options: Unpack[ProgramOptions]
    ) -> Process:
        """Add a program as a group of its own, under its own name.

        ``command`` is text with quotes as in a shell, the path of a program, or a sequence of a
        program and its arguments. Raises ConfigError for a wrong name, command or option,
        AlreadyAdded, ShuttingDown, or RuntimeError in another thread.
        """
        return self.add(definitions.program(name, command, options)).processes[name]

    def add_programs(
        self,
        name: str,
        command: NumberedCommand,
        numprocs: int,
        *,
        each: Callable[[int], ProgramOptions] | None = None,
        **options: Unpack[ProgramOptions],
    ) -> Group:
        """Add a program of several processes, ``name:name_00`` and so on, and return their group.

        ``command`` may be a function of the number, and ``each`` may return the options in which a
        process differs from the others. Raises as ``add_program`` does.
        """
        return self.add(definitions.programs(name, command, numprocs, options, each))

    def add_task(
        self, name: str, function: TaskFunction, *args: object, **options: Unpack[TaskOptions]
    ) -> Process:
        """Add an async function that lives by the rules of a program (see ``add_program``).

        It is called with ``args`` at each start. It is RUNNING when it calls
        ``task_status.started()`` if it takes ``task_status``, else after startsecs. An exception is
        exit status 1, with a traceback in its stderr log; stopping is cancellation. Raises as
        ``add_program`` does.
        """
        return self.add(definitions.task(name, function, options, args)).processes[name]

    def add_tasks(
        self,
        name: str,
        function: TaskFunction,
        *args: object,
        numprocs: int,
        **options: Unpack[TaskOptions],
    ) -> Group:
        """Run an async function in several tasks, ``name:name_00`` and so on; return their group.

        Otherwise as ``add_task``.
        """
        return self.add(definitions.tasks(name, function, numprocs, options, args))

    async def scale(self, name: str, count: int) -> list[Result]:
        """Give the program of a group so many processes; see ``Group.scale``.

        ``name`` is that of the group, or ``group:program`` if the group has several programs.
        """
        _require_name(name, "group")
        group, _, program = name.partition(":")
        return await self.group(group).scale(count, program=program or None)

    async def run_job(
        self,
        command: CommandWords,
        *,
        name: str | None = None,
        input: bytes = b"",
        check: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109  # no bound of the call
        **options: Unpack[ProgramOptions],
    ) -> Completed:
        """Run a program to its end, and return how it has ended and what it has written.

        It gets ``input`` on stdin, then an end of file. It is a program of this supervisor while it
        runs, called ``name`` or after its command, and has the same options, except those about
        starting again: a job counts as started at once. With ``check`` an exit status that is not
        in ``exitcodes`` raises ProcessFailed, which has the end of its output. After ``timeout``
        seconds it is stopped, and so it is when the call is cancelled; both take as long as its
        stop, ``stopwaitsecs`` at most. Raises NoFile, NotExecutable or SpawnFailed if it cannot be
        started, ConfigError, ProcessFailed after a timeout or if it was stopped.
        """
        return await run_job(
            self, command, name=name, input=input, check=check, timeout=timeout, options=options
        )

    def output(
        self,
        *names: str,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> AbstractContextManager[MergedOutput]:
        """Read the lines that several processes write during the block, in order of arrival.

        ``names`` are those of processes or of whole groups; none: of all. Processes that are added
        to these later are heard too. ``overflow`` decides what happens when ``buffer_bytes`` wait,
        as in ``Process.output``. Raises BadName or ValueError.
        """
        if buffer_bytes < 1:
            raise ValueError(f"a stream needs room for a byte, not for {buffer_bytes}")
        chosen: dict[Process, None] = {}
        for name in names:
            chosen |= dict.fromkeys(self.groups.get(name) or [self.process(name)])
        return self._host.outputs.open(
            chosen if names else self.processes(),
            buffer_bytes,
            overflow,
            groups=set(names) & self.groups.keys() if names else None,
        )

    async def remove(self, name: str) -> None:
        """Stop a group, then forget it; what another request does of this is joined.

        Raises BadName, or StillRunning if it was started again.
        """
        _require_name(name, "group")
        await self.active.remove(name)

    async def remove_stopped(self, name: str) -> None:
        """Forget a group in which nothing runs once the stops under way are carried out.

        Raises BadName or StillRunning.
        """
        await self.active.remove_stopped(name)

    def remove_group(self, name: str) -> None:
        """Forget a group that has nothing running. Raises BadName or StillRunning."""
        self.active.remove_group(name)

    def request_shutdown(self) -> None:
        """Stop everything and end ``run``."""
        self.successor = None
        self._leave(DaemonState.SHUTDOWN)

    async def shutdown(self, within: float | None = None) -> None:
        """Stop everything in order and return when ``run`` is about to end.

        What is left after ``within`` seconds is killed; None: each has its own stopwaitsecs. What
        is left a few seconds after that, because its disk or the kernel holds it up, is let go.
        Only a task that does not end although it was cancelled is waited for, because nothing can
        end it; the log names it every few seconds.
        """
        self.request_shutdown()
        with trio.move_on_after(math.inf if within is None else within):
            await self._over.wait()
            return
        left = [p.full_name for p in self.processes() if p.state not in STOPPED_STATES]
        waited = f"not all has stopped within {within} seconds, killing the rest"
        text = waited if within else "killing what has not stopped"
        self.log(Severity.WARN, f"{text}: {', '.join(left)}" if left else text)
        with trio.move_on_after(KILL_PATIENCE):
            await kill_all(self.processes())
            await self._over.wait()
            return
        self._log_left()
        self._scope.cancel()
        while not self._over.is_set():
            with trio.move_on_after(KILL_PATIENCE):
                await self._over.wait()
                return
            self._log_left()

    async def ended(self) -> None:
        """Return when everything has stopped after a shutdown, whoever requested it."""
        await self._over.wait()

    def stop_on(self, *signals: int) -> None:
        """Let the first of these signals to this program stop everything and end the block.

        A second one kills what is left. Their handlers come back when the supervisor has ended.
        Raises RuntimeError outside the main thread, and before and after the life of the
        supervisor.
        """
        if self._nursery is None or self._over.is_set():
            raise RuntimeError("the supervisor does not run")
        listen = stop_on_signals(self, signals)
        self._nursery.start_soon(listen)

    async def reload(self) -> None:
        """Stop everything and end ``run``, to start afresh with ``successor``.

        The configuration is read and validated first, and what it needs is made ready: if that
        cannot be nothing is stopped, one CRIT line says why and CantReread is raised.
        """
        try:
            config = await self._source.read()
            await self._source.make_ready(config)
        except CantReread as error:
            self.log(Severity.CRITICAL, f"restart refused, everything keeps running: {error}")
            raise
        if self.state is not DaemonState.SHUTDOWN:  # a request to exit wins
            self.successor = config
            self._leave(DaemonState.RESTARTING)

    def send_remote_communication(self, type: str, data: str) -> None:
        """Publish a REMOTE_COMMUNICATION event."""
        self._host.publish(RemoteCommunication(type, data))

    def publish(self, event: Event) -> None:
        """Publish an event of one's own."""
        self._host.publish(event)

    async def reopen_logs(self) -> None:
        """Open the activity log and the logs of all children by name again.

        A log that cannot be reopened is a line in the activity log, and no error.
        """
        self.log(Severity.INFO, "supervisord logreopen")
        if self.activity is not None:
            try:
                await self.activity.reopen()
            except OSError as error:
                self.log(Severity.CRITICAL, f"could not reopen the activity log: {error}")
        await self.reopen_logs_of(self.processes())

    async def reopen_logs_of(self, processes: Iterable[Process]) -> None:
        """Open the logs of processes by name again; failures are lines in the activity log."""

        async def reopen(channel: OutputChannel) -> None:
            try:
                await channel.reopen()
            except OSError as error:
                self.log(Severity.CRITICAL, f"could not reopen {channel.logfile}: {error}")

        async with trio.open_nursery() as nursery:  # a disk that hangs holds up one log
            for process in processes:
                nursery.start_soon(reopen, process.stdout)
                nursery.start_soon(reopen, process.stderr)

    async def why(self, name: str) -> Why:
        """Explain the state of a process: the chain of its causes, and what would start it.

        Raises BadName.
        """
        process = self.process(name)
        found = await self.journal.why(process.full_name, process.config, process.record)
        return replace(found, next=process.waiting) if process.waiting else found

    async def history(
        self,
        names: Collection[str] = (),
        *,
        since: float | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> list[JournalEntry]:
        """Return the entries of the journal, oldest first.

        ``names`` are full names of processes, also removed ones, and names of groups; none means
        all. ``since`` (wall-clock seconds) begins with the first entry at or after that time and
        goes on by number, because the clock may have been set back. ``kind`` is what entries are
        about ("state", "request", ...) or the kind of their cause ("exit", "boot", ...). Of more
        than ``limit`` entries the last ones are returned.
        """
        return await self.journal.select(names, since, kind, limit)

    def _take_over(self, read: DaemonConfig) -> tuple[Diagnostic, ...]:
        """Apply changed options of ``[supervisord]``; return the messages to log about them."""
        daemon, messages = reread_daemon(self.config.daemon, read)
        self.config = replace(self.config, daemon=daemon)
        self._host.daemon = daemon
        self.journal.tell_requests(daemon, self.log)
        return messages

    def _log_new(self, messages: list[Diagnostic]) -> None:
        """Log the messages that the last read did not have: tools reread every few minutes."""
        for message in messages:
            if message not in self._logged_messages:
                self.log(message.severity, str(message))
        self._logged_messages = frozenset(messages)

    def _log_left(self) -> None:
        """Log what a shutdown could not end."""
        for process in self.processes():
            if process.state not in STOPPED_STATES:
                what = f"{process.full_name} does not end although it was killed"
                if process.kind is GroupKind.TASK:
                    what = f"task '{process.full_name}' {TaskChild.cannot_be_killed}"
                self.log(Severity.CRITICAL, what)

    def _abort(self, error: BaseException) -> None:
        """Shut down after an exception that must end the program; ``run`` raises it at the end."""
        self._fatal = error
        self.request_shutdown()

    def _ended_unasked(self, config: ProcessConfig, name: str, record: ProcessRecord) -> None:
        """End the supervisor if the end of this process requires it, and nothing did before.

        It may also wait for a dependency, which is an end if that has ended for good.
        """
        never = not config.essential and self.config.daemon.exit_when is ExitWhen.NEVER
        if never or self.state is not DaemonState.RUNNING:
            return
        process, blocked = (
            self.process(name),
            blocked_for_good(self.processes(), self.active.dependencies.graph),
        )
        waiting = process.attempt.waiting
        if waiting and process.key not in blocked:  # somebody has stopped what it waits for
            return
        if config.essential:
            self.failure = failure_of(config, name, record, waiting)
            self.exit_code = self.failure.code
            self.log(Severity.CRITICAL, f"stopping everything: essential {self.failure}")
        elif process.kind is GroupKind.POOL:
            return
        else:
            programs = (p for p in self.processes() if p.kind is not GroupKind.POOL)
            code = code_if_all_ended(p.record for p in programs if p.key not in blocked)
            if code is None:
                return
            self.exit_code = code
            self.log(Severity.INFO, f"all programs have ended by themselves: exit code {code}")
        with requested_by(POLICY.of(record.entry)):
            self.request_shutdown()

    def _leave(self, state: DaemonState) -> None:
        first = self.state is DaemonState.RUNNING
        self.state = state
        if first:
            cause = cause_of_request()
            self._host.accepting = False
            self._leaving_by = self.journal.leaving(state, cause)
            self._leaving.set()  # first: whatever fails below, everything is stopped
            for process in self.processes():
                process.hold()
            self._host.publish(SupervisorStateChangeStopping())
            self.on_leave(cause)


async def tick(host: Host) -> None:
    """Publish TICK events, which follow the wall clock, until cancelled."""
    finest = min(cls.period for cls in TICKS)
    before = host.wall_clock()
    while True:
        await trio.sleep(min(TICK_PAUSE, finest - host.wall_clock() % finest))
        now = host.wall_clock()
        for event in ticks_between(before, now):
            host.publish(event)
        if now < before:
            host.journal.clock_set_back(before - now)
        before = now


def _require_name(name: object, kind: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"not the name of a {kind}: {name!r}")
