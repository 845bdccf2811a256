"""A supervised process as its clients use it: its status, and methods that request a change.

The process is assembled here from its record, its state machine, its driver and the tasks that
wait for a state. ``driver.py`` explains how it runs.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    BadName,
    Failed,
    NotRunning,
    RequestError,
    ShuttingDown,
    SpawnFailed,
    StateUnreachable,
)
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.record import Intent, ProcessRecord
from trio_supervisor.core.process.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    State,
)
from trio_supervisor.runtime.output.stdio import Stdio
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, OutputStream
from trio_supervisor.runtime.process.driver import Driver
from trio_supervisor.runtime.process.state_machine import StateMachine
from trio_supervisor.runtime.process.waiters import StateWaiters
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.runtime.spawn.starter import Starter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trio_supervisor.core.config.model import GroupKind, ProcessConfig
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.process.state_machine import StartAttempt
    from trio_supervisor.runtime.spawn.shared_socket import SharedSocket

SHUTDOWN = Cause(CauseKind.SHUTDOWN)


class Process:
    """One supervised process. Made by its group; times are wall-clock seconds, 0.0 means never."""

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
        self.full_name = config.name if config.name == group else f"{group}:{config.name}"
        self.stdout = stdout
        self.stderr = stderr
        self.stops = 0
        """Number of stop requests, without those that begin a restart."""
        self.record = ProcessRecord() if record is None else record
        """Status and history as plain values; ``history`` is its public name."""
        self.waiters = StateWaiters(config.name, self.record, host.log)
        self._host = host
        self._stdio = Stdio(
            config.name,
            stdout,
            stderr,
            merged=config.redirect_stderr,
            stdin_taken=self.waiters.wake,
        )
        self._states = StateMachine(config, group, self.record, self.waiters, host)
        self._starter = Starter(config, group, host, self._stdio, socket)
        self.driver = Driver(
            config,
            self.record,
            self._states,
            self.waiters,
            self._starter,
            self._stdio,
            host,
        )

    @property
    def history(self) -> ProcessRecord:
        """The record; public are ``failures``, ``restarts``, ``last_exit``, ``last_end`` and the
        counters of starts."""
        return self.record

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def pid(self) -> int:
        """Process id of the child; 0 if there is no child, or if the child is a task."""
        return self.record.pid

    @property
    def started(self) -> float:
        """When the last start was attempted."""
        return self.record.started

    @property
    def stopped(self) -> float:
        """When the last child ended."""
        return self.record.stopped

    @property
    def exit_status(self) -> int:
        """Exit status of the last child; -1 if a signal ended it."""
        return self.record.exit_status

    @property
    def spawn_error(self) -> str:
        """Error of the last start or exit; empty if there was none."""
        return self.record.spawn_error

    @property
    def removed(self) -> bool:
        """Whether nothing serves it any more."""
        return self.waiters.closed

    @property
    def uptime(self) -> float:
        """Seconds since the start of the child; 0.0 if there is none.

        Measured by the monotonic clock: the wall clock may be set, above all after a boot.
        """
        if self.record.state not in SIGNALLABLE_STATES:
            return 0.0
        return trio.current_time() - self.record.began_at

    @property
    def stdin_pending(self) -> int:
        """Bytes sent that the child's pipe has not taken yet."""
        return self._stdio.stdin.pending

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested that is not carried out yet."""
        return self._states.stopping

    @property
    def attempt(self) -> StartAttempt:
        """The last start attempt."""
        return self._states.attempt

    async def start(self, *, wait: bool = True) -> None:
        """Start it, or join a start that is under way.

        With ``wait`` return when it is RUNNING; a failed try is retried, as its options say.
        Without, return when it has a child. Raises RequestError: SpawnFailed if it was given up,
        AbnormalTermination if it was stopped meanwhile, both with the reason; without ``wait``,
        SpawnFailed if the first try failed. A call that is cancelled leaves the start under way.
        """
        await self.driver.end_recorded()
        if self.state not in (State.STARTING, State.BACKOFF) or self.stopping:
            attempt = self.request_start()
            if not wait:
                await self.outcome(attempt, wait=False)
        if wait:
            await _running(self)

    async def start_once(self, *, wait: bool = True) -> None:
        """Start it and, with ``wait``, return when it is RUNNING; fail at the first failed try.

        This is what clients are answered. Raises RequestError.
        """
        await self.driver.end_recorded()
        await self.outcome(self.request_start(), wait=wait)

    async def stop(self, *, wait: bool = True) -> None:
        """Stop it and, with ``wait``, return when it has. Raises NotRunning or Failed.

        A stop that is under way is joined. A call that is cancelled leaves the stop under way.
        """
        self.request_stop()
        if wait:
            await self.ended()

    async def restart(
        self, *, wait: bool = True, check: Callable[[], object] = lambda: None
    ) -> None:
        """Stop it if it runs, start it and, with ``wait``, return when it is RUNNING.

        A stop or start of another request that is under way is joined. ``check`` is called before
        the start; what it raises leaves the process stopped. Raises RequestError as ``start`` does;
        it is AbnormalTermination if a stop was requested meanwhile. A call that is cancelled before
        the start has begun leaves the process stopped, or the stop under way.
        """
        attempt = await Restart(self).carry_out(check)
        if wait:
            await _running(self)
        else:
            await self.outcome(attempt, wait=False)

    async def restart_once(
        self, *, wait: bool = True, check: Callable[[], object] = lambda: None
    ) -> None:
        """Restart it and, with ``wait``, return when it is RUNNING; fail at the first failed try.

        This is what clients are answered. Raises RequestError.
        """
        await self.outcome(await Restart(self).carry_out(check), wait=wait)

    def signal(self, number: int) -> None:
        """Send a signal to the child only. Raises NotRunning or Failed."""
        child = self.driver.child
        if self.record.state not in SIGNALLABLE_STATES or child is None:
            raise NotRunning(self.full_name)
        self.driver.signal(child, number)

    async def wait_for(self, *states: State | str) -> None:
        """Return when the process is in one of these states, or has been since the call.

        A state may be given by its name: ``"RUNNING"``. Raises StateUnreachable when that cannot
        happen any more unless the process is started by a request: it is FATAL, has ended and is
        not to be started again, was stopped since the call, or was removed, or the supervisor has
        ended. Raises TypeError for what is no state, ValueError if there is none of this name, or
        if none is given. A process that was not started yet is waited for.
        """
        if not states:
            raise ValueError("no state to wait for is given")
        wanted = [_state(state) for state in states]
        check = partial(_check_reachable, self, self._host, wanted, self.stops)
        await self.waiters.wait_for(*wanted, check=check)

    async def changed(self) -> None:
        """Return at the next change of this process.

        Raises StateUnreachable if it was removed, or the supervisor has ended.
        """
        _check_served(self, self._host, "changes no more")
        await self.waiters.changed()
        _check_served(self, self._host, "changes no more")

    async def ended(self) -> None:
        """Return when the process is in the stopped set, or has been since the call.

        A "waiting for" line is logged at intervals meanwhile.
        """
        await self.waiters.ended()

    def output(
        self, channel: Literal["stdout", "stderr"] = "stdout", *, buffer_bytes: int = BUFFER_BYTES
    ) -> AbstractContextManager[OutputStream]:
        """Read what the process writes during the block; redirected stderr is in stdout.

        The log gets it too. Bounded: the oldest is dropped, and counted in ``dropped``.
        """
        output = {"stdout": self.stdout, "stderr": self.stderr}[channel]
        return output.subscriptions.open(buffer_bytes)

    def send_stdin(self, data: bytes, *, limited: bool = True) -> None:
        """Send bytes; if ``limited``, 1 MiB may wait. Raises NotRunning, NoFile or Failed."""
        if self.driver.child is None or self.record.state is State.STOPPING:
            raise NotRunning(self.full_name)
        self._stdio.stdin.send(data, self.full_name, limited=limited)

    def begin(self, cause: Cause | None = None) -> None:
        """Start now, also if the command is missing; the caller knows that the state allows it.

        ``cause``: None means the request of the present task.
        """
        cause = cause_of_request() if cause is None else cause
        self._states.intend(Intent.UP, cause)
        self._states.begin(cause)

    def request_start(self) -> StartAttempt:
        """Begin a start attempt.

        Raises NoFile, NotExecutable, AlreadyStarted, Failed (UNKNOWN), AbnormalTermination
        (STOPPING), BadName (removed) or ShuttingDown.
        """
        if not self._host.accepting:
            raise ShuttingDown
        if self.removed:
            raise BadName(self.full_name)
        self._starter.check_command()
        if self.state in RUNNING_STATES:
            raise AlreadyStarted(self.full_name)
        if self.state is State.UNKNOWN:
            raise Failed(f"{self.full_name} is in an unknown process state")
        if self.state is State.STOPPING:
            self._host.log(Severity.WARN, f"process '{self.name}' already running")
            raise AbnormalTermination(self.full_name)
        self.begin()
        return self._states.attempt

    async def outcome(self, attempt: StartAttempt, *, wait: bool = True) -> None:
        """Return when the attempt has led to RUNNING; without ``wait``, when it has a child.

        Raises SpawnFailed (the attempt failed; retries go on), AbnormalTermination or ShuttingDown.
        """
        done = partial(attempt.is_done, wait=wait)
        await self.waiters.until(done)
        if not done():
            raise ShuttingDown
        attempt.check(self.full_name)

    async def spawned(self) -> None:
        """Return when the present start attempt has a child or has failed."""
        attempt = self._states.attempt
        await self.waiters.until(lambda: attempt.spawned or attempt.decided)

    def request_stop(self, *, to_restart: bool = False, cause: Cause | None = None) -> None:
        """Begin a stop, or join one that is under way.

        ``to_restart``: the first half of a restart, whose second half is called off by any other
        stop. Raises NotRunning, or Failed if the stop signal cannot be sent.
        """
        if not to_restart:
            self.stops += 1
        if self.stopping:
            return
        cause = cause_of_request() if cause is None else cause
        if self.state not in RUNNING_STATES:
            if self.state is State.EXITED:  # the fault stands, the pending restart does not
                self._states.intend(Intent.DOWN, cause)
                self._states.hold()
            raise NotRunning(self.full_name)
        self._states.intend(Intent.DOWN, cause)
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
        self._states.hold()

    def remove(self) -> None:
        """Never start the process again: it was removed, or its group is closed."""
        self.waiters.close()
        self.driver.end()

    @property
    def is_untouched(self) -> bool:
        """Whether it was never started, and can be."""
        return self.state is State.STOPPED and not self.started and not self.removed

    def abandon(self) -> None:
        """Stop watching a living child without a signal, when the group's task ends."""
        for channel in (self.stdout, self.stderr):
            channel.subscriptions.end()
        self.driver.abandon()
        self.waiters.close()


class Restart:
    """A stop and the start after it, which any other stop in between calls off.

    Making one begins the stop; a process that does not run is just started.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self._error: Failed | None = None
        self._stops = process.stops
        with contextlib.suppress(NotRunning):
            try:
                process.request_stop(to_restart=True)
            except Failed as error:
                self._error = error

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
        return self.process.request_start()


async def _running(process: Process) -> None:
    """Return when a start that is under way has led to RUNNING. Raises RequestError."""
    try:
        await process.wait_for(State.RUNNING)
    except StateUnreachable as error:
        kind = SpawnFailed if process.state is State.FATAL else AbnormalTermination
        raise kind(f"{process.full_name}: {error.reason}") from error


def _check_reachable(process: Process, host: Host, wanted: list[State], stops: int) -> None:
    """Raise StateUnreachable if only a request could lead to one of the wanted states.

    ``stops`` is the number of requests to stop when the wait began: a process that was stopped
    before may be about to be started.
    """
    what = f"cannot become {' or '.join(state.name for state in wanted)}"
    _check_served(process, host, what)
    ended = process.state in (State.FATAL, State.EXITED) and process.record.due == math.inf
    stopped = process.state is State.STOPPED and process.stops != stops
    # A shutdown starts nothing and makes no retry; a process in BACKOFF can only become FATAL.
    given_up = process.state is State.BACKOFF and STOPPED_STATES.isdisjoint(wanted)
    if not host.accepting and (process.state is State.STOPPED or given_up):
        raise _unreachable(process, what, "the supervisor shuts down")
    if ended or stopped:
        raise _unreachable(process, what, reason(process.config, process.record))


def _check_served(process: Process, host: Host, what: str) -> None:
    if process.removed:
        gone = "it was removed" if host.accepting else "the supervisor has ended"
        raise _unreachable(process, what, gone)


def _unreachable(process: Process, what: str, why: str) -> StateUnreachable:
    last = process.record.last_exit
    return StateUnreachable(what, process=process.full_name, reason=why, exit=last)


def _state(state: State | str) -> State:
    if isinstance(state, State):
        return state
    if not isinstance(state, str):
        raise TypeError(f"not a state: {state!r}; give State.RUNNING or its name, 'RUNNING'")
    if state not in State.__members__:
        raise ValueError(f"no such state: {state!r}; there are {', '.join(State.__members__)}")
    return State[state]
