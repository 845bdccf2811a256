"""The last events of a supervisor, and the bus that tells it without spending serial numbers."""

from __future__ import annotations

import trio
import trio.testing

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.events import (
    Event,
    ProcessGroupAdded,
    ProcessLogStdout,
    SupervisorStateChangeRunning,
    Tick5,
)
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.events.history import CAPACITY, EventHistory

NOW = 1_700_000_000.0


def history() -> EventHistory:
    return EventHistory(lambda: NOW)


def test_tells_what_changed_and_nothing_else() -> None:
    told = history()
    told.record(ProcessGroupAdded("a"))
    told.record(Tick5(5))
    told.record(ProcessLogStdout("a", "a", 1, b"x"))
    told.record(SupervisorStateChangeRunning())
    found = [(e.number, e.time, e.event) for e in told.latest()]
    assert found == [
        (1, NOW, ProcessGroupAdded("a")),
        (2, NOW, SupervisorStateChangeRunning()),
    ]


def test_a_reader_who_is_too_late_is_told_so() -> None:
    told = history()
    assert told.after(0) == []
    for number in range(CAPACITY + 1):
        told.record(ProcessGroupAdded(str(number)))
    assert len(told.latest()) == CAPACITY
    assert told.after(0) is None
    complete = told.after(1)
    assert complete is not None
    assert len(complete) == CAPACITY
    assert [e.number for e in told.after(CAPACITY) or []] == [CAPACITY + 1]
    assert told.after(CAPACITY + 1) == []


async def test_waiting_for_news() -> None:
    told = history()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.wait_beyond, 0)
        nursery.start_soon(told.wait_beyond, 1)
        await trio.testing.wait_all_tasks_blocked()
        told.record(ProcessGroupAdded("a"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        told.record(ProcessGroupAdded("b"))
    await told.wait_beyond(1)


def test_observers_take_no_serial_numbers() -> None:
    """Listeners see the same numbers whether or not there is a web page."""
    seen: list[Event] = []
    numbers: list[int] = []

    def report(severity: Severity, text: str) -> None:
        raise AssertionError(text)

    bus = Bus(report)
    bus.observe(seen.append)
    bus.publish(ProcessGroupAdded("a"))
    bus.subscribe((ProcessGroupAdded,), lambda event, serial: numbers.append(serial))
    bus.publish(ProcessGroupAdded("b"))
    assert seen == [ProcessGroupAdded("a"), ProcessGroupAdded("b")]
    assert numbers == [0]
