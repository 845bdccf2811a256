"""What becomes of a process whose daemon was killed: pure decisions of the next daemon.

The last that was written of the process may be older than what is found of its child, by what the
daemon did in its last moment. What is found is the truth.
"""

from __future__ import annotations

import enum
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.record import Intent, ProcessRecord
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.member import Member

#: States in which there is no child.
_CHILDLESS = frozenset({State.STOPPED, State.BACKOFF, State.EXITED, State.FATAL})


class FirstStep(enum.Enum):
    """What the state machine of an adopted process has to record first."""

    NONE = "none"
    SPAWNED = "spawned"
    """The child was made, and that was not written."""
    FOUND = "found"
    """The child lives, and nothing is known of the process: it counts as started."""
    LOST = "lost"
    """There was a child, which has ended in an unknown way."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """How to go on with a process."""

    record: ProcessRecord
    child: Member | None = None
    step: FirstStep = FirstStep.NONE


def adopted(
    record: ProcessRecord | None,
    kept: Member | None,
    found: Sequence[Member],
    cause: Cause,
    *,
    was_forking: bool = False,
) -> Adopted:
    """Return how to go on with a process.

    ``record`` is what was written of it, None: nothing. ``kept`` is the child of which there are a
    pidfd and the pipes, ``found`` those that live and may be the child by their mark, the oldest
    first. ``was_forking`` tells whether a child was about to be forked. ``cause`` is that of what
    is begun here.

    Also what a child has started has its mark, and may outlive it. So none is taken for a child
    that nobody was making, or that was left behind before.
    """
    if record is None:
        child = kept or next(iter(found), None)
        if child is None:
            return Adopted(ProcessRecord())
        begun = ProcessRecord(state=State.STARTING, intent=Intent.UP, intended_by=cause)
        return Adopted(begun, child, FirstStep.FOUND)
    has_child = bool(record.pid) and record.state not in _CHILDLESS
    for child in (kept, *found):
        if has_child and child is not None and child.pid == record.pid:
            return Adopted(record, child)
    if was_forking or (record.state is State.STARTING and not record.pid):
        for child in found:
            if child not in (kept, *record.left_behind):
                begun = replace(record, state=State.STARTING, pid=0, due=math.inf, intent=Intent.UP)
                return Adopted(begun, child, FirstStep.SPAWNED)
    if has_child:
        return Adopted(record, None, FirstStep.LOST)
    if _was_shut_down(record):  # as before its first start, because the shutdown was cut short
        return Adopted(replace(record, state=State.STOPPED, started=0.0, due=math.inf))
    return Adopted(record)


def _was_shut_down(record: ProcessRecord) -> bool:
    by = record.intended_by
    is_down = record.state in _CHILDLESS and record.intent is Intent.DOWN
    return is_down and by is not None and by.kind is CauseKind.SHUTDOWN
