"""docs/events.md shows every event exactly as it is sent."""

from __future__ import annotations

import pytest

from tests.kit.docs import blocks
from trio_supervisor.core import events
from trio_supervisor.core.events import PUBLISHED_TYPES, Event
from trio_supervisor.core.listener import envelope
from trio_supervisor.core.process.states import State

CAT = ("cat", "cat")
PID = 2766
HOUR = 1700002800
#: In the order of the page, which numbers them.
SHOWN: list[Event] = [
    events.ProcessStateStarting(*CAT, State.STOPPED, 0),
    events.ProcessStateRunning(*CAT, State.STARTING, PID),
    events.ProcessStateBackoff(*CAT, State.STARTING, 1),
    events.ProcessStateStopping(*CAT, State.RUNNING, PID),
    events.ProcessStateExited(*CAT, State.RUNNING, False, PID),
    events.ProcessStateStopped(*CAT, State.STOPPING, PID),
    events.ProcessStateFatal(*CAT, State.BACKOFF),
    events.ProcessStateUnknown(*CAT, State.STOPPING),
    events.ProcessLogStdout(*CAT, PID, "hé€\n".encode()),
    events.ProcessLogStderr(*CAT, PID, b"failed\n"),
    events.ProcessCommunicationStdout(*CAT, PID, b"percent"),
    events.ProcessCommunicationStderr(*CAT, PID, b"percent"),
    events.RemoteCommunication("deploy", "v42"),
    events.SupervisorStateChangeRunning(),
    events.SupervisorStateChangeStopping(),
    *(tick(HOUR) for tick in events.TICKS),
    events.ProcessGroupAdded("cat"),
    events.ProcessGroupRemoved("cat"),
    events.ProcessFlapping(
        *CAT, "restarting often: 3 times in 5 minutes, last: terminated by SIGSEGV 0 s ago"
    ),
    events.ProcessHealthy(*CAT, PID, "unknown", "tcp:8080"),
    events.ProcessUnhealthy(*CAT, PID, "healthy", "tcp:8080: connection refused, 3 times in a row"),
]
EXAMPLES = dict(enumerate(blocks("events.md", "event")))


def test_no_event_is_missing() -> None:
    assert {event.name for event in SHOWN} == {*PUBLISHED_TYPES}
    assert len(EXAMPLES) == len(SHOWN)


@pytest.mark.parametrize(
    ("serial", "event"), list(enumerate(SHOWN)), ids=[event.name for event in SHOWN]
)
def test_the_example_of(serial: int, event: Event) -> None:
    sent = envelope(
        server="supervisor",
        serial=serial,
        pool="all",
        poolserial=serial,
        event=event.name,
        payload=event.payload(),
    )
    shown = sent.decode()
    assert EXAMPLES[serial] == (shown if shown.endswith("\n") else f"{shown}\n")
