"""Readiness and health of a process: what is known of them, and the decisions that follow.

Times are those of the monotonic clock. An *answer* is what a try or check has found: empty for
success, else words such as ``connection refused``.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Health, ProcessConfig
    from trio_supervisor.core.monotonic import Monotonic

#: Seconds that one try of a condition may take, and between the end of one and the next.
TRY_TIMEOUT = 3.0
TRY_PAUSE = 0.5


class Verdict(enum.Enum):
    """Result of the checks of a process since it became RUNNING."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthState:
    """Health of a child, as far as it is known."""

    verdict: Verdict = Verdict.UNKNOWN
    failures: int = 0
    """Failed checks in a row."""
    has_succeeded: bool = False
    """Whether any check has succeeded since the process became RUNNING."""
    answer: str = ""
    """Of the last check."""
    since: float = 0.0
    """When the verdict was reached, in seconds since the epoch; 0.0 means never."""

    def after(self, answer: str, failures_allowed: int, now: float) -> HealthState:
        """Return the state after a check; ``now`` is wall-clock time.

        One success makes a process healthy. ``failures_allowed`` failed checks in a row make it
        unhealthy, and it stays so until one succeeds.
        """
        failures = self.failures + 1 if answer else 0
        verdict = self.verdict
        if not answer:
            verdict = Verdict.HEALTHY
        elif failures >= failures_allowed:
            verdict = Verdict.UNHEALTHY
        since = self.since if verdict is self.verdict else now
        return HealthState(verdict, failures, self.has_succeeded or not answer, answer, since)


@dataclass(slots=True)
class ProbeRecord:
    """Readiness and health of one child. Programs without ``ready`` and ``health`` have none."""

    is_ready: bool = False
    answer: str = ""
    """Of the last try of the condition."""
    expires: Monotonic = math.inf
    """When the start fails unless the process is ready; infinite means never."""
    failure: str = ""
    """Why the start has failed, while the child is being stopped for that; else empty."""
    status: str = ""
    """The last ``STATUS=`` of the program."""
    health: HealthState = HealthState()

    @property
    def is_healthy(self) -> bool:
        """Whether the last check has succeeded, or at least not enough have failed since."""
        return self.health.verdict is Verdict.HEALTHY


def probe_record(config: ProcessConfig, spawned_at: float) -> ProbeRecord | None:
    """Return the record of a new child; None if neither readiness nor health is looked at."""
    readiness = config.readiness
    if readiness.condition is None:
        return None if config.health.check is None else ProbeRecord(is_ready=True)
    expires = spawned_at + readiness.timeout if readiness.timeout else math.inf
    return ProbeRecord(expires=expires)


def start_deadline(config: ProcessConfig, record: ProbeRecord, spawned_at: float) -> float:
    """Return when a starting child is RUNNING or has failed to start; infinite means unknown.

    Once it is ready, it is RUNNING when it has lived for ``startsecs``.
    """
    if record.is_ready:
        return math.inf if config.announces else spawned_at + config.startsecs
    return record.expires


def extended(deadline: float, extension: float, now: float) -> float:
    """Return a deadline that a message of the program moves: later, but never nearer."""
    return max(deadline, now + extension)


def unready_words(config: ProcessConfig, record: ProbeRecord) -> str:
    """Say what a starting child still needs to be RUNNING; empty if only time."""
    if record.failure:
        return f"{record.failure}, is being stopped"
    if record.is_ready:
        return ""
    told = f" ({record.status})" if record.status else ""
    return f"not ready yet: {waiting_words(config, record)}{told}"


def unhealthy_words(health: Health, record: ProbeRecord) -> str:
    """Say why a RUNNING process does not count as healthy; empty if it does."""
    match record.health.verdict:
        case Verdict.HEALTHY:
            return ""
        case Verdict.UNHEALTHY:
            return f"unhealthy: {ill_words(health, record.health)}"
    answer = f": {record.health.answer}" if record.health.answer else ""
    return f"health is not known yet: {health.check}{answer}"


def late_words(config: ProcessConfig, record: ProbeRecord, spawned_at: float) -> str:
    """Say that a child was not ready in time: ``not ready within 60 seconds (tcp:1: ...)``."""
    seconds = round(record.expires - spawned_at, 3)
    unit = "second" if seconds == 1 else "seconds"
    return f"not ready within {seconds:g} {unit} ({waiting_words(config, record)})"


def waiting_words(config: ProcessConfig, record: ProbeRecord) -> str:
    """Name the condition that is waited for, with the last answer."""
    condition = str(config.readiness.condition)
    return f"{condition}: {record.answer}" if record.answer else condition


def ill_words(health: Health, state: HealthState) -> str:
    """Say why a process is unhealthy: ``tcp:1: connection refused, 3 times in a row``.

    A check that has never succeeded may be wrong itself, which is said too.
    """
    words = f"{health.check}: {state.answer}"
    if state.failures > 1:
        words += f", {state.failures} times in a row"
    return words if state.has_succeeded else f"{words}; has never succeeded: is the check right?"


def unheard_words(interval: float) -> str:
    """Say that a program has sent no ``WATCHDOG=1`` in time."""
    return f"no WATCHDOG=1 within {interval:g} {'second' if interval == 1 else 'seconds'}"


def failures_allowed(health: Health) -> int:
    """Return ``health_failures``, but 1 for ``notify``: no message at all is no accident."""
    return 1 if str(health.check) == "notify" else health.failures
