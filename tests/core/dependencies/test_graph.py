"""The graph of dependencies: names, the order of starting, cycles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes import program
from trio_supervisor.core.config.depends_on import Dependencies, parse_dependencies
from trio_supervisor.core.config.model import GroupConfig, ProcessConfig
from trio_supervisor.core.dependencies.graph import (
    Graph,
    cycles,
    full_name,
    make_graph,
    start_order,
)

#: Longer than Python's stack is deep.
DEEP = 3000


def group(name: str, *processes: ProcessConfig, priority: int = 999) -> GroupConfig:
    return GroupConfig(name, processes, priority)


def single(name: str, needs: str = "", **options: object) -> GroupConfig:
    return group(name, process(name, needs, **options))


def process(name: str, needs: str = "", **options: object) -> ProcessConfig:
    return program(name, dependencies=Dependencies(parse_dependencies(needs)), **options)


def order(*groups: GroupConfig) -> list[str]:
    graph = make_graph(groups)
    assert graph.problems == ()
    return [full_name(key) for key in start_order(graph)]


@pytest.mark.behaviour("policies.md#the-order-of-starting")
def test_each_process_comes_behind_those_that_it_needs_and_else_in_its_place() -> None:
    assert order(single("a", "c"), single("b"), single("c", "d?"), single("d")) == [
        *("b", "d", "c", "a"),
    ]


@pytest.mark.behaviour("policies.md#the-order-of-starting")
def test_without_dependencies_the_order_is_that_of_priorities() -> None:
    groups = group("g", process("p", priority=2), process("q", priority=1)), single("a")
    assert order(*groups) == ["g:q", "g:p", "a"]
    assert make_graph(groups).is_empty


@pytest.mark.behaviour("policies.md#the-forms-of-depends_on")
def test_a_name_means_all_processes_of_a_group_or_one_of_them() -> None:
    graph = make_graph(
        [group("g", process("p"), process("q")), single("a", "g"), single("b", "g:q")]
    )
    assert graph.needed(("a", "a")) == [("g", "p"), ("g", "q")]
    assert graph.needed(("b", "b")) == [("g", "q")]
    assert graph.dependents() == {("g", "p"): [("a", "a")], ("g", "q"): [("a", "a"), ("b", "b")]}


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_a_member_that_names_its_own_group_is_a_cycle() -> None:
    (problem,) = make_graph([group("g", process("p", "g?"), process("q"))]).problems
    assert problem.text == "depends_on makes a cycle: g:p -> g:p"


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
def test_a_long_cycle_is_shown_in_part() -> None:
    groups = [single(f"p{n}", f"p{(n + 1) % DEEP}") for n in range(DEEP)]
    (problem,) = make_graph(groups).problems
    assert problem.text.startswith("depends_on makes a cycle: p0 -> p1 -> ")
    assert problem.text.endswith(f"... {DEEP - 12} more -> p0")


@pytest.mark.behaviour("policies.md#the-order-of-starting")
def test_a_chain_and_a_fan_of_any_size() -> None:
    chain = [single(f"p{n:04}", f"p{n + 1:04}" if n < DEEP - 1 else "") for n in range(DEEP)]
    assert order(*chain) == [f"p{n:04}" for n in reversed(range(DEEP))]
    fan = [*(single(f"p{n}", "z") for n in range(DEEP)), single("z")]
    assert order(*fan)[0] == "z"


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Groups of one to three processes that need any others, mostly without cycles."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=7))
    ranks = draw(st.permutations(range(len(sizes))))
    acyclic = draw(st.booleans())
    groups = []
    for number, size in enumerate(sizes):
        members = []
        for member in range(size):
            others = [n for n in range(len(sizes)) if not acyclic or ranks[n] < ranks[number]]
            needed = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
            names = []
            for other in needed:
                part = draw(st.integers(-1, sizes[other] - 1))
                soft = draw(st.sampled_from(("", "?")))
                names.append((f"g{other}" if part < 0 else f"g{other}:p{part}") + soft)
            members.append(process(f"p{member}", ",".join(names)))
        groups.append(group(f"g{number}", *members))
    return make_graph(groups)


def reaches_itself(graph: Graph, key: tuple[str, str]) -> bool:
    seen: set[tuple[str, str]] = set()
    pending = graph.needed(key)
    while pending:
        other = pending.pop()
        if other == key:
            return True
        if other not in seen:
            seen.add(other)
            pending += graph.needed(other)
    return False


@given(graph=graphs())
@pytest.mark.behaviour("policies.md#the-order-of-starting", "policies.md#mistakes-in-dependencies")
def test_in_any_graph_the_order_is_right_and_each_cycle_is_found(graph: Graph) -> None:
    found = cycles(graph)
    assert bool(found) == any(reaches_itself(graph, key) for key in graph.processes)
    for cycle in found:
        for key, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert following in graph.needed(key)
    ordered = start_order(graph)
    assert sorted(ordered) == sorted(graph.processes)
    if not found:
        place = {key: index for index, key in enumerate(ordered)}
        for key in ordered:
            assert all(place[other] < place[key] for other in graph.needed(key))
    assert [problem.text for problem in graph.problems if "cycle" not in problem.text] == []
