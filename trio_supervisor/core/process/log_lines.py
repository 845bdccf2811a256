"""The lines of the activity log about the transitions of processes.

Their texts are Supervisor's, byte for byte: scripts read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import Transition
    from trio_supervisor.core.process.start import Wait

    Line = tuple[Severity, str]


class ProcessLine(str):
    """A line of the activity log that tells which process it is about, for structured logs."""

    __slots__ = ("error", "pid", "process", "state")

    process: str
    """Its full name."""
    pid: int
    """0 if there is no child."""
    state: State | None
    """None if the line is about its output."""
    error: BaseException | None
    """The exception that ended a task."""

    def __new__(
        cls,
        text: str,
        process: str,
        pid: int,
        state: State | None,
        error: BaseException | None = None,
    ) -> ProcessLine:
        line = super().__new__(cls, text)
        line.process, line.pid, line.state, line.error = process, pid, state, error
        return line


def transition_line(config: ProcessConfig, transition: Transition) -> Line | None:
    """Return severity and text of the line about a transition; None: it has none."""
    render = _LINES.get(transition.new)
    return None if render is None else render(config, transition)


def spawned_line(name: str, pid: int) -> Line:
    """Return the line about a new child, which is not a transition: it stays STARTING."""
    return Severity.INFO, f"spawned: '{name}' {f'with pid {pid}' if pid else 'as a task'}"


def waiting_line(wait: Wait) -> Line:
    """Return severity and text of the line about a start that waits for dependencies."""
    group, name = wait.key
    text = f"{name} is {wait.text}"
    return Severity.INFO, ProcessLine(text, full_name(name, group), 0, State.STARTING)


def _running(config: ProcessConfig, transition: Transition) -> Line:
    why = f"process has stayed up for > than {config.startsecs} seconds (startsecs)"
    if transition.cause.kind is CauseKind.PROBE:
        condition, startsecs = config.readiness.condition, config.startsecs
        why = "the task said that it has started"
        if condition is not None:
            why = f"it is ready ({condition}) and has stayed up for {startsecs} seconds (startsecs)"
    return Severity.INFO, f"success: {config.name} entered RUNNING state, {why}"


def _backoff(config: ProcessConfig, transition: Transition) -> Line | None:
    facts = transition.evidence
    if facts.exit is not None:
        return Severity.WARN, f"exited: {config.name} ({facts.exit}; not expected)"
    if transition.cause.kind is CauseKind.INTERNAL_ERROR:
        return None  # it has its own line, with the traceback
    return Severity.INFO, f"spawnerr: {facts.error}"


def _exited(config: ProcessConfig, transition: Transition) -> Line:
    facts = transition.evidence
    expectation = "expected" if facts.expected else "not expected"
    return _severity(transition), f"exited: {config.name} ({facts.exit}; {expectation})"


def _stopped(config: ProcessConfig, transition: Transition) -> Line:
    if transition.old is State.BACKOFF:
        text = f"Attempted to kill {config.name}, which is in BACKOFF state."
        return Severity.DEBUG, text
    if transition.old is State.STARTING:  # it was waiting, and had no child
        return Severity.INFO, f"stopped: {config.name} (before it had a child)"
    return _severity(transition), f"stopped: {config.name} ({transition.evidence.exit})"


def _fatal(config: ProcessConfig, transition: Transition) -> Line | None:
    if transition.cause.kind is CauseKind.SHUTDOWN:
        return None
    why = transition.evidence.rule or "too many start retries too quickly"
    return Severity.INFO, f"gave up: {config.name} entered FATAL state, {why}"


def _severity(transition: Transition) -> Severity:
    return Severity.INFO if transition.evidence.expected else Severity.WARN


_LINES: dict[State, Callable[[ProcessConfig, Transition], Line | None]] = {
    State.RUNNING: _running,
    State.BACKOFF: _backoff,
    State.EXITED: _exited,
    State.STOPPED: _stopped,
    State.FATAL: _fatal,
}
