"""What becomes of a process whose daemon was killed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trio_supervisor.core.adoption import Adopted, FirstStep, adopted
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.member import Member
from trio_supervisor.core.process.record import Intent, ProcessRecord
from trio_supervisor.core.process.states import State

CAUSE = Cause(CauseKind.ADOPTION)
CHILD, OTHER, OLDER = Member(10, 100), Member(11, 110), Member(10, 50)
RUNNING = ProcessRecord(State.RUNNING, pid=10, spawns=3)
STARTING = ProcessRecord(State.STARTING, due=math.inf, intent=Intent.UP)
EXITED = ProcessRecord(State.EXITED, due=17.0)
LEAVING = ProcessRecord(State.EXITED, left_behind=(OTHER,))
BEGUN = replace(EXITED, state=State.STARTING, due=math.inf, intent=Intent.UP)
LEFT = replace(LEAVING, state=State.STARTING, intent=Intent.UP)
FORKED = replace(RUNNING, state=State.STARTING, pid=0, intent=Intent.UP)
SHUT_DOWN = ProcessRecord(
    State.STOPPED,
    started=5.0,
    intent=Intent.DOWN,
    intended_by=Cause(CauseKind.SHUTDOWN),
    spawns=2,
)
NEW = ProcessRecord(State.STARTING, intent=Intent.UP, intended_by=CAUSE)


@pytest.mark.behaviour("policies.md#who-is-adopted", "policies.md#survive--adopt")
@pytest.mark.parametrize(
    ("record", "kept", "found", "was_forking", "expected"),
    [
        # as it was written
        (RUNNING, CHILD, [CHILD], False, Adopted(RUNNING, CHILD)),
        (RUNNING, CHILD, [], False, Adopted(RUNNING, CHILD)),  # it has ended: its pidfd tells how
        (RUNNING, None, [CHILD], False, Adopted(RUNNING, CHILD)),  # without its descriptors
        (RUNNING, None, [OTHER, CHILD], True, Adopted(RUNNING, CHILD)),
        (EXITED, None, [], False, Adopted(EXITED)),
        # made, and not written
        (STARTING, None, [CHILD], False, Adopted(STARTING, CHILD, FirstStep.SPAWNED)),
        (RUNNING, None, [OTHER], True, Adopted(FORKED, OTHER, FirstStep.SPAWNED)),
        (EXITED, None, [CHILD], True, Adopted(BEGUN, CHILD, FirstStep.SPAWNED)),
        (LEAVING, None, [OTHER, CHILD], True, Adopted(LEFT, CHILD, FirstStep.SPAWNED)),
        (STARTING, None, [], False, Adopted(STARTING)),  # it is made now
        (EXITED, None, [], True, Adopted(EXITED)),
        # what a child has started, and has the same mark
        (EXITED, None, [OTHER], False, Adopted(EXITED)),
        (RUNNING, CHILD, [OTHER], False, Adopted(RUNNING, CHILD)),
        (RUNNING, None, [OTHER], False, Adopted(RUNNING, None, FirstStep.LOST)),
        (LEAVING, None, [OTHER], True, Adopted(LEAVING)),
        # its end is written, and the keeper has not closed what it had
        (EXITED, CHILD, [], False, Adopted(EXITED)),
        # nobody can tell
        (RUNNING, None, [], False, Adopted(RUNNING, None, FirstStep.LOST)),
        # nothing is known
        (None, None, [CHILD], False, Adopted(NEW, CHILD, FirstStep.FOUND)),
        (None, CHILD, [], False, Adopted(NEW, CHILD, FirstStep.FOUND)),
        (None, None, [], False, Adopted(ProcessRecord())),
        # stopped by a shutdown that was cut short: started as at any start
        (SHUT_DOWN, None, [], False, Adopted(replace(SHUT_DOWN, started=0.0))),
    ],
)
def test_how_a_process_is_gone_on_with(
    record: ProcessRecord | None,
    kept: Member | None,
    found: list[Member],
    was_forking: bool,
    expected: Adopted,
) -> None:
    assert adopted(record, kept, found, CAUSE, was_forking=was_forking) == expected


def test_a_stranger_with_the_recorded_pid_is_not_the_child() -> None:
    """The keeper has a pidfd of the child, and another process has its pid now."""
    assert adopted(RUNNING, CHILD, [OLDER], CAUSE).child == CHILD
