"""The table of legal transitions, and the diagram that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_supervisor.core.process.states import (
    MOVES,
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    DaemonState,
    State,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "architecture.md"


def diagram() -> str:
    moves = [
        f"    {old.name} --> {new.name}" for old, news in MOVES.items() for new in sorted(news)
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> STOPPED", *moves])


def test_the_documented_diagram_is_made_from_the_table() -> None:
    _, _, rest = DOCUMENT.read_text().partition("```mermaid\n")
    assert rest.partition("\n```")[0] == diagram()


@pytest.mark.behaviour("process.md#the-eight-states-and-their-codes")
def test_names_and_numbers_are_frozen() -> None:
    assert {state.name: state.value for state in State} == {
        "STOPPED": 0,
        "STARTING": 10,
        "RUNNING": 20,
        "BACKOFF": 30,
        "STOPPING": 40,
        "EXITED": 100,
        "FATAL": 200,
        "UNKNOWN": 1000,
    }
    assert {state.name: state.value for state in DaemonState} == {
        "SHUTDOWN": -1,
        "RESTARTING": 0,
        "RUNNING": 1,
        "FATAL": 2,
    }


@pytest.mark.behaviour("process.md#sets-of-states")
def test_the_three_sets() -> None:
    assert {state.name for state in RUNNING_STATES} == {"STARTING", "RUNNING", "BACKOFF"}
    assert {state.name for state in STOPPED_STATES} == {"STOPPED", "EXITED", "FATAL", "UNKNOWN"}
    assert {state.name for state in SIGNALLABLE_STATES} == {"STARTING", "RUNNING", "STOPPING"}


@pytest.mark.behaviour("process.md#legal-transitions")
def test_nothing_but_a_start_leads_out_of_rest() -> None:
    assert MOVES[State.FATAL] == {State.STARTING}
    for state in (State.EXITED, State.STOPPED):
        assert MOVES[state] == {State.STARTING, State.FATAL}  # FATAL by restart_limit only
    assert set(MOVES) == set(State)
