"""The process as the engine uses it: assembled from its parts, and asked to start and to stop.

It has a record, a state machine, a driver and the tasks that wait for a state. ``driver.py``
explains how it runs. Programs and clients use ``Process`` in ``process.py``, which adds what is
public; the members here are internal.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind, Severity
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    BadName,
    Failed,
    NotRunning,
    RequestError,
    ShuttingDown,
)
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.record import Intent, ProcessRecord
from trio_supervisor.core.process.start import Starts
from trio_supervisor.core.process.states import RUNNING_STATES, State
from trio_supervisor.runtime.output.stdio import Stdio
from trio_supervisor.runtime.process.driver import Driver
from trio_supervisor.runtime.process.state_machine import StateMachine
from trio_supervisor.runtime.process.waiters import StateWaiters
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.runtime.spawn.starter import Starter
from trio_supervisor.runtime.spawn.task import TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.host import Coordination, Host
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.probes.monitor import Monitor
    from trio_supervisor.runtime.process.state_machine import StartAttempt
    from trio_supervisor.runtime.spawn.shared_socket import SharedSocket

SHUTDOWN = Cause(CauseKind.SHUTDOWN)


class BaseProcess:
    """Process of a group, with the requests that the engine makes."""

    def __init__(
        self,
        config: ProcessConfig,
        *,
        group: str,
        kind: GroupKind,
        host: Host,
        stdout: OutputChannel,
        stderr: OutputChannel,
        socket: SharedSocket | None = None,
        record: ProcessRecord | None = None,
    ) -> None:
        """``record``: None means a new process; else continue from this record."""
        self.config = config
        self.name = config.name
        self.group = group
        self.kind = kind
        self.stdout = stdout
        self.stderr = stderr
        self.journal = host.journal
        self.stops = 0
        """Number of stop requests, without those that begin a restart."""
        self.pending_restarts = 0
        """Restarts of which the start has not begun yet."""
        self._held = False
        """Whether it is not to be started by ``autostart`` any more."""
        self.record = ProcessRecord() if record is None else record
        """Status and history as plain values; ``history`` is its public name."""
        self.waiters = StateWaiters(config.name, group, self.record, host.log)
        self._host = host
        self._stdio = Stdio(
            config.name,
            stdout,
            stderr,
            merged=config.redirect_stderr,
            sinks=host.sinks,
            stdin_taken=self._stdin_taken,
        )
        self._states = StateMachine(config, group, self.record, self.waiters, host)
        self.full_name = self._states.full_name
        self.task_outcome = None if config.task is None else TaskOutcome()
        """What the last run of a task has given; None for a program."""
        monitor = self._new_monitor()
        self._starter = Starter(
            config, group, host, self._stdio, socket, self.task_outcome, monitor
        )
        self.driver = Driver(
            config,
            self.record,
            self._states,
            self.waiters,
            self._starter,
            self._stdio,
            host,
            monitor,
        )

    def _stdin_taken(self) -> None:
        """The child has taken all that was sent, and its stdin may have been closed."""
        self.waiters.wake()
        if self._host.keeping is not None:  # a copy of our end would keep the pipe open
            self._host.keeping.changed(self.key)

    def _new_monitor(self) -> Monitor | None:
        """Make what watches readiness and health; None if the options ask for neither."""
        config = self.config
        if config.readiness.condition is None and config.health.check is None:
            return None
        from trio_supervisor.runtime.probes.monitor import Monitor  # few programs need it

        outputs = (self.stdout,) if config.redirect_stderr else (self.stdout, self.stderr)
        return Monitor(
            config,
            self.group,
            self._host,
            self.record,
            self.waiters,
            outputs[1:] if self.kind is GroupKind.POOL else outputs,
            lambda cause: self.request_stop(cause=cause),
        )

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def removed(self) -> bool:
        """Whether nothing serves it any more."""
        return self.waiters.closed

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested that is not carried out yet."""
        return self._states.stopping

    @property
    def is_due(self) -> bool:
        """Whether it is started automatically after a pause."""
        return self.record.due < math.inf

    @property
    def key(self) -> Key:
        """The names of its group and of the process itself."""
        return self.group, self.name

    @property
    def is_being_made(self) -> bool:
        """Whether the launcher was told to make the child."""
        return self._states.attempt.sent

    @property
    def waiting(self) -> str:
        """Dependencies that the start waits for, in words; empty if it waits for none."""
        return self._states.attempt.waiting if self.record.state is State.STARTING else ""

    @property
    def phase(self) -> str:
        """Step before the spawn, in words; empty if there is none."""
        return self._states.attempt.phase if self.record.state is State.STARTING else ""

    @property
    def coordination(self) -> Coordination | None:
        """Keeps the order of dependencies; None: no process has any."""
        return self._host.coordination

    @property
    def controllers(self) -> Collection[str]:
        """The controllers that limit its cgroup; none if it has no cgroup."""
        return () if self._host.cgroups is None else self._host.cgroups.controllers

    @property
    def attempt(self) -> StartAttempt:
        """The last start attempt."""
        return self._states.attempt

    async def start_once(self, *, wait: bool = True) -> None:
        """Start it and, with ``wait``, return when it is RUNNING; fail at the first failed try.

        This is what clients are answered. Raises RequestError.
        """
        await self.driver.end_recorded()
        await self.outcome(self.request_start(), wait=wait)

    async def start_without_dependencies(self, *, wait: bool = True) -> None:
        """Start it, wait for no dependency and start none; its retries do neither.

        A start that waits for dependencies goes on without them. With ``wait`` return when it is
        RUNNING. Raises RequestError, also for the first failed try; retries go on.
        """
        await self.driver.end_recorded()
        waits = bool(self.waiting)
        try:
            attempt = self.request_start(starts=Starts.IGNORED)
        except AlreadyStarted:
            if not waits:
                raise
            attempt = self._states.attempt
        await self.outcome(attempt, wait=wait)

    async def restart_once(
        self, *, wait: bool = True, check: Callable[[], object] = lambda: None
    ) -> None:
        """Restart it and, with ``wait``, return when it is RUNNING; fail at the first failed try.

        This is what clients are answered. Raises RequestError.
        """
        with Restart(self) as restart:
            attempt = await restart.carry_out(check)
        await self.outcome(attempt, wait=wait)

    async def ended(self) -> None:
        """Return when the process is in the stopped set, or has been since the call.

        A "waiting for" line is logged at intervals meanwhile.
        """
        await self.waiters.ended()

    def begin(self, cause: Cause | None = None, starts: Starts = Starts.UNSTOPPED) -> None:
        """Start now, also if the command is missing; the caller knows that the state allows it.

        ``cause``: None means the request of the present task. ``starts``: which dependencies that
        are down are started too.
        """
        cause = requested(self, "start") if cause is None else cause
        self._states.intend(Intent.UP, cause)
        self._states.begin(cause, starts)

    def request_start(
        self, cause: Cause | None = None, starts: Starts = Starts.ALL
    ) -> StartAttempt:
        """Begin a start attempt.

        ``cause``: None means the request of the present task. ``starts``: which dependencies that
        are down are started too.

        Raises NoFile, NotExecutable, AlreadyStarted, Failed (UNKNOWN), AbnormalTermination
        (STOPPING), BadName (removed) or ShuttingDown.
        """
        if not self._host.accepting:
            raise ShuttingDown
        if self.removed:
            raise BadName(self.full_name)
        self._starter.check_command()
        if self.state in RUNNING_STATES:
            self._widen(starts)
            raise AlreadyStarted(self.full_name)
        if self.state is State.UNKNOWN:
            raise Failed(f"{self.full_name} is in an unknown process state")
        if self.state is State.STOPPING:
            self._host.log(Severity.WARN, f"process '{self.name}' already running")
            raise AbnormalTermination(self.full_name)
        self.begin(cause, starts)
        return self._states.attempt

    def _widen(self, starts: Starts) -> None:
        """Let a start that waits for dependencies start those that a request may start."""
        wait = self._states.attempt.wait
        if self.waiting and wait is not None and starts in (Starts.ALL, Starts.IGNORED):
            wait.starts = starts
            wait.seen.clear()
            wait.hopeless = False  # until the next look
            if starts is Starts.IGNORED:  # it is about to be spawned
                wait.text = ""
            self.waiters.wake()

    async def outcome(self, attempt: StartAttempt, *, wait: bool = True) -> None:
        """Return when the attempt has led to RUNNING; without ``wait``, when it has a child.

        Raises SpawnFailed (the attempt failed; retries go on), AbnormalTermination or ShuttingDown.
        """
        done = partial(attempt.is_done, wait=wait)
        await self.waiters.until(done)
        if not done():
            raise ShuttingDown
        attempt.check(self.full_name)

    async def spawned(self, *, ahead: bool = False) -> None:
        """Return when the present start attempt has a child or has failed, or has to wait.

        With ``ahead`` as soon as no start that begins then gets its child before it.
        """
        attempt = self._states.attempt
        await self.waiters.until(lambda: attempt.is_done(wait=False) or (ahead and attempt.sent))

    def request_stop(
        self,
        *,
        to_restart: bool = False,
        cause: Cause | None = None,
        among: frozenset[Key] = frozenset(),
    ) -> None:
        """Begin a stop, or join one that is under way.

        ``to_restart``: the first half of a restart, whose second half is called off by any other
        stop. ``among``: the processes that are stopped together; those that depend on this one
        end first. Raises NotRunning, or Failed if the stop signal cannot be sent.
        """
        if not to_restart:
            self.stops += 1
        if self.stopping:
            if self.record.restart_cause is not None and not to_restart:
                self._states.intend(Intent.DOWN, cause or requested(self, "stop"))
            return
        if self.state not in RUNNING_STATES:
            # The fault stands, the pending restart does not.
            if self.state is State.EXITED or self.is_due or self.awaits_autostart:
                self._states.intend(Intent.DOWN, cause or requested(self, "stop"))
                self.hold()
            raise NotRunning(self.full_name)
        cause = requested(self, "stop") if cause is None else cause
        self._states.intend(Intent.DOWN, cause)
        coordination = self._host.coordination
        if coordination is None or not coordination.holds_stop(self.key, cause, among):
            self.driver.stop()

    def shut_down(self, cause: Cause = SHUTDOWN) -> None:
        """Stop the process as part of a shutdown; in BACKOFF, give up its retries."""
        if self.state is State.BACKOFF:
            self._states.give_up(cause)
        else:
            # A child that cannot be signalled is UNKNOWN now; shutdown does not wait for it.
            with contextlib.suppress(RequestError):
                self.request_stop(cause=cause)

    def hold(self) -> None:
        """Cancel a pending automatic start, before the process is removed or at a shutdown."""
        self._held = True
        self._states.hold()

    def remove(self) -> None:
        """Never start the process again: it was removed, or its group is closed."""
        self.waiters.close()
        self.driver.end()

    @property
    def awaits_autostart(self) -> bool:
        """Whether it is yet to be started because of ``autostart``, and nothing speaks against."""
        untouched = self.state is State.STOPPED and not self.record.started
        return self.config.autostart and untouched and not (self._held or self.removed)

    def abandon(self) -> None:
        """Stop watching a living child without a signal, when the group's task ends."""
        for channel in (self.stdout, self.stderr):
            channel.subscriptions.end()
        self.driver.abandon()
        self.waiters.close()


class Restart:
    """A stop and the start after it, which any other stop in between calls off.

    A context manager: entering it begins the stop; a process that does not run is just started.
    """

    def __init__(
        self,
        process: BaseProcess,
        among: frozenset[Key] = frozenset(),
        starts: Starts = Starts.ALL,
    ) -> None:
        """``among`` and ``starts`` are those of ``request_stop`` and ``request_start``."""
        self.process = process
        self._among = among
        self._starts = starts
        self._error: Failed | None = None
        self._stops = process.stops
        self._cause = requested(process, "restart")

    def __enter__(self) -> Restart:
        self.process.pending_restarts += 1
        self.process.waiters.wake()  # who needs it waits for it now, also if it is stopped already
        with contextlib.suppress(NotRunning):
            try:
                cause, among = self._cause, self._among
                self.process.request_stop(to_restart=True, cause=cause, among=among)
            except Failed as error:
                self._error = error
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.pending_restarts -= 1
        self.process.waiters.wake()

    async def carry_out(self, check: Callable[[], object]) -> StartAttempt:
        """Wait for the stop and begin the start; raise what ``check`` raises in between."""
        await self.stopped()
        check()
        await self.process.driver.end_recorded()
        return self.begin()

    async def stopped(self) -> None:
        """Return when the process has stopped."""
        while self.process.stopping:
            await self.process.ended()

    def begin(self) -> StartAttempt:
        """Begin the start, or join that of another request.

        Raises RequestError; it is Failed if the stop was not possible, AbnormalTermination if
        another stop has called the start off.
        """
        if self._error is not None:
            raise self._error
        if self.process.stops != self._stops:
            raise AbnormalTermination(self.process.full_name)
        if self.process.state in RUNNING_STATES:
            return self.process.attempt
        return self.process.request_start(self._cause, self._starts)


def requested(process: BaseProcess, action: str) -> Cause:
    """Record in the journal that the present task asks for this; return it as a cause."""
    return process.journal.request(process.full_name, action, cause_of_request())
