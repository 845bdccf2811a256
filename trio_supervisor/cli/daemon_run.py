"""The daemon inside trio: start, signals, restart in place, orderly end.

One *incarnation* lasts from a start to the next restart or shutdown. Pid, user, limits, working
directory and umask are those of the whole program; everything else starts afresh.
"""

from __future__ import annotations

import gc
import math
import os
import signal
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import trio

from trio_supervisor.cli.pidfile import Pidfile
from trio_supervisor.cli.privileges import keep_descriptors, reset_signals
from trio_supervisor.cli.recorded_pid import recorded_pid
from trio_supervisor.cli.server_sockets import ServerSockets
from trio_supervisor.cli.upgrade.point import UpgradePoint
from trio_supervisor.core.config.model import Config, Severity, Survive
from trio_supervisor.core.config.reload import reload_daemon
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.errors import (
    CantReread,
    Failed,
    InternalError,
    NotTakenOver,
    PluginError,
    RequestError,
)
from trio_supervisor.core.events import Serials
from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.guards import innermost, run_forever, run_logged, traceback_of
from trio_supervisor.runtime.inspect.port_owners import KEEPER_SUFFIX
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.logs.activity import open_activity_log, try_activity_log
from trio_supervisor.runtime.logs.autologs import remove_auto_logs
from trio_supervisor.runtime.process.emergency_stop import end_survivors
from trio_supervisor.runtime.requester import SIGNAL, cause_of_request, set_requester
from trio_supervisor.runtime.rpc.plugins import is_plugin
from trio_supervisor.runtime.spawn.child_signals import ChildSignals
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.leftovers import find_leftovers
from trio_supervisor.runtime.spawn.reaper import reap_orphans
from trio_supervisor.runtime.supervisor import Supervisor
from trio_supervisor.runtime.system.malloc import share_arena
from trio_supervisor.runtime.system.opening import explanation
from trio_supervisor.runtime.system.threads import in_thread, in_thread_if_possible
from trio_supervisor.web.access.hosts import is_exposed
from trio_supervisor.web.app import App
from trio_supervisor.web.connection_set import ConnectionSet
from trio_supervisor.web.server import serve
from trio_supervisor.web.socket_file import keep_file

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio_supervisor.cli.service_manager import ServiceManager
    from trio_supervisor.cli.upgrade.arrival import Arrival
    from trio_supervisor.cli.upgrade.departure import Departure
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.adoption.keeper import Keeper
    from trio_supervisor.runtime.adoption.recorder import StateRecorder
    from trio_supervisor.runtime.cgroups.subtree import Subtree
    from trio_supervisor.runtime.logs.activity import ActivityLog

LEAVING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: All others keep the kernel's default effect.
SIGNALS = (*LEAVING, signal.SIGHUP, signal.SIGUSR2)

#: Processes from which on a common arena saves more than the module takes that sets it.
MANY_PROCESSES = 75
#: Ctrl-C pressed so often kills what is left.
IMPATIENT = 2

#: Seconds between two polls of children without a pidfd, in case a SIGCHLD is missed.
POLL_INTERVAL = 1.0

#: Appended to the line about a server without authentication (CVE-2019-12105).
EXPOSED = (
    ", and other machines can reach it: any client that connects can run commands as this user; "
    "set username and password, or bind it to 127.0.0.1"
)


class Service:
    """``load`` reads the configuration of a restart; ``ready`` reports a detached daemon ready.

    ``manager`` is the service manager that has started the daemon; None means that none waits for
    messages. ``cgroups`` is where programs get cgroups. ``origin`` is the directory in which the
    daemon was started. ``is_detached``: None means so if ``ready`` is given.
    """

    def __init__(
        self,
        config: Config,
        *,
        load: Callable[[], Config],
        messages: list[Diagnostic],
        ready: Callable[[], None] | None,
        manager: ServiceManager | None = None,
        cgroups: Subtree | None = None,
        origin: str = "/",
        is_detached: bool | None = None,
    ) -> None:
        self._cgroups = cgroups
        self._config = config
        self._load = load
        self._messages = messages
        self._ready = ready
        self._manager = manager
        self._serials = Serials()  # survive a restart
        self._journal = Journal()
        self._server_sockets = ServerSockets()
        self._reloaded = False
        self._exit_code = 0
        self._keeps_descriptors = False
        """Whether no program inherits a descriptor of the daemon."""
        self._keeper: Keeper | None = None
        """What holds descriptors for the next daemon; None without ``survive = adopt``."""
        self._ends_leftovers = config.daemon.survive is Survive.KILL
        """Whether what an earlier daemon has left is ended at the start."""
        self._origin = origin
        self._is_detached = ready is not None if is_detached is None else is_detached

    async def run(self, arrival: Arrival | None = None) -> int:
        """Run all incarnations and return the exit code.

        ``arrival``: the first one goes on with the state of an earlier program.

        Raises ConfigError, ServerError, PluginError; InternalError when something of ours has
        failed and all children were stopped.
        """
        self._keeps_descriptors = keep_descriptors()
        if sum(len(group.processes) for group in self._config.groups) >= MANY_PROCESSES:
            share_arena()
        handled: tuple[signal.Signals, ...] = SIGNALS
        if self._config.daemon.upgrade_signal:
            handled = (*SIGNALS, signal.SIGUSR1)
        # Opened first and closed last, so that no signal ever has its default effect.
        with (
            trio.open_signal_receiver(*handled) as signals,
            ChildSignals() as child_signals,
            closing(self._server_sockets),
            nullcontext() if self._manager is None else closing(self._manager),
        ):
            if arrival is not None:
                reset_signals()  # they were blocked until they can be received
            else:
                arrival = await self._adopted()
            while True:
                try:
                    following = await self._incarnation(signals, child_signals, arrival)
                except NotTakenOver as error:
                    self._start_anew_after(error)
                    arrival = None
                    continue
                arrival = None
                if following is None:
                    self._end_keeper()
                    break
                if not isinstance(following, Config):
                    if self._keeper is not None:  # the next program connects to it anew
                        self._keeper.close()
                        self._keeper = None
                    arrival = await following.execute((signals,), handled)
                    continue
                config = following
                daemon, messages = reload_daemon(self._config.daemon, config.daemon)
                self._config = replace(config, daemon=daemon)
                self._messages = [*messages]
                self._reloaded = True
                self._ends_leftovers = daemon.survive is Survive.KILL
        return self._exit_code

    async def _incarnation(
        self,
        signals: AsyncIterator[int],
        child_signals: ChildSignals,
        arrival: Arrival | None,
    ) -> Config | Departure | None:
        """Run one incarnation; return the configuration of the next, None after a shutdown.

        ``arrival``: the incarnation goes on with the state of another one.
        """
        config, manager = self._config, self._manager
        is_start = arrival is None or arrival.is_start
        with ExitStack() as stack:
            activity = open_activity_log(config.daemon, foreground=not self._is_detached)
            stack.callback(activity.close)
            if arrival is not None:
                arrival.enter_directory()
                self._server_sockets.adopt(arrival.listeners(config.servers))
            if is_start:
                for message in _by_severity([*self._messages, *config.messages]):
                    activity.log(message.severity, str(message))
            listeners = self._server_sockets.open(config.servers)
            if is_start:
                _log_servers(config, activity)
            if arrival is None and not config.daemon.nocleanup:
                remove_auto_logs(
                    config.daemon.childlogdir, config.daemon.identifier, report=activity.log
                )
            bus = Bus(activity.log, self._serials)
            stack.callback(gc.unfreeze)
            launcher = ProcessLauncher(
                POLL_INTERVAL, activity.log, close_fds=not self._keeps_descriptors
            )
            stack.callback(launcher.close)
            supervisor = Supervisor(
                config if arrival is None else replace(config, groups=()),
                log=activity.log,
                environment=dict(os.environ) if manager is None else manager.environment,
                activity=activity,
                reload=self._load,
                prepare=self._prepare,
                bus=bus,
                launch=launcher,
                journal=self._journal,
                cgroups=self._cgroups,
            )
            if arrival is not None:
                arrival.give(supervisor, launcher)
            apps = self._apps(config, supervisor)
            self._enter_background(activity)
            # Before the servers answer: what a client asks for is in the file too, and after the
            # entry about this start.
            await self._journal.open(config.daemon, activity.log)
            earlier = None
            with suppress(OSError, ValueError):  # no pidfile
                earlier = recorded_pid(config.daemon.pidfile)
            pidfile = Pidfile(config.daemon.pidfile)
            stack.callback(pidfile.remove)
            connections = ConnectionSet(activity.log, lambda: len(supervisor.processes()))
            point = UpgradePoint(
                supervisor,
                launcher,
                list(zip(config.servers, listeners, apps, strict=True)),
                connections,
                manager,
                self._cgroups,
                self._origin,
                is_detached=self._is_detached,
            )
            tasks: dict[str, Callable[[], Awaitable[object]]] = {
                server.section: partial(serve, listener, app, connections)
                for server, listener, app in zip(config.servers, listeners, apps, strict=True)
            }
            for server, listener in zip(config.servers, listeners, strict=True):
                tasks[f"file of {server.section}"] = partial(
                    keep_file, server, listener, activity.log
                )
            if (recorder := await self._recording(supervisor, listeners)) is not None:
                stack.callback(recorder.close)
                tasks["keeper"] = recorder.run
            cleared = trio.Event()
            if arrival is None and self._ends_leftovers:
                # A client could have a program started beside what is left of it.
                tasks = {what: partial(_after, cleared, task) for what, task in tasks.items()}
                supervisor.before_boot = partial(self._end_leftovers, supervisor, cleared)
            else:
                cleared.set()
            served = trio.Event()
            if arrival is None:
                served.set()
            else:
                connections.hold()
            tasks["signals"] = partial(_handle_signals, signals, supervisor, manager, served)
            if manager is not None:
                bus.observe(manager.watch(supervisor))
                tasks["service manager"] = partial(manager.run, supervisor)
            orphan_wakeups, orphan_wakeups_in = trio.open_memory_channel[int](1)
            tasks["children"] = partial(
                _handle_child_signals, child_signals, launcher, orphan_wakeups
            )
            tasks["orphans"] = partial(reap_orphans, orphan_wakeups_in, launcher.owns, activity.log)
            try:
                async with trio.open_nursery() as nursery:
                    for what, task in tasks.items():
                        nursery.start_soon(run_forever, task, what, activity.log)
                    if is_start:
                        search = partial(_warn_of_leftovers, supervisor, earlier)
                        search = partial(_after, cleared, search)
                        what = "the search for leftovers"
                        nursery.start_soon(run_logged, search, what, activity.log)
                        _write_pidfile(pidfile, config, activity)
                    else:
                        pidfile.adopt()
                    if arrival is not None:
                        sections = (server.section for server in config.servers)
                        by_section = dict(zip(sections, apps, strict=True))
                        arrival.serve(nursery, by_section, connections)
                        complete = partial(arrival.complete, supervisor, connections, served)
                        nursery.start_soon(run_logged, complete, "upgrade", activity.log)
                    supervisor.upgrades.begin = partial(_begin_upgrade, point, nursery)
                    self._report_ready(supervisor)
                    nursery.start_soon(_look_for_garbage, supervisor, not self._reloaded)
                    await supervisor.run()
                    if point.cause is None:  # else the next program goes on with the connections
                        await connections.finish()
                    nursery.cancel_scope.cancel()
            except BaseException as error:  # also KeyboardInterrupt: stop the children first
                with ExitStack() as at_last:
                    at_last.callback(self._end_keeper)
                    await _end_in_failure(supervisor, error)
            if point.cause is not None:
                self._server_sockets.let_go()
                pidfile.let_go()
                from trio_supervisor.cli.upgrade.departure import depart

                return depart(point)
            self._exit_code = supervisor.exit_code
            return supervisor.successor

    async def _adopted(self) -> Arrival | None:
        """Return what a daemon of this configuration has left that was killed; None: nothing.

        Raises ServerError if another one lives.
        """
        daemon = self._config.daemon
        is_wanted = daemon.survive is Survive.ADOPT
        if not is_wanted and not _has_keeper(daemon.pidfile):
            return None
        from trio_supervisor.cli.adoption import adopt, end_keeper  # few daemons need it

        if not is_wanted:
            await in_thread_if_possible(end_keeper, self._config)
            return None
        try:
            self._keeper, adoption = await adopt(self._config)
        except NotTakenOver as error:
            self._start_anew_after(error)
            return None
        return adoption

    def _start_anew_after(self, error: NotTakenOver) -> None:
        """Start as usual, after the end of what cannot be taken over for an internal error.

        Else each program would run twice, or not at all.
        """
        self._end_keeper()
        self._ends_leftovers = True
        text = (
            "internal error in taking over what the killed daemon has left: its programs are ended "
            "and then all are started anew. Please report this with the following lines:\n"
            f"{traceback_of(error.__cause__ or error)}"
        )
        self._messages = [*self._messages, Diagnostic(Severity.CRITICAL, text)]

    async def _recording(
        self, supervisor: Supervisor, listeners: list[socket.socket]
    ) -> StateRecorder | None:
        """Return what keeps the state for the next daemon; None: nothing is to be kept."""
        config = self._config
        if config.daemon.survive is not Survive.ADOPT:
            self._end_keeper()  # that of before a reload
            return None
        from trio_supervisor.cli.adoption import keep  # few daemons need it

        servers = zip(config.servers, listeners, strict=True)
        recorder = await keep(supervisor, self._keeper, servers)
        self._keeper = None if recorder is None else recorder.keeper
        return recorder

    def _end_keeper(self) -> None:
        """End the keeper, if there is one: nothing runs any more."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()

    def _apps(self, config: Config, supervisor: Supervisor) -> list[App]:
        """Make the application of each server. Raises PluginError at the first start only.

        After a reload the programs have already been stopped and must run again, so the error is
        logged and all plugins are left out.
        """
        try:
            return [App(server, supervisor) for server in config.servers]
        except PluginError as error:
            if not self._reloaded:
                raise
            supervisor.log(
                Severity.CRITICAL, f"{error}; without plugins' rpc interfaces until the next reload"
            )
        ours = tuple(i for i in supervisor.config.rpcinterfaces if not is_plugin(i))
        supervisor.config = replace(supervisor.config, rpcinterfaces=ours)
        return [App(server, supervisor) for server in config.servers]

    def _prepare(self, config: Config) -> None:
        """Check that a reload can work, before anything is stopped. Blocks.

        Raises ConfigError or ServerError.
        """
        if config.daemon.logfile != self._config.daemon.logfile:
            try_activity_log(config.daemon)
        self._server_sockets.prepare(config.servers)

    def _enter_background(self, activity: ActivityLog) -> None:
        """Change directory and umask: only when detaching, and only once."""
        if self._ready is None:
            return
        daemon = self._config.daemon
        activity.log(Severity.INFO, "daemonizing the supervisord process")
        if daemon.directory is not None:
            try:
                os.chdir(daemon.directory)
            except OSError as error:
                activity.log(Severity.CRITICAL, f"can't chdir into '{daemon.directory}': {error}")
            else:
                activity.log(Severity.INFO, f"set current directory: '{daemon.directory}'")
        os.umask(daemon.umask)

    async def _end_leftovers(
        self, supervisor: Supervisor, cleared: trio.Event, cause: Cause
    ) -> None:
        """End the programs of an earlier, killed daemon; ``cleared`` is set after that.

        ``cause`` is the start of the daemon.
        """
        from trio_supervisor.runtime.process.leftover_stop import end_leftovers

        config, log = supervisor.config, supervisor.log
        end = partial(end_leftovers, config, self._journal, self._cgroups, log, cause)
        try:
            await run_logged(end, "the end of leftovers", log)
        finally:
            cleared.set()

    def _report_ready(self, supervisor: Supervisor) -> None:
        if self._ready is not None:
            self._ready()
            self._ready = None
        if self._manager is not None:
            self._manager.tell_ready(supervisor)


def _has_keeper(pidfile: str) -> bool:
    """Whether an earlier daemon may have left a keeper; does not load what knows more of it."""
    return os.path.exists(f"{pidfile}{KEEPER_SUFFIX}")


async def _look_for_garbage(supervisor: Supervisor, is_first: bool) -> None:
    """Let the interpreter look for garbage as soon as the programs have been started.

    What was made until then lives as long as the incarnation, and is not worth looking at; after a
    reload the last incarnation is garbage.
    """
    await supervisor.active.autostarted.wait()
    if is_first:
        gc.freeze()
    gc.enable()


def _by_severity(messages: list[Diagnostic]) -> list[Diagnostic]:
    """Sort messages: CRIT first, then WARN, then INFO."""
    return sorted(messages, key=lambda message: -message.severity)


def _log_servers(config: Config, activity: ActivityLog) -> None:
    for server in config.servers:
        for interface in config.rpcinterfaces:
            activity.log(Severity.INFO, f"RPC interface '{interface.name}' initialized")
        if server.credentials is None:
            activity.log(
                Severity.CRITICAL,
                f"Server '{server.section}' running without any HTTP authentication checking"
                f"{EXPOSED if is_exposed(server) else ''}",
            )


def _write_pidfile(pidfile: Pidfile, config: Config, activity: ActivityLog) -> None:
    try:
        pidfile.write()
    except OSError as error:
        text = f"could not write pidfile {config.daemon.pidfile}"
        if (why := explanation(error)) is not None:
            text = f"{text}: {why}"
        activity.log(Severity.CRITICAL, text)
    else:
        activity.log(Severity.INFO, f"supervisord started with pid {os.getpid()}")


async def _begin_upgrade(point: UpgradePoint, nursery: trio.Nursery, cause: Cause) -> str:
    """Check the program on disk, begin to hand over to it, and return its version.

    Raises Failed or ShuttingDown.
    """
    try:
        from trio_supervisor.cli.upgrade.upgrader import Upgrader
    except (ImportError, OSError) as error:  # the user of the daemon may be unable to read it
        why = f"a module cannot be loaded: {error}"
        point.supervisor.log(Severity.CRITICAL, f"upgrade refused, everything keeps running: {why}")
        raise Failed(why) from error
    return await Upgrader(point).begin(nursery, cause)


async def _after(event: trio.Event, task: Callable[[], Awaitable[object]]) -> None:
    await event.wait()
    await task()


async def _warn_of_leftovers(supervisor: Supervisor, earlier: int | None) -> None:
    """Log the programs of an earlier, killed daemon that still run and were not taken over."""
    ours = {process.pid for process in supervisor.processes()}
    find = partial(find_leftovers, supervisor.config, daemon=os.getpid(), earlier=earlier)
    with suppress(OSError):  # no /proc, or no worker thread
        for leftover in await in_thread(find, abandon_on_cancel=True):
            if leftover.pid not in ours:
                supervisor.log(Severity.WARN, str(leftover))


async def _end_in_failure(supervisor: Supervisor, error: BaseException) -> NoReturn:
    """Stop the children that no task serves any more. Raises InternalError.

    Output that they still write is lost.
    """
    supervisor.log(
        Severity.CRITICAL,
        f"internal error, all programs are stopped and the daemon ends:\n{traceback_of(error)}",
    )
    timeout = supervisor.config.daemon.stop_timeout
    within = math.inf if timeout is None else timeout
    await in_thread_if_possible(end_survivors, supervisor.processes(), within)
    cause = innermost(error)
    raise InternalError(
        f"internal error: {type(cause).__name__}: {cause}; the log has the details"
    ) from error


async def _handle_signals(
    signals: AsyncIterator[int],
    supervisor: Supervisor,
    manager: ServiceManager | None,
    served: trio.Event,
) -> None:
    """Act on the daemon's signals for as long as one incarnation lasts.

    ``served`` is set when all children are served that were handed over.
    """
    await served.wait()
    set_requester(SIGNAL)
    interrupts = 0
    async with trio.open_nursery() as nursery:
        async for number in signals:
            _act(signal.Signals(number), supervisor, manager, nursery)
            interrupts += number == signal.SIGINT
            # Somebody at the terminal of a daemon in the foreground is tired of waiting.
            if number == signal.SIGINT and interrupts == IMPATIENT and os.isatty(0):
                nursery.start_soon(supervisor.shutdown, 0)


async def _handle_child_signals(
    child_signals: ChildSignals,
    launcher: ProcessLauncher,
    orphan_wakeups: trio.MemorySendChannel[int],
) -> NoReturn:
    """Notify the launcher when children have ended, and wake the reaper of orphans.

    Wakeups that arrive while the reaper is busy are merged into one.
    """
    while True:
        await child_signals.ended(launcher.needs_child_signals)
        launcher.child_ended()
        with suppress(trio.WouldBlock):
            orphan_wakeups.send_nowait(signal.SIGCHLD)


def _act(
    number: signal.Signals,
    supervisor: Supervisor,
    manager: ServiceManager | None,
    nursery: trio.Nursery,
) -> None:
    name = number.name
    if number in LEAVING:
        supervisor.log(Severity.WARN, f"received {name} indicating exit request")
        supervisor.request_shutdown()
    elif number == signal.SIGUSR1:
        supervisor.log(Severity.INFO, f"received {name} indicating upgrade request")
        nursery.start_soon(run_logged, partial(_upgrade, supervisor), "upgrade", supervisor.log)
    elif number == signal.SIGUSR2:
        supervisor.log(Severity.INFO, f"received {name} indicating log reopen request")
        nursery.start_soon(run_logged, supervisor.reopen_logs, "log reopen", supervisor.log)
    elif supervisor.state is DaemonState.SHUTDOWN:
        supervisor.log(
            Severity.WARN, f"ignored {name} indicating restart request (shutdown in progress)"
        )
    else:
        supervisor.log(Severity.WARN, f"received {name} indicating restart request")
        # In a task of its own: a disk that hangs must not keep the next signal waiting.
        restart = partial(_restart, supervisor, manager)
        nursery.start_soon(run_logged, restart, "restart", supervisor.log)


async def _upgrade(supervisor: Supervisor) -> None:
    with suppress(RequestError):  # it is in the log; everything keeps running
        await supervisor.upgrades.begin(cause_of_request())


async def _restart(supervisor: Supervisor, manager: ServiceManager | None) -> None:
    if manager is not None:  # it may have sent the signal, and then waits for this
        manager.tell_reloading(supervisor)
    try:
        await supervisor.reload()
    except CantReread:  # it is in the log; everything keeps running
        if manager is not None and supervisor.state is DaemonState.RUNNING:
            manager.tell_ready(supervisor)
