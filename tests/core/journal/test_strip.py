"""The last hours of a process as segments."""

from __future__ import annotations

import pytest

from trio_supervisor.core.journal.entry import NO_FACTS, JournalEntry, What
from trio_supervisor.core.journal.strip import Look, segments
from trio_supervisor.core.process.cause import Cause, CauseKind


def entry(time: float, new: str, *, first: float | None = None) -> JournalEntry:
    cause = Cause(CauseKind.REQUEST)
    made = JournalEntry(1, time, time, "", "x", What.STATE, "", new, cause, NO_FACTS)
    if first is not None:
        made.count, made.first = 5, first
    return made


UP, DOWN, CHANGING, FAILING, UNKNOWN = (
    *(Look.UP, Look.DOWN, Look.CHANGING, Look.FAILING, Look.UNKNOWN),
)


@pytest.mark.behaviour("http.md#the-history-page")
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], [(0, 100, UNKNOWN)]),
        ([entry(-5, "RUNNING")], [(0, 100, UP)]),
        (
            [entry(20, "STARTING"), entry(21, "RUNNING")],
            [(0, 20, UNKNOWN), (20, 21, CHANGING), (21, 100, UP)],
        ),
        (
            [entry(-9, "RUNNING"), entry(40, "STOPPED"), entry(50, "EXITED")],
            [(0, 40, UP), (40, 100, DOWN)],
        ),
        (
            [entry(-9, "RUNNING"), entry(60, "BACKOFF", first=30), entry(70, "FATAL")],
            [(0, 30, UP), (30, 100, FAILING)],
        ),
        (  # the clock was set back
            [entry(90, "RUNNING"), entry(80, "STOPPED")],
            [(0, 90, UNKNOWN), (80, 100, DOWN)],
        ),
        ([entry(200, "RUNNING")], [(0, 100, UNKNOWN)]),
    ],
)
def test_segments(entries: list[JournalEntry], expected: list[tuple[float, float, Look]]) -> None:
    found = [(s.begin, s.end, s.look) for s in segments(entries, 0, 100)]
    assert found == expected
