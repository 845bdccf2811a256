"""The event bus and the ticks."""

from __future__ import annotations

import itertools

import trio
from trio.testing import MockClock

from tests.kit.fakes import Recorder, log_lines
from trio_supervisor.core.events import Event, RemoteCommunication, Tick, Tick5, Tick60
from trio_supervisor.runtime.bus import Bus
from trio_supervisor.runtime.ticks import tick


def test_only_received_events_take_a_serial_number() -> None:
    """interfaces.md 1.3: one number for all receivers of an event, none for an unheard one."""
    bus = Bus(lambda severity, text: None, itertools.count(40))
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


async def test_W148_ticks_name_the_start_of_their_slice(autojump_clock: MockClock) -> None:
    """1.4.5: none at start-up, in order of period, missed ones are not replayed."""
    recorder = Recorder()
    recorder.now = 1795419657.3
    skew = 0.0
    recorder.host.wall_clock = lambda: recorder.now + skew + trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick, recorder.host)
        await trio.sleep(4)
        skew = 10.0  # suspended for two slices
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert [(event.name, event.payload()) for event in recorder.events] == [
        ("TICK_5", "when:1795419660"),
        ("TICK_60", "when:1795419660"),
        ("TICK_5", "when:1795419675"),
    ]
