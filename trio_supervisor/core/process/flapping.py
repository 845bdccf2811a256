"""Flapping: a process that is restarted automatically again and again because it goes wrong.

Restarts after expected ends do not count: a worker that recycles itself with exit status 0 is well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.record import ProcessRecord

#: A process is flapping if it was restarted so often within WINDOW seconds.
RESTARTS = 3
WINDOW = 300.0
#: Times that are kept of each process: enough to tell how bad it is.
MOST = 100


def counts(cause: Cause, record: ProcessRecord) -> bool:
    """Whether a start, which is about to begin, is a restart because the process went wrong.

    That is one after an unexpected end, or because of a check or a limit.
    """
    if cause.kind in (CauseKind.PROBE, CauseKind.LIMIT):
        return True
    end = record.last_end
    after_end = cause.kind is CauseKind.POLICY and record.state is State.EXITED
    return after_end and end is not None and not end.expected


def recent(restarts: tuple[float, ...], now: float) -> tuple[float, ...]:
    """Return the times that are within WINDOW; ``now`` is of the same monotonic clock."""
    return tuple(time for time in restarts[-MOST:] if time > now - WINDOW)


def is_flapping(record: ProcessRecord, now: float) -> bool:
    """Whether a process is flapping; ``now`` is the time of the monotonic clock."""
    restarts = record.bad_restarts
    # Most processes have none; this is asked for each of a thousand of them.
    return len(restarts) >= RESTARTS and restarts[-RESTARTS] > now - WINDOW


def described(record: ProcessRecord, now: float) -> str:
    """Tell how often a process that is flapping was restarted; empty if it is not flapping."""
    if not is_flapping(record, now):
        return ""
    times = recent(record.bad_restarts, now)
    often = f"{len(times)} times" if len(times) < MOST else f"at least {MOST} times"
    end = record.last_end
    last = "" if end is None else f", last: {end.exit} {max(0.0, now - times[-1]):.0f} s ago"
    return f"restarting often: {often} in {WINDOW / 60:.0f} minutes{last}"
