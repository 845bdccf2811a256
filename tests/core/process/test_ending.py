"""When a process has ended for good, and what it means for the supervisor."""

from __future__ import annotations

import math

import pytest

from trio_supervisor.core.process.cause import EXIT, POLICY, Cause, CauseKind
from trio_supervisor.core.process.ending import code_if_all_ended, exit_code
from trio_supervisor.core.process.exit import End, Exit
from trio_supervisor.core.process.record import Evidence, Intent, ProcessRecord, Transition
from trio_supervisor.core.process.states import State

PERSON = Cause(CauseKind.REQUEST, "ann")


def record(
    state: State = State.EXITED,
    ended: Exit | None = None,
    *,
    expected: bool = True,
    due: float = math.inf,
    intent: Intent = Intent.UP,
    by: Cause = PERSON,
    at: float = 1000.0,
    spawn_code: int = 1,
    pid: int = 0,
) -> ProcessRecord:
    """The record of a process that came into a state at a time."""
    return ProcessRecord(
        state,
        pid,
        spawn_code=spawn_code,
        last_end=None if ended is None else End(ended, expected, at, 5.0),
        intent=intent,
        intended_by=by,
        due=due,
        transition=Transition(State.STARTING, state, at, EXIT, Evidence()),
    )


UP, DOWN = Intent.UP, Intent.DOWN


@pytest.mark.behaviour("policies.md#ended-for-good")
@pytest.mark.parametrize(
    ("ended", "for_good"),
    [
        (record(State.EXITED), True),
        (record(State.EXITED, due=5), False),
        (record(State.FATAL), True),
        (record(State.FATAL, due=300), False),
        (record(State.BACKOFF, due=3), False),
        (record(State.RUNNING), False),
        (record(State.UNKNOWN), False),
        (record(State.STOPPED, intent=DOWN), False),
        (record(State.EXITED, intent=DOWN), False),
        (record(State.FATAL, intent=DOWN), False),
        (record(State.STOPPED, intent=DOWN, by=POLICY), True),
        (record(State.STOPPING, intent=DOWN, by=POLICY), False),
        (record(State.STOPPED, intent=DOWN, by=Cause(CauseKind.CONFIGURATION)), False),
        (record(State.STOPPED, intent=DOWN, by=Cause(CauseKind.SHUTDOWN)), False),
        (ProcessRecord(), False),
    ],
)
def test_what_has_ended_for_good(ended: ProcessRecord, *, for_good: bool) -> None:
    assert ended.ended_unasked is for_good


@pytest.mark.behaviour("policies.md#exit-code-of-the-daemon")
@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (record(State.EXITED, Exit(0)), 0),
        (record(State.EXITED, Exit(2), expected=True), 2),
        (record(State.EXITED, Exit(3), expected=False), 3),
        (record(State.EXITED, Exit(0), expected=False), 1),
        (record(State.EXITED, Exit(None, 9), expected=False), 137),
        (record(State.EXITED, Exit(None), expected=False), 1),
        (record(State.FATAL, Exit(3), expected=False), 3),
        (record(State.FATAL, Exit(None, 11), expected=False), 139),
        (record(State.FATAL, Exit(0), expected=True), 1),
        (record(State.STOPPED, Exit(0), expected=True, intent=DOWN, by=POLICY), 1),
        (record(State.STOPPED, Exit(None, 15), intent=DOWN, by=POLICY), 143),
        (record(State.FATAL, spawn_code=127), 127),
        (record(State.FATAL, spawn_code=126), 126),
        (record(State.FATAL), 1),
        (record(State.FATAL, Exit(4), spawn_code=127), 4),
        (ProcessRecord(), 1),
    ],
)
def test_exit_code(ended: ProcessRecord, code: int) -> None:
    assert exit_code(ended) == code


def test_what_is_up() -> None:
    up = {state for state in State if record(state).is_up}
    assert up == {State.STARTING, State.RUNNING, State.BACKOFF, State.STOPPING}
    assert record(State.EXITED, due=5).is_up
    assert record(State.FATAL, due=300).is_up
    assert record(State.UNKNOWN, pid=17).is_up


GOOD = record(State.EXITED, Exit(0), at=10)
FIRST = record(State.EXITED, Exit(3), expected=False, at=20)
SECOND = record(State.FATAL, Exit(4), expected=False, at=30)
STOPPED = record(State.STOPPED, Exit(None, 15), intent=DOWN, at=5)
FRESH = ProcessRecord()


@pytest.mark.behaviour("policies.md#exit_when")
@pytest.mark.parametrize(
    ("programs", "code"),
    [
        ([GOOD], 0),
        ([GOOD, FRESH, STOPPED], 0),
        ([SECOND, GOOD, FIRST], 3),
        ([SECOND, GOOD], 4),
        ([GOOD, record(State.RUNNING)], None),
        ([GOOD, record(State.STOPPING, intent=DOWN)], None),
        ([GOOD, record(State.EXITED, Exit(1), due=7)], None),
    ],
)
def test_the_end_when_all_have_ended(programs: list[ProcessRecord], code: int | None) -> None:
    assert code_if_all_ended(programs) == code
