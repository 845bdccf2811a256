"""What an update has to do, and the order in which things start and stop."""

from __future__ import annotations

import pytest

from tests.kit.fakes import program
from trio_supervisor.core.config.model import GroupConfig
from trio_supervisor.core.plan import (
    PlanStep,
    StepKind,
    make_plan,
    start_order,
    stop_order,
    turn_ends,
)


def group(name: str, *processes: str, priority: int = 999, startsecs: int = 1) -> GroupConfig:
    members = tuple(program(process, startsecs=startsecs) for process in processes or (name,))
    return GroupConfig(name, members, priority=priority)


def test_things_start_by_priority_and_stop_in_reverse() -> None:
    a, b, c = group("a", priority=2), group("b", priority=1), group("c", priority=2)
    assert start_order([a, b, c]) == [b, a, c]
    assert stop_order([b, a, c]) == [c, a, b]


def test_removed_groups_come_before_changed_ones_and_those_before_added_ones() -> None:
    active = {"old": group("old"), "same": group("same"), "g": group("g", "p", "q", "r")}
    changed = GroupConfig(
        "g", (program("p"), program("q", startsecs=9), program("s")), priority=999
    )
    plan = make_plan(active, (group("new"), changed, group("same")))
    assert plan.steps == (
        PlanStep(StepKind.STOP, "old"),
        PlanStep(StepKind.REPLACE, "g"),
        PlanStep(StepKind.START, "new"),
    )


def test_of_candidates_with_equal_names_the_first_counts() -> None:
    plan = make_plan({"a": group("a")}, (group("a"), group("a", startsecs=5)))
    assert plan.steps == ()


@pytest.mark.parametrize(
    ("patience", "within", "ends"),
    [
        ([], 9, []),
        ([10], 9, [9]),
        ([10, 10, 10], 9, [3, 6, 9]),
        ([1, 10], 22, [2, 22]),
        ([2, 4, 6], 6, [1, 3, 6]),
        ([0, 0], 8, [4, 8]),
        ([0, 4], 8, [0, 8]),
        ([3600, 10], 10, [5, 10]),
        ([10, 10], 0, [0, 0]),
    ],
)
def test_turns_of_a_stop_get_shares_of_its_time(
    patience: list[float], within: float, ends: list[float]
) -> None:
    """As much in proportion as they may take, but nobody more than all of it."""
    assert turn_ends(patience, within) == pytest.approx(ends)
