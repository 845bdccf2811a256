"""Which restarts count as flapping, and how that is told."""

from __future__ import annotations

import pytest

from tests.kit.handing import handed_over
from trio_supervisor.core.process import flapping
from trio_supervisor.core.process.cause import BOOT, POLICY, PROBE, Cause, CauseKind
from trio_supervisor.core.process.exit import End, Exit
from trio_supervisor.core.process.flapping import MOST, WINDOW
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import State

CRASH = End(Exit(None, 11), False, 0.0, 1.0)
DONE = End(Exit(0), True, 0.0, 1.0)


@pytest.mark.behaviour("journal.md#a-process-that-is-restarted-often")
@pytest.mark.parametrize(
    ("cause", "state", "end", "counts"),
    [
        (POLICY, State.EXITED, CRASH, True),
        (POLICY, State.EXITED, DONE, False),  # a worker that recycles itself
        (POLICY, State.EXITED, None, False),
        (POLICY, State.BACKOFF, CRASH, False),  # failed starts end in FATAL
        (BOOT, State.EXITED, CRASH, False),
        (Cause(CauseKind.REQUEST, "ann"), State.EXITED, CRASH, False),
        (Cause(CauseKind.DEPENDENCY), State.STOPPED, DONE, False),
        (PROBE, State.STOPPED, DONE, True),
        (Cause(CauseKind.LIMIT), State.STOPPED, DONE, True),
    ],
)
def test_restarts_that_count(cause: Cause, state: State, end: End | None, counts: bool) -> None:
    assert flapping.counts(cause, ProcessRecord(state=state, last_end=end)) is counts


@pytest.mark.behaviour("journal.md#a-process-that-is-restarted-often")
@pytest.mark.parametrize(
    ("restarts", "now", "told"),
    [
        ((), 0.0, ""),
        ((1.0, 2.0), 3.0, ""),
        ((1.0, 2.0, 3.0), 5.0, "restarting often: 3 times in 5 minutes, last: {} 2 s ago"),
        ((1.0, 2.0, 3.0), 1.0 + WINDOW, ""),
        ((-WINDOW, 1.0, 2.0, 3.0), 3.0, "restarting often: 3 times in 5 minutes, last: {} 0 s ago"),
        (
            tuple(map(float, range(MOST))),
            100.0,
            f"restarting often: at least {MOST} times in 5 minutes, last: {{}} 1 s ago",
        ),
    ],
)
def test_what_is_told(restarts: tuple[float, ...], now: float, told: str) -> None:
    record = ProcessRecord(bad_restarts=restarts, last_end=CRASH)
    assert flapping.described(record, now) == told.format("terminated by SIGSEGV")
    assert flapping.is_flapping(record, now) is bool(told)


def test_times_are_bounded() -> None:
    times = tuple(map(float, range(2 * MOST)))
    assert flapping.recent(times, 250.0) == times[MOST:]
    assert flapping.recent(times, 2000.0) == ()


def test_a_dump_keeps_the_times() -> None:
    record = ProcessRecord(bad_restarts=(1.0, 5.0))
    assert handed_over(record, 10.0, 110.0).bad_restarts == (101.0, 105.0)
