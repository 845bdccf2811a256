"""The life of a process: a straight-line coroutine from one child to the next.

Theory of operation
-------------------
A process is three things. Its *record* (``core/process/record.py``) is all that is known of it, as
plain values. Its *state machine* (``state_machine.py``) makes every transition and knows no child.
Its *driver*, here, is the one task that serves its children; its program counter and the state of
the record always agree:

    ``run``         waits until the state is STARTING: a request began a start, or one was due;
                    then, STARTING without a child, for the dependencies of the process
    ``launch``      has a child made, which takes a moment; STARTING all the while
    ``resume``      takes over a child that is already alive (``hand_over``), in any state
    ``_accompany``  serves the child: STARTING, RUNNING, STOPPING or UNKNOWN, until it has ended

``launch`` and ``resume`` are the only two ways to a child, and ``_accompany`` follows both.

Requests do not queue. A request is a plain method that changes the record and wakes the driver: it
begins a start (which ``run`` finds as the state STARTING), or it sets the intent to DOWN and, if
there is a child, sends the first signal at once. A command that waited in a queue could be out of
date when its turn comes. A stop that comes while a child is being made finds no child to signal:
``launch`` looks at the intent as soon as there is one, and ``fail_start`` if there will be none.

There is one deadline, ``record.deadline``, because a child has at most one thing to wait for: in
STARTING it counts as started then, in STOPPING it gets the next signal of its stop sequence. One
task of the supervisor calls ``due`` then, for all its processes, and requests can move the deadline
(``rescheduled``).

The end of a child is recorded late: first what it left in its pipes is read, then the logs settle,
so that the last words of a program are in its log before a client learns that it has exited. In
between the child is dead and its process still RUNNING (``is_dead``); a request that arrives then
signals nothing, and a start waits. ``lifetime`` counts until the end was noticed, not recorded.

Cancelling ``run`` abandons the child and never kills it: an ordered stop is a request. An error
of ours in ``run`` ends in ``recover``, and ``run`` is called again: if the child lives the state is
UNKNOWN, and ``run`` waits for its end first. The record survives that.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.errors import Failed, NoFile, NotExecutable, RequestError
from trio_supervisor.core.process.cause import EXIT, INTERNAL_ERROR, POLICY, PROBE
from trio_supervisor.core.process.ending import FAILED, NOT_EXECUTABLE, NOT_FOUND
from trio_supervisor.core.process.log_lines import waiting_line
from trio_supervisor.core.process.record import Intent
from trio_supervisor.core.process.states import MOVES, State
from trio_supervisor.core.process.stop import DUMP_TIME, StopSequence
from trio_supervisor.runtime.process.signalling import Signaller
from trio_supervisor.runtime.spawn.forking import SpawnError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.start import Wait
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.stdio import Stdio
    from trio_supervisor.runtime.probes.monitor import Monitor
    from trio_supervisor.runtime.process.hooks import ProcessHooks
    from trio_supervisor.runtime.process.left_behind import LeftBehind
    from trio_supervisor.runtime.process.state_machine import StateMachine
    from trio_supervisor.runtime.process.waiters import StateWaiters
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.starter import Starter


_SPAWN_CODES: dict[type[Exception], int] = {NoFile: NOT_FOUND, NotExecutable: NOT_EXECUTABLE}


class StartAbandoned(Exception):
    """A stop has ended a start that had no child yet: the state is STOPPED."""


class Driver:
    """Makes and serves the children of one process, one after the other."""

    __slots__ = (
        "_config",
        "_host",
        "_inherited",
        "_is_between",
        "_kills_before",
        "_known_hooks",
        "_left_behind",
        "_memory_kills",
        "_monitor",
        "_record",
        "_removed",
        "_signals",
        "_starter",
        "_states",
        "_stdio",
        "_waiters",
        "child",
        "nursery",
        "without_child",
    )

    def __init__(
        self,
        config: ProcessConfig,
        record: ProcessRecord,
        states: StateMachine,
        waiters: StateWaiters,
        starter: Starter,
        stdio: Stdio,
        host: Host,
        monitor: Monitor | None = None,
    ) -> None:
        """``monitor``: None for a process without ``ready`` and ``health``."""
        self.child: Child | None = None
        """From the spawn until its end is recorded."""
        self._config = config
        self._record = record
        self._states = states
        self._waiters = waiters
        self._starter = starter
        self._stdio = stdio
        self._host = host
        self._monitor = monitor
        self._signals = Signaller(config, states.log)
        self.nursery: trio.Nursery | None = None
        """Of the tasks that serve the child, cancelled at its end; None before the first."""
        self._known_hooks: ProcessHooks | None = None
        self.without_child: trio.CancelScope | None = None
        """Set while there is no child but the start or the cleaning up goes on; a stop of a start
        cancels it."""
        self._inherited: tuple[Child, Callable[[], object]] | None = None
        self._is_between = False
        """Whether a child is being made, taken over or cleaned up."""
        self._left_behind: LeftBehind | None = None
        """What the last child has left and is not told yet."""
        self._removed = False
        self._memory_kills = host.memory_kills
        """Tells whether the kernel has killed the child for lack of memory."""
        self._kills_before: int | None = None
        """Its count at the spawn of the child; None: unknown."""

    @property
    def is_dead(self) -> bool:
        """Whether there is a child whose end is known and not recorded yet."""
        return self.child is not None and self.child.poll() is not None

    async def end_recorded(self) -> None:
        """If the child is dead and its end is not recorded yet, wait until it is recorded.

        That takes until its output is in the logs.
        """
        if self.is_dead:
            dead = self.child
            await self._waiters.until(lambda: self.child is not dead)

    def hand_over(self, child: Child, attached: Callable[[], object] = lambda: None) -> None:
        """Give ``run`` a child that is already alive and that the record describes.

        It can be signalled at once. ``attached`` is called when its pipes have been taken over and
        nothing has been read.
        """
        self.child = child
        self._inherited = child, attached

    @property
    def has_inherited(self) -> bool:
        """Whether a child was handed over that is not served yet."""
        return self._inherited is not None

    @property
    def can_let_go(self) -> bool:
        """Whether another supervisor could go on from here.

        Not while a child is being made or taken over, has ended and is not recorded yet, or while
        a hook runs.
        """
        if self._is_between or self._inherited is not None or self.is_dead:
            return False
        return self._known_hooks is None or not self._known_hooks.is_running

    def end(self) -> None:
        """Make ``run`` return as soon as there is no child; cancel a pending automatic start."""
        self._removed = True
        self._states.hold()

    def stop(self) -> None:
        """Carry out the intent DOWN: give up a retry or a wait, or send the stop signal.

        A stop under way goes on, and ends no later than ``record.stop_by``. A child that is being
        made is stopped as soon as it exists; a dead one is not signalled. Raises Failed if the
        signal cannot be sent.
        """
        state = self._record.state
        if state is State.STARTING and self.without_child is not None:
            self._states.abandon_start()
            self.without_child.cancel()
        elif state is State.BACKOFF or (state is State.STARTING and self._states.attempt.waiting):
            self._states.abandon_start()
        elif state is State.STOPPING:
            self._record.deadline = min(self._record.deadline, self._record.stop_by)
            self.rescheduled()
        elif self.child is not None and not self.is_dead:
            self._terminate(self.child)

    def signal(self, child: Child, number: int) -> None:
        """Send a signal to the child only. Raises Failed."""
        self._signals.send(child, number)

    async def run(self) -> None:
        """Start and serve children until ``end`` is called; runs as the task of the process."""
        if self._inherited is not None:
            (child, attached), self._is_between = self._inherited, True
            with self._starter.holder() as held:
                await self.resume(held, child, attached)
                self._inherited = None
                self._waiters.wake()
                try:
                    await self._accompany()
                finally:
                    self._is_between = False
        elif self.child is not None:  # an error ended an earlier run while the child lived
            ended, now = await self.child.wait(), trio.current_time()
            lacked_memory = self._memory_kills.explain(
                ended, self._kills_before, asked=self._signals.killed
            )
            self._record_end(ended, now, self._stdio.last_lines, lacked_memory=lacked_memory)
        record = self._record
        while True:
            is_held = False
            while record.state is not State.STARTING:
                if self._removed:
                    return
                left, was_held = self._left_behind, is_held
                is_held = trio.current_time() >= record.due and self.is_held_back
                if is_held and not was_held:
                    text = f"{self._config.name} is not started again until its events are read"
                    self._host.log(Severity.WARN, text)
                due = math.inf if is_held else record.due
                await self._waiters.changed(until=min(due, left.due if left else math.inf))
                now = trio.current_time()
                if left is not None and now >= left.due:
                    left.tell()
                if now >= record.due and not self.is_held_back:
                    self._states.begin(record.restart_cause or POLICY)
            if self._left_behind is not None:
                self._left_behind.tell()
            wait = self._states.attempt.wait
            if wait is not None and not await self._dependencies_met(wait):
                continue
            if self._host.hold is not None:
                await self._host.hold.wait()
                continue  # it may have been stopped meanwhile
            self._is_between = True
            try:
                with self._starter.holder() as held:
                    if await self.launch(held):
                        await self._accompany()
            finally:
                self._is_between = False

    @property
    def is_held_back(self) -> bool:
        """Whether an automatic start waits for a reader of events; the process is woken then."""
        pressure = self._host.bus.back_pressure
        return pressure is not None and pressure.holds(self._states.key, self._waiters.wake)

    async def _dependencies_met(self, wait: Wait) -> bool:
        """Return when the dependencies are as they must be; False if it was stopped meanwhile."""
        coordination, told = self._host.coordination, ("", False)
        while coordination is not None and not coordination.may_start(wait):
            if self._record.intent is Intent.DOWN:
                self._states.abandon_start()
                return False
            if (wait.text, wait.hopeless) != told:
                told = wait.text, wait.hopeless
                self._host.log(*waiting_line(wait))
                self._waiters.wake()  # whoever asked for the start learns that it waits
                self._states.escalate()
            await self._waiters.changed()
            if self._record.state is not State.STARTING or self._states.attempt.wait is not wait:
                return False  # stopped, and perhaps started anew
        self._states.end_wait(wait)
        return True

    async def launch(self, held: contextlib.ExitStack | None) -> bool:
        """Have the starter make a child, or record the failed attempt; whether there is a child.

        Adds to ``Starter.launch`` the state: spawned, failed, or stopped meanwhile.
        """
        attempt = self._states.attempt

        def sent() -> None:
            attempt.sent = True
            self._waiters.wake()

        try:
            environment = await self._prepare() if self._config.has_preparation else None
            if self._config.task is None:
                self._memory_kills = self._starter.memory_kills()
                self._kills_before = self._memory_kills.read()
            child = await self._starter.launch(held, sent, self._states.announced, environment)
        except StartAbandoned:
            return False
        except (RequestError, SpawnError) as error:
            await self._give_up_attempt(error)
            return False
        self.child = child
        self._signals.killed = False
        self._stdio.attach(child)
        self._states.spawned(child.pid)
        if self._monitor is not None:
            self._monitor.spawned()
        return True

    async def _prepare(self) -> Mapping[str, str] | None:
        """Do what comes before the spawn; return the environment if it had to be looked up.

        Raises RequestError or SpawnError, or StartAbandoned if a stop has ended the start.
        """
        environment, attempt = None, self._states.attempt
        with trio.CancelScope() as scope:
            self.without_child = scope
            try:
                if self._record.intent is Intent.DOWN:
                    self.stop()
                if self._config.stopping.pre_start is not None:
                    attempt.phase = "runs pre_start"
                    self._waiters.wake()  # who does not wait for RUNNING goes on
                    await self.hooks.pre_start()
                environment = await self._starter.environment()
                await self._starter.prepare_cgroup(self._record)
            except (RequestError, SpawnError):
                if not scope.cancel_called:
                    raise
            finally:
                self.without_child = None
                attempt.phase = ""
                self._waiters.wake()  # who waits until it is cleaned up
        if scope.cancel_called:
            raise StartAbandoned
        return environment

    async def resume(
        self,
        held: contextlib.ExitStack | None,
        child: Child,
        attached: Callable[[], object] = lambda: None,
    ) -> None:
        """Take over a living child that was handed over; its record tells state and deadline."""
        await self._starter.reopen(held)
        self.child = child
        self._stdio.attach(child)
        attached()

    def abandon(self) -> None:
        """Stop watching a living child without a signal, when the group's task ends."""
        if self._left_behind is not None:
            self._left_behind.tell()
        if self.child is not None:
            self.child.close()

    def recover(self) -> None:
        """Bring the record in line with the child after an exception in ``run``."""
        name = self._config.name
        self._host.log(Severity.CRITICAL, f"internal error in {name}:\n{traceback.format_exc()}")
        self._states.hold()
        if State.UNKNOWN in MOVES[self._record.state] and self.child is not None:
            self._states.lose_control(INTERNAL_ERROR, "internal error")
        elif self._record.state is State.STARTING:
            self._states.fail_start(INTERNAL_ERROR, "internal error, see the activity log")

    async def _give_up_attempt(self, error: RequestError | SpawnError) -> None:
        self._record.last_exit = None
        self._record.spawn_code = _SPAWN_CODES.get(type(error), FAILED)
        self._record.spawn_file = error.file if isinstance(error, SpawnError) else ""
        if isinstance(error, SpawnError) and error.stderr_note is not None:
            self._stdio.write_note(error.stderr_note)
        await self._stdio.finish()
        text = error.detail if isinstance(error, RequestError) else str(error)
        self._states.fail_start(EXIT, text)

    async def _accompany(self) -> None:
        """Forward the child's input and output until it exits, then record its end."""
        child = self.child
        assert child is not None
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                self._is_between = False
                child.serve(nursery, self._stdio.carry)
                if self._monitor is not None:
                    self._monitor.serve(nursery, self)
                if self._starter.watches_memory:
                    # Imported here because few programs have such a limit.
                    from trio_supervisor.runtime.process.memory_limit import watch_memory

                    nursery.start_soon(watch_memory, self._starter, self._record, self)
                if self._record.state is State.STARTING and self._record.intent is Intent.DOWN:
                    with contextlib.suppress(Failed):  # UNKNOWN now, as the log says
                        self._terminate(child)
                try:
                    self.due()  # with startsecs = 0 it is promoted now, without a wait
                    ended = await child.wait()
                finally:
                    self._is_between = True
                    self._host.deadlines.set(self, math.inf)
                    self._stdio.stdin.stop_delivery()
                died_at = trio.current_time()  # a disk that hangs may take its time below
                if nursery.child_tasks:  # most are about to read the end of their pipes
                    await trio.lowlevel.cancel_shielded_checkpoint()
                if nursery.child_tasks:
                    nursery.cancel_scope.cancel()
            is_alone = self._config.stopping.kill_mode is KillMode.PROCESS
            left = await child.left_in_group() if is_alone else set()
            lacked_memory = self._memory_kills.explain(
                ended, self._kills_before, asked=self._signals.killed
            )
            self._stdio.drain_rest()
            last_lines = self._stdio.last_lines
            stopping = self._record.state is State.STOPPING
            cleans_up = self._config.has_cleanup
            if cleans_up:
                after = self.hooks.after_end(
                    child.pid, ended, self._record, lacked_memory=lacked_memory
                )
                if stopping:
                    left |= await after()
        finally:
            if not self._host.letting_go:
                self._stdio.close()
                if self._monitor is not None:
                    self._monitor.ended()
        await self._stdio.settled()  # its last words are in the log before its exit is known
        self._record_end(ended, died_at, last_lines, lacked_memory=lacked_memory)
        if cleans_up and not stopping:  # a start that is due waits for it
            self.without_child = trio.CancelScope()  # a stop ends the start, not the hook
            try:
                left |= await after(reopen=True)
            finally:
                self.without_child = None
                self._waiters.wake()
        self._left_behind = self._starter.left_behind(left, self._record)

    def due(self) -> None:
        """Promote the child, or signal it again, if that is due."""
        record = self._record
        while record.deadline <= trio.current_time():
            child = self.child
            # What has died is not promoted, even if nothing has noticed its death yet.
            if child is None or self._is_between or child.poll() is not None:
                return
            if record.state is State.STARTING and not self._is_late:
                if self._monitor is None or not self._monitor.lateness:
                    is_awaited = self._config.readiness.condition is not None
                    self._states.promote(PROBE if is_awaited else POLICY)
                    continue
                with contextlib.suppress(Failed):  # UNKNOWN now, as the log says
                    self._begin_stop_sequence(child, self._monitor.fail_start)
            elif record.state is State.RUNNING:  # the time to dump its state is over
                with contextlib.suppress(Failed):
                    self._terminate(child)
            elif record.state in (State.STARTING, State.STOPPING):
                record.stop_step += 1
                stop = StopSequence.of(self._config)
                now = trio.current_time()
                if record.stop_by <= now:  # no time for the steps between
                    record.stop_step = stop.last_step
                step = stop.step(record.stop_step)
                record.deadline = now + step.wait
                if not stop.is_last(record.stop_step):
                    record.deadline = min(record.deadline, record.stop_by)
                is_kill = stop.is_last(record.stop_step)
                if is_kill and self._config.stopping.kill_mode is not KillMode.PROCESS:
                    assert self.nursery is not None
                    self.hooks.begin_sweep(self.nursery, child.pid, record)
                send = self._signals.kill if is_kill else self._signals.stop
                try:
                    send(child, step)
                except Failed as error:
                    self._states.lose_control(POLICY, error.detail)
            else:  # UNKNOWN: there is nothing to wait for
                record.deadline = math.inf
        self.rescheduled()

    @property
    def _is_late(self) -> bool:
        """Whether the child is being stopped because it was not ready in time."""
        return self._record.probes is not None and self._record.probes.failure != ""

    def rescheduled(self) -> None:
        """Follow the deadline of the record, which has changed."""
        self._host.deadlines.set(self, self._record.deadline)

    def restart(self, cause: Cause, dump_signal: int | None = None) -> None:
        """Stop the child and start another one, whatever ``autorestart`` says.

        For policies; a stop requested meanwhile calls the start off. Before its stop signal the
        child is sent ``dump_signal``, if there is one, and gets a moment to act on it.
        """
        child, record = self.child, self._record
        if child is None or self.is_dead or record.state is not State.RUNNING:
            return
        record.restart_cause = cause
        with contextlib.suppress(Failed):  # UNKNOWN now, as the log says
            if dump_signal is None:
                self._terminate(child)
                return
            record.deadline = trio.current_time() + DUMP_TIME
            self.rescheduled()
            self.signal(child, dump_signal)

    def _terminate(self, child: Child) -> None:
        """Begin the stop sequence. Raises Failed, and the state is UNKNOWN, if that is refused."""
        if self._record.state is State.STARTING and self._is_late:  # it has begun
            self._states.stop(self._record.deadline)
        else:
            self._begin_stop_sequence(child, self._states.stop)

    def _begin_stop_sequence(self, child: Child, record_it: Callable[[float], None]) -> None:
        """Take the first step; ``record_it`` is called with the time of the next one.

        Raises Failed, and the state is UNKNOWN, if the signal is refused.
        """

        def next_step() -> None:
            self._record.deadline = trio.current_time()
            self.rescheduled()

        self._record.stop_step = 0
        step = StopSequence.of(self._config).step(0)
        record_it(trio.current_time() + step.wait)
        try:
            if step.command:
                if self.nursery is None:  # just handed over, and not served yet
                    next_step()
                    return
                self.hooks.begin_stop(self.nursery, child.pid, step, next_step)
            else:
                self._signals.stop(child, step)
        except Failed as error:
            self._states.lose_control(self._cause_of_stop, error.detail)
            raise
        finally:
            self.rescheduled()

    @property
    def hooks(self) -> ProcessHooks:
        """The commands of its options, made with the first use."""
        if self._known_hooks is None:
            from trio_supervisor.runtime.process.hooks import ProcessHooks  # few programs have some

            self._known_hooks = ProcessHooks(self._starter)
        return self._known_hooks

    @property
    def _cause_of_stop(self) -> Cause:
        return self._record.restart_cause or self._record.intended_by or INTERNAL_ERROR

    def _record_end(
        self,
        ended: Exit,
        died_at: float,
        last_lines: tuple[str, str],
        *,
        lacked_memory: bool,
    ) -> None:
        assert self.child is not None
        self.child.close()
        usage = self.child.usage
        self.child = None
        self._states.end(ended, died_at, usage, last_lines, lacked_memory=lacked_memory)
