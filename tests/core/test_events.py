"""Event names and payloads."""

from __future__ import annotations

import itertools
import sys

import pytest

from trio_supervisor.core import events
from trio_supervisor.core.events import EVENT_TYPES, Event, Serials, state_event
from trio_supervisor.core.process.cause import EXIT
from trio_supervisor.core.process.record import Evidence, Transition
from trio_supervisor.core.process.states import State

ABSTRACT = {
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_LOG",
    "PROCESS_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE",
    "TICK",
    "PROCESS_GROUP",
    "EXTENDED",
}
#: Types below EXTENDED, whose names do not begin with it.
EXTENDED = {"PROCESS_FLAPPING", "PROCESS_HEALTHY", "PROCESS_UNHEALTHY"}


def test_the_names_of_the_contract() -> None:
    assert set(EVENT_TYPES) == ABSTRACT | EXTENDED | {
        "PROCESS_STATE_STARTING",
        "PROCESS_STATE_RUNNING",
        "PROCESS_STATE_BACKOFF",
        "PROCESS_STATE_STOPPING",
        "PROCESS_STATE_EXITED",
        "PROCESS_STATE_STOPPED",
        "PROCESS_STATE_FATAL",
        "PROCESS_STATE_UNKNOWN",
        "PROCESS_LOG_STDOUT",
        "PROCESS_LOG_STDERR",
        "PROCESS_COMMUNICATION_STDOUT",
        "PROCESS_COMMUNICATION_STDERR",
        "REMOTE_COMMUNICATION",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
        "SUPERVISOR_STATE_CHANGE_STOPPING",
        "TICK_5",
        "TICK_60",
        "TICK_3600",
        "PROCESS_GROUP_ADDED",
        "PROCESS_GROUP_REMOVED",
        "PROCESS_FLAPPING",
    }


def test_the_name_hierarchy_is_the_class_hierarchy() -> None:
    for name, cls in EVENT_TYPES.items():
        parents = {n for n, c in EVENT_TYPES.items() if issubclass(cls, c)} - {name}
        expected = {"EVENT"} if name != "EVENT" else set()
        expected |= {parent for parent in ABSTRACT if name.startswith(f"{parent}_")}
        if name in EXTENDED:
            expected.add("EXTENDED")
        assert parents == expected, name


@pytest.mark.parametrize(
    ("old", "new", "payload"),
    [
        (State.STOPPED, State.STARTING, "from_state:STOPPED tries:2"),
        (State.STARTING, State.RUNNING, "from_state:STARTING pid:7"),
        (State.STARTING, State.BACKOFF, "from_state:STARTING tries:2"),
        (State.RUNNING, State.STOPPING, "from_state:RUNNING pid:7"),
        (State.STOPPING, State.STOPPED, "from_state:STOPPING pid:7"),
        (State.RUNNING, State.EXITED, "from_state:RUNNING expected:1 pid:7"),
        (State.BACKOFF, State.FATAL, "from_state:BACKOFF"),
        (State.STOPPING, State.UNKNOWN, "from_state:STOPPING"),
    ],
)
def test_payloads_of_state_events(old: State, new: State, payload: str) -> None:
    evidence = Evidence(pid=7, failures=2, expected=True)
    event = state_event("p", "g", Transition(old, new, 0.0, EXIT, evidence))
    assert event.name == f"PROCESS_STATE_{new.name}"
    assert event.payload() == f"processname:p groupname:g {payload}"


@pytest.mark.behaviour("events.md#payloads")
@pytest.mark.parametrize(
    ("event", "name", "payload"),
    [
        (
            events.ProcessLogStdout("p", "g", 7, b"a\nb\n"),
            "PROCESS_LOG_STDOUT",
            "processname:p groupname:g pid:7 channel:stdout\na\nb\n",
        ),
        (
            events.ProcessLogStderr("p", "g", 7, b"bad\xff\n"),
            "PROCESS_LOG_STDERR",
            "processname:p groupname:g pid:7 channel:stderr\nUndecodable: b'bad\\xff\\n'",
        ),
        (
            events.ProcessCommunicationStdout("p", "g", 7, b""),
            "PROCESS_COMMUNICATION_STDOUT",
            "processname:p groupname:g pid:7\n",
        ),
        (events.RemoteCommunication("t", "d"), "REMOTE_COMMUNICATION", "type:t\nd"),
        (events.Tick60(120), "TICK_60", "when:120"),
        (events.ProcessGroupAdded("cat"), "PROCESS_GROUP_ADDED", "groupname:cat\n"),
        (events.SupervisorStateChangeRunning(), "SUPERVISOR_STATE_CHANGE_RUNNING", ""),
    ],
)
def test_payloads_of_other_events(event: Event, name: str, payload: str) -> None:
    """A group's ends in a newline."""
    assert (event.name, event.payload()) == (name, payload)


def test_numbers_begin_again_behind_the_largest_native_integer() -> None:
    assert list(itertools.islice(Serials(), 3)) == [0, 1, 2]
    assert list(itertools.islice(Serials(sys.maxsize - 1), 4)) == [
        sys.maxsize - 1,
        sys.maxsize,
        0,
        1,
    ]


@pytest.mark.behaviour("events.md#events-about-health")
def test_the_payload_of_an_event_about_health() -> None:
    event = events.ProcessUnhealthy("a b:c", "g", 5, "healthy", "x" * 2000)
    first, _, text = event.payload().partition("\n")
    assert first == "processname:a_b_c groupname:g from_verdict:healthy pid:5"
    assert text == "x" * 1024
