"""The life of one process: a straight-line coroutine, a table of legal moves, one mover.

``run`` is the life; its program counter and ``state`` say the same thing. Requests (start, stop,
signal) are plain methods that set what is wanted and wake it; there is no queue of commands that
could go stale. Cancelling ``run`` means letting go of the child, never killing it: an ordered stop
is a request. Only this class changes the state of a process.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from typing import TYPE_CHECKING, Literal

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    BadName,
    Failed,
    InternalError,
    NotRunning,
    RequestError,
    ShuttingDown,
)
from trio_supervisor.core.events import state_event
from trio_supervisor.core.process import lifecycle
from trio_supervisor.core.process.states import MOVES, RUNNING_STATES, SIGNALLABLE_STATES, State
from trio_supervisor.runtime.output.stdio import Stdio
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, OutputStream
from trio_supervisor.runtime.process.requests import Requests
from trio_supervisor.runtime.process.signalling import Signaller
from trio_supervisor.runtime.process.start_attempt import StartAttempt
from trio_supervisor.runtime.spawn.launcher import SpawnError
from trio_supervisor.runtime.spawn.starter import Starter
from trio_supervisor.runtime.spawn.task import DOES_NOT_END, TaskChild, announces_start

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trio_supervisor.core.config.model import GroupKind, ProcessConfig
    from trio_supervisor.core.process.lifecycle import Exit
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.shared_socket import SharedSocket

TOO_QUICK = "Exited too quickly (process log may have details)"


class Process(Requests):
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
    ) -> None:
        super().__init__(config, group, kind, host.log)
        self.stdout = stdout
        self.stderr = stderr
        self._host = host
        self._child: Child | None = None
        self._announces = config.task is not None and announces_start(config.task)
        self._signals = Signaller(config, host.log)
        self._stdio = Stdio(
            config.name,
            stdout,
            stderr,
            merged=config.redirect_stderr,
            stdin_taken=self._changed.unpark_all,
        )
        self._starter = Starter(config, group, host, self._stdio, socket)
        # When the process starts by itself; never: math.inf. Monotonic, like all deadlines (P-351).
        self._due = math.inf
        self._began_at = -math.inf
        self._spawned_at = -math.inf
        self._stop_requested = False
        self._deadline = math.inf
        self._wait = trio.CancelScope()

    def begin(self) -> None:
        """Start now, whatever was waited for; the caller has checked that the state allows it."""
        self._due = math.inf
        self._stop_requested = False
        self._attempt = StartAttempt()
        self.spawn_error = ""  # P-020
        self.exit_status = 0
        self.started = self._host.wall_clock()  # P-017
        self._began_at = trio.current_time()
        self._to(State.STARTING)

    def request_start(self) -> StartAttempt:
        """Begin a start attempt (P-093 to P-100).

        Raises NoFile, NotExecutable, AlreadyStarted, Failed (UNKNOWN), AbnormalTermination
        (STOPPING), BadName (removed) or ShuttingDown.
        """
        if self.removed:
            raise BadName(self.full_name)
        if not self._host.accepting:
            raise ShuttingDown
        self._starter.check_command()
        if self.state in RUNNING_STATES:
            raise AlreadyStarted(self.full_name)
        if self.state is State.UNKNOWN:
            raise Failed(f"{self.full_name} is in an unknown process state")
        if self.state is State.STOPPING:
            self._log(Severity.WARN, f"process '{self.name}' already running")
            raise AbnormalTermination(self.full_name)
        self.begin()
        return self._attempt

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested that is not carried out yet."""
        requested = self._stop_requested and self.state in RUNNING_STATES
        return requested or self.state is State.STOPPING

    async def end_recorded(self) -> None:
        """Return at once, unless the child is dead and its end not recorded yet: then when it is.

        That takes as long as its output takes to get to the logs.
        """
        if self._is_dead:
            dead = self._child
            await self._until(lambda: self._child is not dead)

    def request_stop(self, *, to_restart: bool = False) -> None:
        """Stop: send the stop signal, or give up a retry (P-122 to P-145).

        A child that is just being spawned is stopped as soon as it exists. One that is dead is not
        signalled; its end is about to be recorded as what it was. A stop that is under way is
        joined. ``to_restart``: the first half of a restart, whose second half is called off by any
        other stop. Raises NotRunning, or Failed if the signal cannot be sent.
        """
        if not to_restart:
            self.stops += 1
        if self.stopping:
            return
        if self.state not in RUNNING_STATES:
            if self.state is State.EXITED:
                self.hold()  # the fault stands, the pending restart does not (P-119, Q-07)
            raise NotRunning(self.full_name)
        self._stop_requested = True
        if self.state is State.BACKOFF:
            self._abandon_retry()
        elif self._child is not None and not self._is_dead:
            self._terminate(self._child)

    def shut_down(self) -> None:
        """This process's turn in a shutdown: stop it, or give up on it (P-171, P-172)."""
        if self.state is State.BACKOFF:
            self.history.failures = 0
            self._to(State.FATAL)
        else:
            # A child that cannot be signalled is UNKNOWN now; shutdown does not wait for it.
            with contextlib.suppress(RequestError):
                self.request_stop()

    def hold(self) -> None:
        """Start nothing by itself any more: the supervisor is going down (P-094, P-120)."""
        self._due = math.inf
        self._changed.unpark_all()

    def signal(self, number: int) -> None:
        """Send a signal to the child only (P-142). Raises NotRunning or Failed."""
        if self.state not in SIGNALLABLE_STATES or self._child is None:
            raise NotRunning(self.full_name)
        self._signals.send(self._child, number)

    def send_stdin(self, data: bytes, *, limited: bool = True) -> None:
        """Send bytes; if ``limited``, 1 MiB may wait. Raises NotRunning, NoFile or Failed."""
        if self._child is None or self.state is State.STOPPING:
            raise NotRunning(self.full_name)
        self._stdio.stdin.send(data, self.full_name, limited=limited)

    def output(
        self, channel: Literal["stdout", "stderr"] = "stdout", *, buffer_bytes: int = BUFFER_BYTES
    ) -> AbstractContextManager[OutputStream]:
        """Read what the process writes during the block; redirected stderr is in stdout.

        The log gets it too. Bounded: the oldest is dropped, and counted in ``dropped``.
        """
        output = {"stdout": self.stdout, "stderr": self.stderr}[channel]
        return output.subscriptions.open(buffer_bytes)

    @property
    def uptime(self) -> float:
        """Seconds since the start of the child; 0.0 if there is none.

        Measured by the monotonic clock: the wall clock may be set, above all after a boot.
        """
        if self.state not in SIGNALLABLE_STATES:
            return 0.0
        return trio.current_time() - self._began_at

    @property
    def stdin_pending(self) -> int:
        """Bytes sent that the child's pipe has not taken yet."""
        return self._stdio.stdin.pending

    async def run(self) -> None:
        """Live until cancelled."""
        if self._child is not None:  # an error ended an earlier run while the child lived
            self._record_exit(await self._child.wait(), trio.current_time())
        while True:
            while self.state is not State.STARTING:
                with trio.CancelScope(deadline=self._due):
                    await self._changed.park()
                if trio.current_time() >= self._due:
                    self.begin()
            await self._live_once()

    def recover(self) -> None:
        """Pick up the pieces after an error in ``run``: nothing is lost but the certainty."""
        self._log(Severity.CRITICAL, f"internal error in {self.name}:\n{traceback.format_exc()}")
        self._due = math.inf
        if State.UNKNOWN in MOVES[self.state] and self._child is not None:
            self._to(State.UNKNOWN)
        elif self.state is State.STARTING:
            self._fail_start("internal error, see the activity log")

    async def _live_once(self) -> None:
        """From STARTING to the end of the child that came of it, if one did."""
        with contextlib.ExitStack() as held:
            try:
                child = await self._starter.launch(held, self._announced)
            except (RequestError, SpawnError) as error:
                await self._give_up_attempt(error)
            else:
                await self._accompany(child)

    async def _give_up_attempt(self, error: RequestError | SpawnError) -> None:
        self.history.last_exit = None
        text = error.detail if isinstance(error, RequestError) else str(error)
        if isinstance(error, SpawnError) and error.epitaph is not None:
            self._stdio.write_note(error.epitaph)
        await self._stdio.finish()
        self._log(Severity.INFO, f"spawnerr: {text}")
        self._fail_start(text)

    async def _accompany(self, child: Child) -> None:
        """Be with a child to its end."""
        self._adopt(child)
        if self._stop_requested:
            with contextlib.suppress(Failed):  # UNKNOWN now, and said so in the log
                self._terminate(child)
        try:
            async with trio.open_nursery() as nursery:
                if isinstance(child, TaskChild):
                    nursery.start_soon(child.run)
                else:
                    nursery.start_soon(self._stdio.carry, child.pid)
                ended = await self._watch(child)
                died_at = trio.current_time()  # a disk that hangs may take its time below
                nursery.cancel_scope.cancel()
            self._stdio.drain_rest()
        finally:
            self._stdio.close()
        await self._stdio.settled()  # before the exit is recorded (P-208)
        self._record_exit(ended, died_at)

    @property
    def _is_dead(self) -> bool:
        """Whether there is a child whose end is known and not recorded yet."""
        return self._child is not None and self._child.poll() is not None

    def _adopt(self, child: Child) -> None:
        self._child = child
        self.pid = child.pid
        self.history.spawns += 1
        as_what = f"with pid {child.pid}" if self.config.task is None else "as a task"
        self._stdio.attach(child)
        self._spawned_at = trio.current_time()
        self._deadline = math.inf if self._announces else self._spawned_at + self.config.startsecs
        self._log(Severity.INFO, f"spawned: '{self.name}' {as_what}")
        self._attempt.spawned = True
        self._changed.unpark_all()

    async def _watch(self, child: Child) -> Exit:
        """Wait for the child's end; meanwhile promote it when it is due, or kill it."""
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._wait:
                return await child.wait()
            # What has died is not promoted, even if nobody has noticed yet (P-083, Q-03).
            if (ended := child.poll()) is not None:
                return ended
            if self.state is State.STARTING:
                self._await_until(math.inf)
                self._promote()
            elif self.state is State.STOPPING:
                pause = lifecycle.kill_interval(self.config.stopwaitsecs)
                self._await_until(trio.current_time() + pause)
                if self.config.task is not None:  # nothing stronger than cancellation exists
                    self._log(Severity.WARN, f"task '{self.name}' {DOES_NOT_END}")
                    continue
                with contextlib.suppress(Failed):  # UNKNOWN now, and said so in the log
                    self._end(child, self._signals.kill)

    def _fail_start(self, text: str) -> None:
        self.spawn_error = text
        self.history.failures += 1
        self._to(State.BACKOFF)
        if self._stop_requested:
            self._abandon_retry()
            return
        policy = self.config
        delay = lifecycle.retry_delay(self.history.failures, policy.startretries, policy.backoff)
        if delay is None:
            self._log(
                Severity.INFO,
                f"gave up: {self.name} entered FATAL state, too many start retries too quickly",
            )
            self.history.failures = 0  # P-090
            self._to(State.FATAL)
        elif self._host.accepting:
            self._due = trio.current_time() + delay

    def _abandon_retry(self) -> None:
        self._log(Severity.DEBUG, f"Attempted to kill {self.name}, which is in BACKOFF state.")
        self.history.failures = 0  # P-091, Q-08
        self._due = math.inf
        self._to(State.STOPPED)

    def _promote(self) -> None:
        self.history.failures = 0  # P-089
        self._to(State.RUNNING)
        why = f"process has stayed up for > than {self.config.startsecs} seconds (startsecs)"
        if self._announces:
            why = "the task said that it has started"
        self._log(Severity.INFO, f"success: {self.name} entered RUNNING state, {why}")

    def _announced(self) -> None:
        """The task has started, by its own word; said twice it counts once."""
        if self.state is State.STARTING:
            self._promote()

    def _terminate(self, child: Child) -> None:
        self._to(State.STOPPING)
        self._await_until(trio.current_time() + self.config.stopwaitsecs)
        self._end(child, self._signals.stop)

    def _end(self, child: Child, send: Callable[[Child], None]) -> None:
        """Send a signal that is to end the child; UNKNOWN and Failed if it cannot be sent."""
        try:
            send(child)
        except Failed:
            self._await_until(math.inf)
            self._to(State.UNKNOWN)
            raise

    def _record_exit(self, ended: Exit, died_at: float) -> None:
        """Log the end of a reaped child, change the state, and arrange for what comes next.

        ``died_at`` is when the end was noticed, in seconds of trio's clock.
        """
        assert self._child is not None
        lifetime = died_at - self._spawned_at
        self._child.close()
        self._child = None
        self.stopped = self._host.wall_clock() - (trio.current_time() - died_at)  # P-018
        self.history.last_exit = ended
        expected = ended.expected(self.config.exitcodes)
        level = Severity.INFO if expected else Severity.WARN
        if self.state in (State.STOPPING, State.UNKNOWN):
            self.exit_status = ended.status
            self._log(level, f"stopped: {self.name} ({ended})")
            self._to(State.STOPPED)
        elif self.state is State.STARTING and (self._announces or self.config.startsecs > 0):
            # It was never seen alive after startsecs. When the daemon itself was stopped meanwhile,
            # the time of death is unknown, so ``lifetime`` would prove nothing.
            self.exit_status = 0  # P-019
            self._log(Severity.WARN, f"exited: {self.name} ({ended}; not expected)")
            self.pid = 0
            self._fail_start(TOO_QUICK)
        else:
            if self.state is State.STARTING:
                self._promote()  # T-08
            self.exit_status = ended.status
            if not expected:
                self.spawn_error = f"Bad exit code {ended.status}"
            said = "expected" if expected else "not expected"
            self._log(level, f"exited: {self.name} ({ended}; {said})")
            self._to(State.EXITED, expected=expected)
            wanted = lifecycle.wants_restart(self.config.autorestart, expected=expected)
            if wanted and self._host.accepting and not self._stop_requested:
                self._due = trio.current_time() + lifecycle.restart_delay(lifetime)
        self.pid = 0

    def _to(self, new: State, *, expected: bool = False) -> None:
        """Change the state: the only place where that happens. Emits the event of the move."""
        old = self.state
        if new not in MOVES[old]:
            raise InternalError(f"{self.name}: no move leads from {old.name} to {new.name}")
        if old is State.STARTING:
            self._attempt.outcome = new
        self._arrive(new)
        self._host.publish(
            state_event(
                self.name, self.group, old, new, self.history.failures, self.pid, expected=expected
            )
        )

    def let_go(self) -> None:
        """Forget a living child, which stays as it is; for the end of the group's task."""
        for channel in (self.stdout, self.stderr):
            channel.subscriptions.end()
        if self._child is not None:
            self._child.close()

    def _await_until(self, deadline: float) -> None:
        """Set the deadline of the wait for the child, also of one under way."""
        self._deadline = self._wait.deadline = deadline
