"""Every change of the state of a process, and what follows from it.

``_move`` makes all transitions: it checks the table of legal moves, writes the record, logs,
publishes the event and wakes the waiters. Each of the other methods is called for one kind of
event: a start was begun, the child was seen alive, a start has failed, the child has ended. The
policies of ``core/process`` decide what follows, and the record has the time of the next step. The
module knows neither children nor tasks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.restarting import NO_RESTART_OPTIONS
from trio_supervisor.core.errors import (
    AbnormalTermination,
    InternalError,
    SpawnFailed,
    WaitsInVain,
)
from trio_supervisor.core.events import ProcessFlapping, state_event
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process import flapping
from trio_supervisor.core.process.cause import (
    EXIT,
    INTERNAL_ERROR,
    OF_OPTIONS,
    POLICY,
    PROBE,
    Cause,
    CauseKind,
    follows_last,
)
from trio_supervisor.core.process.exit import End
from trio_supervisor.core.process.log_lines import ProcessLine, spawned_line, transition_line
from trio_supervisor.core.process.reasons import why_start_failed
from trio_supervisor.core.process.record import Evidence, Intent, Transition
from trio_supervisor.core.process.restart import RestartHistory, RestartPolicy
from trio_supervisor.core.process.start import Starts, Wait, new_wait
from trio_supervisor.core.process.states import MOVES, RUNNING_STATES, State

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig, Severity
    from trio_supervisor.core.process.exit import Exit, ResourceUsage
    from trio_supervisor.core.process.member import Adoption
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.waiters import StateWaiters


class StartAttempt:
    """Start attempt. The process may be in a later state when a waiter looks at it."""

    __slots__ = ("outcome", "phase", "sent", "spawned", "wait")

    def __init__(self, wait: Wait | None = None) -> None:
        self.wait = wait
        """Its wait for dependencies; None: the process has none."""
        self.phase = ""
        """What is done before the spawn that may take long, in words; empty if nothing is."""
        self.sent = False
        """Whether its child is made before those of starts that begin now."""
        self.spawned = False
        """Whether it has led to a child."""
        self.outcome: State | None = None
        """The first state after STARTING."""

    @property
    def decided(self) -> bool:
        return self.outcome is not None

    def is_done(self, *, wait: bool) -> bool:
        """Whether it has its outcome; without ``wait``, whether it has a child or its outcome.

        A start that waits for dependencies in vain is done; without ``wait`` each one that waits,
        or runs a hook.
        """
        if self.decided or self.waits_in_vain:
            return True
        return not wait and (self.spawned or bool(self.waiting or self.phase))

    @property
    def waiting(self) -> str:
        """Dependencies that it waits for, in words; empty if it waits for none."""
        return "" if self.wait is None or self.decided else self.wait.text

    @property
    def waits_in_vain(self) -> bool:
        """Whether it waits for a dependency that will not come up by itself."""
        return self.wait is not None and self.wait.hopeless and bool(self.waiting)

    def check(self, name: str) -> None:
        """Raise SpawnFailed if it failed (retries go on), AbnormalTermination if it was ended.

        WaitsInVain, a kind of SpawnFailed, says for which dependency.
        """
        if self.waits_in_vain:
            raise WaitsInVain(f"{name}: {self.waiting}", self.waiting)
        if self.outcome is State.BACKOFF:
            raise SpawnFailed(name)
        if self.outcome not in (None, State.RUNNING):
            raise AbnormalTermination(name)


class StateMachine:
    """Makes the transitions of one process."""

    __slots__ = ("_config", "_group", "_host", "_record", "_waiters", "attempt", "full_name")

    def __init__(
        self,
        config: ProcessConfig,
        group: str,
        record: ProcessRecord,
        waiters: StateWaiters,
        host: Host,
    ) -> None:
        self.attempt = StartAttempt()
        """The last start attempt."""
        self.full_name = full_name(config.name, group)
        self._config = config
        self._group = group
        self._record = record
        self._waiters = waiters
        self._host = host

    @property
    def key(self) -> Key:
        """The names of its group and of the process itself."""
        return self._group, self._config.name

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested that is not carried out yet."""
        state = self._record.state
        requested = self._record.intent is Intent.DOWN and state in RUNNING_STATES
        return requested or state is State.STOPPING

    def intend(self, intent: Intent, cause: Cause) -> None:
        """Record whether the process is meant to run, and the cause."""
        self._record.intent = intent
        self._record.intended_by = cause
        if intent is Intent.DOWN:
            self._record.restart_cause = None

    def hold(self) -> None:
        """Cancel the automatic start that is due, if there is one."""
        self._record.due = math.inf
        self._waiters.wake()

    def begin(self, cause: Cause, starts: Starts = Starts.NONE) -> None:
        """Begin a start attempt now. The caller has checked that the state allows it."""
        record = self._record
        record.due = math.inf
        record.probes = record.restart_cause = None
        if self._config.dependencies.needs:
            key, retried = self.key, record.state is State.BACKOFF
            self.attempt = StartAttempt(new_wait(key, starts, self.attempt.wait, retried=retried))
        else:
            self.attempt = StartAttempt()
        record.spawn_error = record.spawn_file = ""
        record.exit_status = 0
        if cause.kind is CauseKind.REQUEST:
            record.requested_starts += 1
        elif (
            cause.kind in OF_OPTIONS
            and cause.kind is not CauseKind.DEPENDENCY
            and record.state in (State.EXITED, State.STOPPED)
        ):
            record.automatic_restarts += 1
        if flapping.counts(cause, record):
            self._count_bad_restart()
        self._count_start(cause)
        record.started = self._host.wall_clock()
        record.began_at = trio.current_time()
        self._move(State.STARTING, cause)

    def _count_bad_restart(self) -> None:
        """Count a restart of a process that went wrong; tell when it begins to flap."""
        record, now = self._record, trio.current_time()
        before = flapping.is_flapping(record, now)
        record.bad_restarts = (*flapping.recent(record.bad_restarts, now), now)
        if flapping.is_flapping(record, now) and not before:
            text = flapping.described(record, now)
            cause = POLICY.of(record.entry)
            self._host.journal.record(
                self.full_name, What.VERDICT, cause, new="flapping", evidence={"reason": text}
            )
            self._host.publish(ProcessFlapping(self._config.name, self._group, text))

    def end_wait(self, wait: Wait) -> None:
        """Record that all dependencies are as they must be: the times of the start begin now."""
        wait.over = True
        if wait.text or wait.starts is Starts.IGNORED:
            wait.text = ""
            self._record.started = self._host.wall_clock()
            self._record.began_at = trio.current_time()

    def spawned(self, pid: int, adoption: Adoption | None = None) -> None:
        """Record the new child. It becomes RUNNING after startsecs.

        A task that takes ``task_status`` becomes RUNNING when it calls ``started()``, a one-shot
        program when it has ended as expected. ``adoption``: None means that it is our own.
        """
        record = self._record
        record.pid = pid
        record.adoption = adoption
        record.signal = record.signal_entry = 0
        record.spawns += 1
        record.spawned_at = trio.current_time()
        if self._config.oneshot or self._config.announces:
            record.deadline = math.inf
        else:
            record.deadline = record.spawned_at + self._config.startsecs
        self.log(*spawned_line(self._config.name, pid))
        self.attempt.spawned = True
        self._waiters.wake()

    def announced(self) -> None:
        """The task called ``task_status.started()``. Later calls are ignored."""
        if self._record.state is State.STARTING and not self._config.oneshot:
            self.promote(PROBE)

    def promote(self, cause: Cause) -> None:
        """Record that the child counts as started: RUNNING."""
        if self._config.restarting is not NO_RESTART_OPTIONS:
            self._history.running_since = trio.current_time()
        self._record.failures = 0
        self._record.deadline = math.inf
        self._move(State.RUNNING, cause)

    def fail_start(
        self,
        cause: Cause,
        error: str,
        end: End | None = None,
        pid: int = 0,
    ) -> None:
        """Record a failed start attempt; retry later, or give up.

        ``end`` and ``pid`` are those of the child that ended; None and 0: there was none.
        """
        record = self._record
        record.spawn_error = error
        record.failures += 1
        record.failed_starts += 1
        ended = None if end is None else end.exit
        self._move(
            State.BACKOFF,
            cause,
            Evidence(pid, record.failures, ended, False, error, end=end),
        )
        if record.intent is Intent.DOWN:
            self.abandon_start()
            return
        policy = RestartPolicy.of(self._config)
        delay = policy.after_failed_start(record.failures, ended, chance=self._host.chance())
        if delay is None:
            rule = f"{ended} is in restart_prevent" if policy.prevents(ended) else ""
            self.give_up(POLICY, rule)
        elif self._host.accepting:
            record.due = trio.current_time() + delay

    def abandon_start(self) -> None:
        """Cancel a start without a child, or further attempts, for a requested stop: STOPPED."""
        self._record.failures = 0
        self._record.due = math.inf
        self._move(State.STOPPED, self._record.intended_by or INTERNAL_ERROR)

    def give_up(self, cause: Cause, rule: str = "") -> None:
        """Make no further start attempts, or only after a long time: FATAL.

        ``rule`` tells which option has decided, if it was not ``startretries``.
        """
        record = self._record
        record.spawn_error = rule or record.spawn_error
        record.failures = 0  # a later start counts anew
        self._move(State.FATAL, cause, Evidence(error=record.spawn_error, rule=rule))
        delay = RestartPolicy.of(self._config).after_fatal(record.last_exit)
        if delay is not None and self._host.accepting:
            record.due = trio.current_time() + delay
        self.escalate()

    def stop(self, deadline: float) -> None:
        """Record that the child is sent its stop signal now, and the next one at ``deadline``.

        Or earlier, if the stop of everything has to end before.
        """
        record = self._record
        record.deadline = min(deadline, record.stop_by)
        cause = record.restart_cause or record.intended_by or INTERNAL_ERROR
        self._move(State.STOPPING, cause, Evidence(record.pid))

    def lose_control(self, cause: Cause, error: str) -> None:
        """Record a failed signal, or an internal error while the child lives: UNKNOWN."""
        self._record.deadline = math.inf
        self._move(State.UNKNOWN, cause, Evidence(self._record.pid, error=error))

    def end(
        self,
        ended: Exit,
        died_at: float,
        usage: ResourceUsage | None = None,
        last_lines: tuple[str, str] = ("", ""),
        *,
        lacked_memory: bool = False,
        unseen: bool = False,
    ) -> None:
        """Record the exit of the reaped child; schedule a restart if the policy requires it.

        ``died_at`` is when the end was noticed, by trio's clock; ``last_lines`` are those of stdout
        and stderr; ``lacked_memory``: the kernel has killed it for that; ``unseen``: no daemon ran
        that would have seen it alive after startsecs.
        """
        record, config = self._record, self._config
        if record.adoption is not None and record.adoption.gone_at < math.inf:
            died_at, unseen = record.adoption.gone_at, True
        lifetime = died_at - record.spawned_at
        record.deadline = math.inf
        record.stopped = self._host.wall_clock() - (trio.current_time() - died_at)
        record.last_exit = ended
        expected = ended.expected(config.exitcodes)
        failed = record.state is State.STARTING and (
            not expected if config.oneshot else _was_short(config, lifetime, unseen=unseen)
        )
        as_wished = record.state is State.STOPPING or (expected and not failed)
        end = End(ended, as_wished, record.stopped, lifetime, *last_lines, usage, lacked_memory)
        record.last_end = end
        evidence = Evidence(record.pid, record.failures, ended, expected, end=end)
        if record.state in (State.STOPPING, State.UNKNOWN):
            record.exit_status = ended.status
            self._move(State.STOPPED, EXIT, evidence)
            if record.restart_cause is not None:
                record.pid = 0
                self._restart_later(ended, died_at, expected=expected, lifetime=lifetime)
        elif failed:
            # It was never seen alive after startsecs. When the daemon itself was stopped meanwhile,
            # the time of death is unknown, so ``lifetime`` would prove nothing.
            record.exit_status = 0
            pid, record.pid = record.pid, 0
            self.fail_start(EXIT, why_start_failed(config, record, lifetime), end, pid)
        else:
            if record.state is State.STARTING:
                self.promote(POLICY)
            record.exit_status = ended.status
            if not expected:
                record.spawn_error = f"Bad exit code {ended.status}"
            killed = ended.signal is not None and ended.signal == record.signal
            cause = EXIT.of(record.signal_entry) if killed else EXIT
            self._move(State.EXITED, cause, evidence)
            record.pid = 0
            self._restart_later(ended, died_at, expected=expected, lifetime=lifetime)
        record.pid = 0
        self.escalate()

    def escalate(self) -> None:
        """If the process has ended for good, or waits for what does not come, let that end the
        supervisor where options say so."""
        over = self._record.ended_unasked or self.attempt.waits_in_vain
        if over and self._host.accepting:
            self._host.ended_unasked(self._config, self.full_name, self._record)

    def log(self, severity: Severity, text: str) -> None:
        """Log a line that tells which process it is about."""
        record = self._record
        self._host.log(severity, ProcessLine(text, self.full_name, record.pid, record.state))

    def signalled(self, number: int, cause: Cause) -> None:
        """Record that the child was sent a signal on request: its end may be the effect."""
        self._record.signal = number
        self._record.signal_entry = cause.entry

    def _restart_later(
        self, ended: Exit, died_at: float, *, expected: bool, lifetime: float
    ) -> None:
        """Schedule the restart of a process that has exited by itself or is restarted by a policy,
        if it is to be made."""
        record, policy = self._record, RestartPolicy.of(self._config)
        deaths = 1
        if self._config.restarting is not NO_RESTART_OPTIONS:
            self._history.died(died_at)
            deaths = self._history.deaths
        chance = self._host.chance()
        delay: float | None
        if record.restart_cause is not None:
            delay = policy.after_stop(lifetime=lifetime, deaths=deaths, chance=chance)
        else:
            delay = policy.after_exit(
                ended, expected=expected, lifetime=lifetime, deaths=deaths, chance=chance
            )
        if delay is None or not self._host.accepting or record.intent is Intent.DOWN:
            return
        due = trio.current_time() + delay
        rule = "" if record.restarting is None else policy.excess(record.restarting, due)
        if rule:
            self.give_up(POLICY, rule)
        else:
            record.due = due

    @property
    def _history(self) -> RestartHistory:
        if self._record.restarting is None:
            self._record.restarting = RestartHistory()
        return self._record.restarting

    def _count_start(self, cause: Cause) -> None:
        """Count an automatic restart for ``restart_limit``; any other start clears all counters."""
        record, options = self._record, self._config.restarting
        if cause.kind not in OF_OPTIONS or record.state is State.FATAL:
            record.restarting = None
        elif (
            record.state is not State.BACKOFF
            and cause.kind is not CauseKind.DEPENDENCY
            and options.restart_limit is not None
        ):
            self._history.restarted(trio.current_time(), options)

    def _move(self, new: State, cause: Cause, evidence: Evidence | None = None) -> None:
        """Change the state: the only place where that happens."""
        record, config = self._record, self._config
        old = record.state
        if new not in MOVES[old]:
            raise InternalError(f"{config.name}: no move leads from {old.name} to {new.name}")
        if evidence is None:
            evidence = Evidence(record.pid, record.failures)
        if follows_last(cause, old):
            cause = cause.of(record.entry)
        transition = Transition(old, new, self._host.wall_clock(), cause, evidence)
        if old is State.STARTING:
            self.attempt.outcome = new
        record.state = new
        record.transition = transition
        record.entry = self._host.journal.record_transition(self.full_name, config, transition)
        self._waiters.arrived()
        line = transition_line(config, transition)
        # Supervisor logs the line about RUNNING after publishing the event, all others before.
        if line is not None and new is not State.RUNNING:
            self.log(*line)
        self._host.bus.publish(state_event(config.name, self._group, transition))
        if line is not None and new is State.RUNNING:
            self.log(*line)


def _was_short(config: ProcessConfig, lifetime: float, *, unseen: bool) -> bool:
    """Whether a child that has ended in STARTING had not started yet; a job counts otherwise."""
    if config.announces or config.readiness.condition is not None:
        return True
    return lifetime < config.startsecs if unseen else config.startsecs > 0
