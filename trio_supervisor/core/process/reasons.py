"""Reasons why a process does not run, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.restart import RestartPolicy
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import ProcessRecord

NOT_READY = "Exited before it was ready"
TOO_QUICK = "Exited too quickly (process log may have details)"
JOB_FAILED = "The job has failed (process log may have details)"


def reason(config: ProcessConfig, record: ProcessRecord) -> str:
    """Explain why a process does not run, is not ready or is unhealthy; empty if it is well."""
    render = _REASONS.get(record.state)
    return "" if render is None else render(config, record)


def ill_health(config: ProcessConfig, record: ProcessRecord) -> str:
    """Explain why a RUNNING process is not healthy, or not yet; empty if it is, or is not checked.

    A process whose health is not known yet is not ill, but does not count as healthy.
    """
    if record.probes is None or config.health.check is None:
        return ""
    from trio_supervisor.core.process.probing import unhealthy_words  # few programs need it

    return unhealthy_words(config.health, record.probes)


def is_ill(record: ProcessRecord) -> bool:
    """Whether a process is RUNNING and unhealthy."""
    probes = record.probes
    return (
        probes is not None
        and record.state is State.RUNNING
        and probes.health.verdict.value == "unhealthy"
    )


def _starting(config: ProcessConfig, record: ProcessRecord) -> str:
    if record.probes is None or (not record.pid and config.task is None):
        return ""
    from trio_supervisor.core.process.probing import unready_words  # few programs need it

    return unready_words(config, record.probes)


def _running(config: ProcessConfig, record: ProcessRecord) -> str:
    return ill_health(config, record) if is_ill(record) else ""


def _backoff(config: ProcessConfig, record: ProcessRecord) -> str:
    starts = "start" if record.failures == 1 else "starts"
    return f"{record.failures} failed {starts}, will be tried again: {_failure(record)}"


def _fatal(config: ProcessConfig, record: ProcessRecord) -> str:
    return f"gave up starting it: {_failure(record)}"


def _failure(record: ProcessRecord) -> str:
    """The error of the last attempt, and how its child ended if there was one."""
    error = record.spawn_error or "the supervisor was going down"
    if record.spawn_file and record.spawn_file not in error:  # Supervisor's text does not name it
        error = f"{error} ({record.spawn_file})"
    return error if record.last_exit is None else f"{error}; {_end(record)}"


def _end(record: ProcessRecord) -> str:
    """Return how the last child ended; there is one."""
    return f"{record.last_exit}" if record.last_end is None else record.last_end.description


def _stopped(config: ProcessConfig, record: ProcessRecord) -> str:
    cause = record.intended_by
    if cause is not None and cause.kind is CauseKind.PROBE and record.probes is not None:
        return f"stopped because it was {ill_health(config, record)}"
    if record.last_exit is not None:
        return f"stopped on request: {_end(record)}"
    if record.started:
        return "stopped on request"
    return "not started yet" if config.autostart else "not started: autostart is off"


def _exited(config: ProcessConfig, record: ProcessRecord) -> str:
    last = record.last_exit
    text = f"ended by itself: {_end(record)}"
    if last is not None and not last.expected(config.exitcodes):
        text += " (not expected)"
    if RestartPolicy.of(config).prevents(last):
        text += "; not restarted after this (restart_prevent)"
    return text


def _unknown(config: ProcessConfig, record: ProcessRecord) -> str:
    return "it could not be signalled, or an internal error; the activity log has the details"


def next_start(record: ProcessRecord, now: float) -> str:
    """Tell when a process that is down starts by itself, as an appendix to the reason.

    ``now`` is the time of the monotonic clock. Empty if no start is due.
    """
    if record.due == math.inf:
        return ""
    return f"; next start in {max(0, math.ceil(record.due - now))} s"


def circumstances(record: ProcessRecord) -> str:
    """Describe the last end of a child and what led to its starts; empty if none has ended."""
    end = record.last_end
    if end is None:
        return ""
    facts = [f"Last exit: {end}", f"lived {end.lifetime:.1f} s"]
    if end.usage is not None:
        facts.append(f"processor time {end.usage.cpu_seconds:.1f} s")
        if end.usage.peak_memory:
            facts.append(f"peak memory {end.usage.peak_memory / 1024**2:.0f} MiB")
    return (
        f"{', '.join(facts)}. Starts on request: {record.requested_starts}, automatic restarts: "
        f"{record.automatic_restarts}, failed starts: {record.failed_starts}"
    )


_REASONS: dict[State, Callable[[ProcessConfig, ProcessRecord], str]] = {
    State.STARTING: _starting,
    State.RUNNING: _running,
    State.BACKOFF: _backoff,
    State.FATAL: _fatal,
    State.STOPPED: _stopped,
    State.EXITED: _exited,
    State.UNKNOWN: _unknown,
}


def why_start_failed(config: ProcessConfig, record: ProcessRecord, lifetime: float) -> str:
    """Say why a child that has lived for so many seconds was never RUNNING, or a job has failed."""
    probes, condition = record.probes, config.readiness.condition
    if config.oneshot:
        return JOB_FAILED
    if probes is None or condition is None or probes.is_ready:
        return TOO_QUICK
    is_quick = lifetime < config.startsecs
    return probes.failure or (TOO_QUICK if is_quick else f"{NOT_READY}: {condition}")
