"""The event bus and the ticks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from tests.kit.fakes import Recorder, log_lines
from trio_supervisor.core.events import (
    Event,
    Extended,
    ProcessFlapping,
    ProcessState,
    RemoteCommunication,
    Serials,
    Tick,
    Tick5,
    Tick60,
)
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.supervisor import tick


def test_only_received_events_take_a_serial_number() -> None:
    """One number for all receivers of an event, none for an unheard one."""
    bus = Bus(lambda severity, text: None, Serials(40))
    heard: list[tuple[str, str, int]] = []
    bus.subscribe((Tick,), lambda event, serial: heard.append(("ticks", event.name, serial)))
    cancel = bus.subscribe(
        (Event,), lambda event, serial: heard.append(("all", event.name, serial))
    )
    bus.publish(Tick5(5))
    bus.publish(RemoteCommunication("t", "d"))
    cancel()
    bus.publish(RemoteCommunication("t", "d"))
    bus.publish(Tick60(60))
    assert heard == [
        ("ticks", "TICK_5", 40),
        ("all", "TICK_5", 40),
        ("all", "REMOTE_COMMUNICATION", 41),
        ("ticks", "TICK_60", 42),
    ]


def test_a_broken_subscriber_hurts_nobody() -> None:
    lines: list[str] = []
    bus = Bus(log_lines(lines))
    heard: list[str] = []

    def explode(event: Event, serial: int) -> None:
        raise ZeroDivisionError("injected")

    bus.subscribe((Event,), explode)
    bus.subscribe((Event,), lambda event, serial: heard.append(event.name))
    bus.publish(Tick5(5))
    assert heard == ["TICK_5"]
    assert [line.splitlines()[0] for line in lines] == ["CRIT event TICK_5 lost:"]


@pytest.mark.behaviour("events.md#ticks")
async def test_ticks_name_the_start_of_their_slice(autojump_clock: MockClock) -> None:
    """None at start-up, in order of period, missed ones are not replayed."""
    recorder = Recorder()
    recorder.now = 1795419657.3
    skew = 0.0
    recorder.host.wall_clock = lambda: recorder.now + skew + trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick, recorder.host)
        await trio.sleep(4)
        skew = 17.0  # suspended
        await trio.sleep(1.5)
        nursery.cancel_scope.cancel()
    assert ticks(recorder) == [
        ("TICK_5", "when:1795419660"),
        ("TICK_60", "when:1795419660"),
        ("TICK_5", "when:1795419675"),
    ]


@asynccontextmanager
async def ticking(now: int) -> AsyncIterator[Recorder]:
    """A clock at ``now``; ``recorder.now`` moves with it and can be set."""
    recorder = Recorder()
    recorder.now = now
    begun = trio.current_time()
    recorder.host.wall_clock = lambda: recorder.now + trio.current_time() - begun
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick, recorder.host)
        yield recorder
        nursery.cancel_scope.cancel()


def ticks(recorder: Recorder) -> list[tuple[str, str]]:
    return [(event.name, event.payload()) for event in recorder.events]


async def test_a_common_boundary(autojump_clock: MockClock) -> None:
    """No tick for the slice of the start, then all three in order of period."""
    async with ticking(now=7200) as recorder:
        await trio.sleep(4.5)
        assert recorder.events == []
        await trio.sleep(3600 - 10)
        recorder.events.clear()
        await trio.sleep(10)
    assert ticks(recorder) == [
        ("TICK_5", "when:10795"),
        ("TICK_5", "when:10800"),
        ("TICK_60", "when:10800"),
        ("TICK_3600", "when:10800"),
    ]


@pytest.mark.parametrize(
    ("set_to", "when"), [(990, "when:990"), (1012, "when:1010")], ids=["back", "on"]
)
async def test_a_clock_that_is_set_is_noticed_within_a_second(
    set_to: int, when: str, autojump_clock: MockClock
) -> None:
    async with ticking(now=1000) as recorder:
        await trio.sleep(2.5)
        recorder.now += set_to - 1002.5
        await trio.sleep(1.1)
    assert ticks(recorder) == [("TICK_5", when)]


@pytest.mark.behaviour("events.md#events-that-supervisor-does-not-have")
def test_extended_events_reach_only_those_who_name_them() -> None:
    bus = Bus(lambda severity, text: None)
    got: list[str] = []
    subscriptions: dict[str, tuple[type[Event], ...]] = {
        "all": (Event,),
        "states": (ProcessState,),
        "named": (ProcessFlapping,),
        "extended": (Extended,),
        "both": (Event, ProcessFlapping),
        "ticks": (Event, Tick),
    }
    for name, types in subscriptions.items():

        def accept(event: Event, serial: int, name: str = name) -> None:
            got.append(f"{name} {serial}")

        bus.subscribe(types, accept)
    bus.publish(ProcessFlapping("x", "x", "often"))
    assert got == ["named 0", "extended 0", "both 0"]
