"""Listeners in the same process: bounded streams of events."""

from __future__ import annotations

import itertools

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import program
from trio_supervisor import Config, Event, ProcessState, Supervisor, Tick
from trio_supervisor.core.config.model import ChannelConfig, GroupConfig
from trio_supervisor.core.events import Serials
from trio_supervisor.runtime.embedding.block import open_supervisor
from trio_supervisor.runtime.events.bus import Bus

TRUE = GroupConfig("x", (program("x", command="/bin/true", startsecs=0),))
LOUD = GroupConfig(
    "loud",
    (
        program(
            "loud", command="/bin/echo hé", stdout=ChannelConfig(logfile=None, events_enabled=True)
        ),
    ),
)


@pytest.mark.behaviour("events.md#streams-of-events")
async def test_a_program_hears_of_what_happens_in_its_supervisor() -> None:
    with trio.fail_after(30):
        async with (
            open_supervisor(Config(groups=(TRUE,))) as supervisor,
            supervisor.events("PROCESS_STATE") as stream,
        ):
            heard: list[Event] = []
            async for event in stream:
                heard.append(event)
                if event.name == "PROCESS_STATE_EXITED":
                    break
        names = [event.name.removeprefix("PROCESS_STATE_") for event in heard]
        assert names[-2:] == ["RUNNING", "EXITED"]
        assert heard[-1].payload().startswith("processname:x groupname:x from_state:RUNNING")
        assert stream.dropped == 0


async def test_a_stream_ends_with_the_supervisor() -> None:
    with trio.fail_after(30):
        async with open_supervisor(Config(groups=(LOUD,))) as supervisor:
            async with supervisor.events("process_log", "SUPERVISOR_STATE_CHANGE") as stream:
                event = await anext(stream)
                while event.name != "PROCESS_LOG_STDOUT":
                    event = await anext(stream)
                assert event.payload().endswith(" channel:stdout\nhé\n")
                supervisor.request_shutdown()
                rest = [event.name async for event in stream]
            assert rest == ["SUPERVISOR_STATE_CHANGE_STOPPING"]
            async with supervisor.events() as late:
                assert [event async for event in late] == []


def supervisor() -> Supervisor:
    return Supervisor(Config(), log=lambda severity, text: None, environment={})


@pytest.mark.behaviour("events.md#streams-of-events")
async def test_a_slow_reader_loses_the_oldest_and_can_see_how_many() -> None:
    sup = supervisor()
    async with sup.events("REMOTE_COMMUNICATION", buffer_size=3) as stream:
        for number in range(10):
            sup.send_remote_communication("t", str(number))
        assert stream.dropped == 7
        heard = [(await anext(stream)).payload() for _ in range(3)]
    assert heard == ["type:t\n7", "type:t\n8", "type:t\n9"]


async def test_types_are_names_or_classes_and_each_event_comes_once() -> None:
    sup = supervisor()
    async with sup.events(Tick, "event", ProcessState) as all_events, sup.events(Tick) as ticks:
        sup.send_remote_communication("t", "d")
        assert (await anext(all_events)).name == "REMOTE_COMMUNICATION"
        for stream in (all_events, ticks):
            with trio.move_on_after(0) as scope:
                await anext(stream)
            assert scope.cancelled_caught


async def test_a_stream_that_was_left_is_subscribed_to_nothing(autojump_clock: MockClock) -> None:
    sup = supervisor()
    async with sup.events() as stream:
        pass
    sup.send_remote_communication("t", "d")
    with pytest.raises(trio.ClosedResourceError):
        await anext(stream)


async def test_errors_of_a_caller() -> None:
    sup = supervisor()
    with pytest.raises(ValueError, match="unknown event type 'TICK_7'"):
        async with sup.events("TICK_7"):
            pass
    with pytest.raises(ValueError, match="room for an event"):
        sup.events(buffer_size=0)


async def test_events_have_the_numbers_of_the_bus_and_the_time_of_their_publication() -> None:
    times = itertools.chain([0.0], [1700000000.25, 1700000001.5])  # it begins at 0
    serials = Serials(7)
    sup = Supervisor(
        Config(),
        log=lambda severity, text: None,
        environment={},
        bus=Bus(lambda severity, text: None, serials),
        wall_clock=lambda: next(times),
    )
    async with sup.events("REMOTE_COMMUNICATION") as stream:
        for data in "ab":
            sup.send_remote_communication("t", data)
        heard = [await stream.receive() for _ in range(2)]
    assert [(p.serial, p.time, p.event.payload()) for p in heard] == [
        (7, 1700000000.25, "type:t\na"),
        (8, 1700000001.5, "type:t\nb"),
    ]


async def test_one_who_does_not_read_holds_up_nobody(autojump_clock: MockClock) -> None:
    sup = supervisor()
    async with trio.open_nursery() as nursery, sup.events(buffer_size=1), sup.events() as other:
        nursery.start_soon(sup.run)
        await wait_all_tasks_blocked()
        sup.request_shutdown()
        names = [event.name async for event in other]
    assert names == ["SUPERVISOR_STATE_CHANGE_RUNNING", "SUPERVISOR_STATE_CHANGE_STOPPING"]
