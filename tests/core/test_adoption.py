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
    ("record", "kept", "found", "expected"),
    [
        # as it was written
        (RUNNING, CHILD, CHILD, Adopted(RUNNING, CHILD)),
        (RUNNING, CHILD, None, Adopted(RUNNING, CHILD)),  # it has ended: its pidfd tells how
        (RUNNING, None, CHILD, Adopted(RUNNING, CHILD)),  # no descriptor was left in the keeper
        (EXITED, None, None, Adopted(EXITED)),
        # made, and not written
        (STARTING, None, CHILD, Adopted(STARTING, CHILD, FirstStep.SPAWNED)),
        (
            EXITED,
            None,
            CHILD,
            Adopted(
                replace(EXITED, state=State.STARTING, due=math.inf, intent=Intent.UP),
                CHILD,
                FirstStep.SPAWNED,
            ),
        ),
        (STARTING, None, None, Adopted(STARTING)),  # it is made now
        # its end is written, and the keeper has not closed what it had
        (EXITED, CHILD, None, Adopted(EXITED)),
        # nobody can tell
        (RUNNING, None, None, Adopted(RUNNING, None, FirstStep.LOST)),
        # nothing is known
        (None, None, CHILD, Adopted(NEW, CHILD, FirstStep.FOUND)),
        (None, CHILD, None, Adopted(NEW, CHILD, FirstStep.FOUND)),
        (None, None, None, Adopted(ProcessRecord())),
        # stopped by a shutdown that was cut short: started as at any start
        (SHUT_DOWN, None, None, Adopted(replace(SHUT_DOWN, started=0.0))),
    ],
)
def test_how_a_process_is_gone_on_with(
    record: ProcessRecord | None, kept: Member | None, found: Member | None, expected: Adopted
) -> None:
    assert adopted(record, kept, found, CAUSE) == expected


def test_a_stranger_with_the_recorded_pid_is_not_the_child() -> None:
    """The keeper has a pidfd of the child, and another process has its pid now."""
    decided = adopted(RUNNING, CHILD, None, CAUSE)
    assert decided.child == CHILD != OLDER
    assert adopted(RUNNING, None, OTHER, CAUSE).child == OTHER
    assert adopted(RUNNING, None, OTHER, CAUSE).step is FirstStep.SPAWNED
