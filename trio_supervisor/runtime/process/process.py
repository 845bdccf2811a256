"""A supervised process as programs and clients use it: its status, and what can be asked of it."""

from __future__ import annotations

from functools import partial
from signal import SIGHUP
from typing import TYPE_CHECKING, Literal

import trio

from trio_supervisor.core.config.python_values import signal_number
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import (
    AbnormalTermination,
    Failed,
    NoFile,
    NotRunning,
    SpawnFailed,
    StateUnreachable,
)
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.signals import signal_name
from trio_supervisor.core.process.states import SIGNALLABLE_STATES, STOPPED_STATES, State
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, OutputStream
from trio_supervisor.runtime.process.base import BaseProcess, Restart, requested

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trio_supervisor.core.errors import RequestError
    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.core.process.record import History
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.backlog import Overflow
    from trio_supervisor.runtime.process.state_machine import StartAttempt
    from trio_supervisor.runtime.spawn.child import Child


#: Bytes given to the pipe at a time when the caller waits.
STDIN_PIECE = 64 * 1024


class Process(BaseProcess):
    """Supervised process, created by its group. Times are wall-clock seconds; 0.0 means never."""

    def __repr__(self) -> str:
        pid = f", pid {self.pid}" if self.pid else ""
        return f"<Process {self.full_name}: {self.state.name}{pid}>"

    @property
    def history(self) -> History:
        """Counters of starts and failures, and how the last child ended."""
        return self.record

    @property
    def pid(self) -> int:
        """Process id of the child; 0 if there is no child, or if the child is a task."""
        return self.record.pid

    @property
    def started(self) -> float:
        """Time of the last start attempt."""
        return self.record.started

    @property
    def stopped(self) -> float:
        """Time at which the last child ended."""
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
    def exception(self) -> BaseException | None:
        """Exception that ended the last finished run of a task; None if there is none."""
        return None if self.task_outcome is None else self.task_outcome.exception

    @property
    def result(self) -> object:
        """Return value of the last finished run of a task."""
        return None if self.task_outcome is None else self.task_outcome.result

    @property
    def started_value(self) -> object:
        """Value that the present or last run of a task passed to ``task_status.started()``."""
        return None if self.task_outcome is None else self.task_outcome.announced

    @property
    def uptime(self) -> float:
        """Seconds since the start of the child; 0.0 if there is none.

        Measured by the monotonic clock: the wall clock may be set, above all after a boot.
        """
        if self.record.state not in SIGNALLABLE_STATES or self.waiting:
            return 0.0
        return trio.current_time() - self.record.began_at

    @property
    def stdin_pending(self) -> int:
        """Bytes sent that the child's pipe has not taken yet."""
        return self._stdio.stdin.pending

    async def start(self, *, wait: bool = True) -> None:
        """Start it, or join a start that is under way; a stop that is under way ends first.

        With ``wait`` return when it is RUNNING; a failed try is retried, as its options say.
        Without, return when it has a child. Raises RequestError: AlreadyStarted if it is RUNNING,
        SpawnFailed if it was given up, AbnormalTermination if it was stopped meanwhile, both with
        the reason; without ``wait``, SpawnFailed if the first try failed. A call that is cancelled
        leaves the start under way, or, if a stop has not ended yet, begins none.
        """
        await self.driver.end_recorded()
        if self.stopping:
            with Restart(self) as after_stop:  # a restart whose stop was requested already
                attempt = await after_stop.carry_out(lambda: None)
        elif self.state in (State.STARTING, State.BACKOFF):
            if wait:
                await running(self)
            return
        else:
            attempt = self.request_start()
        await follow(self, attempt, wait=wait)

    async def stop(self, *, wait: bool = True) -> None:
        """Stop it and, with ``wait``, return when it has. Raises NotRunning or Failed.

        A stop that is under way is joined. A call that is cancelled leaves the stop under way. An
        automatic start that is due is called off, also when NotRunning is raised.
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
        with Restart(self) as restart:
            attempt = await restart.carry_out(check)
        await follow(self, attempt, wait=wait)

    def signal(self, number: int | str) -> None:
        """Send a signal, given by number or name, to the child only.

        Raises NotRunning or Failed, ValueError for an unknown name.
        """
        number = signal_number(number)
        child = self.driver.child
        if self.record.state not in SIGNALLABLE_STATES or child is None:
            raise NotRunning(self.full_name)
        self.driver.signal(child, number)
        self._states.signalled(number, requested(self, f"signal {signal_name(number)}"))

    async def refresh(self) -> None:
        """Let it take up what has changed without a restart: see ``refresh_command``.

        Send it ``refresh_signal``, or run that command and return when it has ended; a call that is
        cancelled leaves the command running. Raises NotRunning if it is not RUNNING, and Failed
        if the command fails, or if the signal would end the program, which has no handler for it.
        """
        child, stopping = self.driver.child, self.config.stopping
        if self.state is not State.RUNNING or child is None or self.driver.is_dead:
            raise NotRunning(self.full_name)
        cause = requested(self, "refresh")
        if stopping.refresh_command is not None:
            assert self.driver.nursery is not None  # there is a child
            failure = await self.driver.hooks.refresh(
                self.driver.nursery, child.pid, partial(self._no_longer_running, child)
            )
            if failure:
                raise Failed(f"{self.full_name}: {failure}")
            return
        number = SIGHUP if stopping.refresh_signal is None else stopping.refresh_signal
        if child.would_end_by(number):
            name = signal_name(number)
            raise Failed(
                f"{self.full_name} has no handler for {name}, which would end it; "
                "set refresh_signal or refresh_command"
            )
        self.driver.signal(child, number)
        self._states.signalled(number, cause)

    async def _no_longer_running(self, child: Child) -> None:
        """Return when this child is told to stop or has ended."""
        await self.waiters.until(
            lambda: self.driver.child is not child or self.state is not State.RUNNING
        )

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

    async def _started(self) -> None:
        """Return when it is RUNNING; also raise WaitsInVain if it waits for a dependency in vain.

        Raises StateUnreachable as ``wait_for`` does.
        """
        reachable = partial(_check_reachable, self, self._host, [State.RUNNING], self.stops)

        def check() -> None:
            reachable()
            if self._states.attempt.waits_in_vain:
                self._states.attempt.check(self.full_name)

        await self.waiters.wait_for(State.RUNNING, check=check)

    async def wait(self) -> Exit:
        """Return how the last child ended, when the program has ended and is not started again.

        A restart that is due or under way is waited for, and so is the first start. Raises
        SpawnFailed, with the reason, if it was given up without a child, and StateUnreachable if it
        was removed, or the supervisor has ended, before a child has.
        """
        record = self.record
        while not (record.ended_for_good or self._rests_after_stop):
            _check_served(self, self._host, "has not ended")
            if self.state is State.STOPPED and not self._host.accepting:
                raise _unreachable(self, "has not ended", "the supervisor shuts down")
            await self.waiters.changed()
        await trio.lowlevel.checkpoint()
        if record.last_exit is None:
            raise SpawnFailed(f"{self.full_name}: {reason(self.config, record)}")
        return record.last_exit

    @property
    def _rests_after_stop(self) -> bool:
        stopped = self.record.state is State.STOPPED and self.record.last_exit is not None
        return stopped and not self.pending_restarts

    async def changed(self) -> None:
        """Return at the next change of this process.

        Raises StateUnreachable if it was removed, or the supervisor has ended.
        """
        _check_served(self, self._host, "changes no more")
        await self.waiters.changed()
        _check_served(self, self._host, "changes no more")

    def output(
        self,
        channel: Literal["stdout", "stderr"] = "stdout",
        *,
        buffer_bytes: int = BUFFER_BYTES,
        overflow: Overflow = "drop_oldest",
        until_exit: bool = False,
    ) -> AbstractContextManager[OutputStream]:
        """Read what the process writes during the block; redirected stderr is in stdout.

        It goes on when the process is started again, unless ``until_exit``: then it ends with the
        present child, or the next one, so that nobody waits for the answer of a crashed one. The
        log gets the output too. When ``buffer_bytes`` wait for the reader, ``overflow`` decides:
        the oldest is dropped and counted in ``dropped``; ``"block"`` lets the process wait as soon
        as its pipe is full; ``"error"`` raises StreamOverflow at the reader. Raises ValueError for
        another channel or way.
        """
        channels = {"stdout": self.stdout, "stderr": self.stderr}
        if channel not in channels:
            raise ValueError(f"no such channel: {channel!r}; there are 'stdout' and 'stderr'")
        return channels[channel].subscriptions.open(buffer_bytes, overflow, until_exit=until_exit)

    def send_stdin(self, data: bytes, *, limited: bool = True) -> None:
        """Send bytes without waiting; if ``limited``, 1 MiB may wait.

        Raises NotRunning, NoFile if stdin is closed, or Failed if too much waits.
        """
        if isinstance(data, str):
            raise TypeError("a program is sent bytes, not text: use encode()")
        if self.driver.child is None or self.record.state is State.STOPPING:
            raise NotRunning(self.full_name)
        self._stdio.stdin.send(data, self.full_name, limited=limited)

    async def write_stdin(self, data: bytes) -> None:
        """Send bytes of any number, and return when the child's pipe has taken them.

        Raises NotRunning if there is no child, NotRunning or NoFile if it ends or closes its stdin
        before that. A call that is cancelled may have sent a part.
        """
        child, stdin = self.driver.child, self._stdio.stdin
        for start in range(0, len(data) or 1, STDIN_PIECE):
            self.send_stdin(data[start : start + STDIN_PIECE], limited=False)
            await self.waiters.until(lambda: not stdin.pending or self.driver.child is not child)
            if self.driver.child is not child or self.driver.is_dead:
                raise NotRunning(self.full_name)
            if stdin.closed:
                raise NoFile(self.full_name)
        await trio.lowlevel.checkpoint()

    def close_stdin(self) -> None:
        """Give the child an end of file, after all that was sent. Raises NotRunning.

        The next child has a stdin of its own.
        """
        if self.driver.child is None:
            raise NotRunning(self.full_name)
        self._stdio.stdin.finish()
        self._stdin_taken()


@dataclass(frozen=True, slots=True)
class Result:
    """Result for one process of a request for several; ``error`` is None for success."""

    process: Process
    error: RequestError | None = None


async def cleaned_up(process: BaseProcess) -> None:
    """Wait until what follows an end is done: ``kill_mode = tree`` and ``post_stop``."""
    await process.waiters.until(lambda: process.driver.without_child is None)


async def follow(process: Process, attempt: StartAttempt, *, wait: bool) -> None:
    """Return when a start has led to RUNNING, if need be by further tries.

    Without ``wait``, return when this attempt has a child. Raises RequestError.
    """
    if wait:
        await running(process)
        return
    try:
        await process.outcome(attempt, wait=False)
    except SpawnFailed:
        raise SpawnFailed(f"{process.full_name}: {process.spawn_error}") from None


async def running(process: Process) -> None:
    """Return when a start that is under way has led to RUNNING. Raises RequestError."""
    try:
        await process._started()
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
    stopped = process.state is State.STOPPED and process.stops != stops
    # A shutdown starts nothing and makes no retry; a process in BACKOFF can only become FATAL.
    given_up = process.state is State.BACKOFF and STOPPED_STATES.isdisjoint(wanted)
    if not host.accepting and (process.state is State.STOPPED or given_up):
        raise _unreachable(process, what, "the supervisor shuts down")
    if process.record.ended_for_good or stopped:
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
