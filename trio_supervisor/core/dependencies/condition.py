"""Whether the condition of a dependency holds, and if not, whether it can come to hold by itself.

Pure functions of the record of one process.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.record import Intent
from trio_supervisor.core.process.start import Starts
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import ProcessRecord

#: Requests of these kinds are made by people and their programs.
PERSONAL = frozenset({CauseKind.REQUEST, CauseKind.PLUGIN})


class Prospect(enum.Enum):
    """Prospect of a condition."""

    MET = "met"
    COMING = "coming"
    """It does not hold yet; nobody has to do anything for it."""
    HOPELESS = "hopeless"
    """It will not hold unless somebody does something."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The prospect of a condition, and the reason where it is hopeless."""

    prospect: Prospect
    why: str = ""
    """Completes "waiting for db, which": ``is FATAL``."""


MET = Outlook(Prospect.MET)
COMING = Outlook(Prospect.COMING)
#: Begins the reason of a process that is hopeless because of another one.
WAITS_FOR = "waits for "
#: Of a name that no active group has.
MISSING = Outlook(Prospect.HOPELESS, "does not exist")


def condition_of(written: Condition | None, process: ProcessConfig) -> Condition:
    """The condition that a dependency means for one of its processes."""
    if written is not None:
        return written
    return Condition.DONE if process.oneshot else Condition.RUNNING


def is_checked(process: ProcessConfig) -> bool:
    """Whether the health of a process is checked, so that it can be ``healthy``."""
    return process.health.check is not None


def is_healthy(record: ProcessRecord) -> bool:
    """Whether the last verdict on a RUNNING process is that it is healthy."""
    return record.probes is not None and record.probes.is_healthy


def outlook(
    condition: Condition,
    record: ProcessRecord,
    *,
    restarting: bool = False,
    blocked_by: str = "",
) -> Outlook:
    """Judge a condition by the record of one process.

    ``restarting``: a request that has stopped it will start it again. ``blocked_by``: it waits for
    this itself, in vain.
    """
    if _holds(condition, record):
        return MET
    state = record.state
    if state is State.STARTING and blocked_by:
        return Outlook(Prospect.HOPELESS, f"{WAITS_FOR}{blocked_by}")
    if state in (State.STARTING, State.BACKOFF, State.STOPPING, State.RUNNING):
        return COMING
    if restarting or record.due < math.inf:
        return COMING
    return Outlook(Prospect.HOPELESS, f"is {state.name}")


def _holds(condition: Condition, record: ProcessRecord) -> bool:
    if condition is Condition.DONE:
        return record.state is State.EXITED  # a one-shot program gets there only by success
    # With the intent DOWN its stop is held until its dependents have ended.
    running = record.state is State.RUNNING and record.intent is Intent.UP
    return running and (condition is Condition.RUNNING or is_healthy(record))


def may_start(starts: Starts, record: ProcessRecord, condition: Condition) -> bool:
    """Whether a start may also start a dependency that is down."""
    if starts in (Starts.NONE, Starts.IGNORED) or _holds(condition, record):
        return False
    if record.state not in (State.STOPPED, State.EXITED, State.FATAL) or record.due < math.inf:
        return False
    cause = record.intended_by
    stopped = record.intent is Intent.DOWN and cause is not None and cause.kind in PERSONAL
    return starts is Starts.ALL or not stopped
