"""The order in which a shutdown stops processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.dependencies.stop_order import StopOrder, StoppedGroup

pytestmark = pytest.mark.behaviour("policies.md#the-order-of-stopping")

Dependents = dict[tuple[str, str], list[tuple[str, str]]]


def groups(*names: str, pools: str = "") -> list[StoppedGroup]:
    """Groups in start order; ``g2`` has two processes."""
    return [
        StoppedGroup(
            [(name, f"p{n}") for n in range(2)] if name.endswith("2") else [(name, name)],
            name in pools.split(),
        )
        for name in names
    ]


def edges(*pairs: str) -> Dependents:
    """``db<web``: web depends on db."""
    found: Dependents = {}
    for pair in pairs:
        needed, _, dependent = pair.partition("<")
        found.setdefault((needed, needed), []).append((dependent, dependent))
    return found


def rounds(stopped: list[StoppedGroup], dependents: Dependents) -> list[str]:
    """Who is told at the same time, while all that were told end at once."""
    order = StopOrder(stopped, dependents)
    found = []
    while told := order.ready():
        found.append(" ".join(name if name == group else f"{group}:{name}" for group, name in told))
        for key in told:
            order.ended(key)
    return found


@pytest.mark.parametrize(
    ("stopped", "dependents", "expected"),
    [
        (groups("a", "b", "c2"), {}, ["c2:p1 c2:p0", "b", "a"]),
        (groups("db", "api", "web"), edges("db<api", "api<web"), ["web", "api", "db"]),
        # A priority that says the opposite is no reason to wait.
        (groups("web", "db"), edges("db<web"), ["web", "db"]),
        (groups("db", "x", "y", "z"), edges("db<x", "db<y", "db<z"), ["z y x", "db"]),
        # Groups without an edge keep their turn.
        (groups("log", "db", "web", "top"), edges("db<web"), ["top web", "db", "log"]),
        (groups("db", "mid", "web"), edges("db<web"), ["web", "mid db"]),
        # Listener pools are last, in their order.
        (groups("l", "m", "a", "b", pools="l m"), {}, ["b", "a", "m", "l"]),
        (groups("a", "b", "l", pools="l"), edges("a<b"), ["b", "a", "l"]),
        # Unless they depend on a program.
        (
            groups("log", "db", "l", "web", pools="l"),
            edges("db<web", "db<l"),
            ["web", "l", "db", "log"],
        ),
        (groups("a", "b"), edges("a<b", "b<a"), ["b", "a"]),
        (groups(), {}, []),
    ],
)
def test_rounds(stopped: list[StoppedGroup], dependents: Dependents, expected: list[str]) -> None:
    assert rounds(stopped, dependents) == expected


@given(
    sizes=st.lists(st.integers(1, 3), max_size=8),
    pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30),
    pools=st.sets(st.integers(0, 8)),
    choices=st.lists(st.integers(0, 100), max_size=40),
    cyclic=st.booleans(),
)
def test_whatever_the_edges_everybody_is_told_once_and_after_the_dependents(
    sizes: list[int],
    pairs: list[tuple[int, int]],
    pools: set[int],
    choices: list[int],
    cyclic: bool,
) -> None:
    stopped = [
        StoppedGroup([(f"g{g}", f"p{n}") for n in range(size)], g in pools)
        for g, size in enumerate(sizes)
    ]
    keys = [key for group in stopped for key in group.members]
    dependents: Dependents = {}
    for one, other in pairs:
        if keys and (cyclic or one % len(keys) < other % len(keys)):
            dependents.setdefault(keys[one % len(keys)], []).append(keys[other % len(keys)])
    order = StopOrder(stopped, dependents)
    told: list[tuple[str, str]] = []
    alive = set(keys)
    stopping: list[tuple[str, str]] = []
    while alive:
        ready = order.ready()
        for key in ready:
            if not cyclic:
                assert not alive & set(dependents.get(key, ()))
        told += ready
        stopping += ready
        assert stopping, "nobody is stopping, and nobody may"
        ended = stopping.pop(choices.pop() % len(stopping) if choices else 0)
        alive.discard(ended)
        order.ended(ended)
    assert sorted(told) == sorted(keys)
    assert order.ready() == []
