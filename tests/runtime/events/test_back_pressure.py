"""Streams of events with ``overflow="block"``: programs wait for the reader, and nothing else."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import program
from trio_supervisor import (
    ChannelConfig,
    GroupConfig,
    NotRunning,
    ProcessLogStdout,
    ProcessState,
    Severity,
    State,
    open_supervisor,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

#: As long as some hundred restarts, in seconds of the virtual clock.
LONG = 300


async def crash() -> None:
    raise OSError("no disk")


def quiet(severity: Severity, line: str) -> None:
    """Take no note of the crashes."""


async def test_a_program_is_not_restarted_until_its_events_are_read(
    autojump_clock: MockClock,
) -> None:
    lines: list[str] = []
    async with open_supervisor(log=lambda severity, text: lines.append(text)) as supervisor:
        x = supervisor.add_task("x", crash, startsecs=0, autostart=False)
        async with supervisor.events(ProcessState, buffer_size=3, overflow="block") as events:
            await x.start()
            await trio.sleep(LONG)
            assert (x.state, x.history.spawns) == (State.EXITED, 1)
            assert lines.count("x is not started again until its events are read") == 1
            await anext(events)
            await x.wait_for(State.RUNNING)  # there is room for one
            await trio.sleep(LONG)
            assert x.history.spawns == 2
            seen = [(await anext(events)).state.name for _ in range(5)]
            assert seen == ["RUNNING", "EXITED", "STARTING", "RUNNING", "EXITED"]
            assert events.dropped == 0
        await trio.sleep(LONG)
        assert x.history.spawns > 2  # a closed stream holds nobody


async def test_requests_and_other_programs_wait_for_no_reader(autojump_clock: MockClock) -> None:
    async with open_supervisor(log=quiet) as supervisor:
        x = supervisor.add_task("x", crash, startsecs=0, autostart=False)
        y = supervisor.add_task("y", trio.sleep_forever, startsecs=0, autostart=False)
        async with supervisor.events(ProcessState, buffer_size=1, overflow="block") as events:
            await x.start()
            await trio.sleep(LONG)
            await y.start()
            await y.restart()
            await y.stop()
            await x.start()  # it waits only if it starts by itself
            await x.wait_for(State.EXITED)
            with pytest.raises(NotRunning):
                await x.stop()
            seen = [(await anext(events)).process for _ in range(3 + 2 + 4 + 2 + 3)]
            assert seen == ["x"] * 3 + ["y"] * 8 + ["x"] * 3
            await trio.sleep(LONG)
            assert x.history.spawns == 2  # it was stopped


async def test_leaving_the_block_waits_for_no_reader(autojump_clock: MockClock) -> None:
    async with AsyncExitStack() as stack:
        async with open_supervisor(log=quiet) as supervisor:
            x = supervisor.add_task("x", crash, startsecs=0, backoff=(1,))
            y = supervisor.add_task("y", trio.sleep_forever, startsecs=0)
            events = supervisor.events(ProcessState, buffer_size=1, overflow="block")
            await stack.enter_async_context(events)
            await y.wait_for(State.RUNNING)
            await trio.sleep(LONG)
        assert (x.state, y.state) == (State.EXITED, State.STOPPED)
        assert [event.process async for event in events].count("y") == 4


async def test_output_that_makes_events_waits_for_the_reader() -> None:
    channel = ChannelConfig(logfile=None, events_enabled=True)
    flood = program("x", command="/bin/sh -c 'while :; do echo one; done'", stdout=channel)
    async with open_supervisor() as supervisor:
        [x] = supervisor.add(GroupConfig("x", (flood,)))
        async with supervisor.events(ProcessLogStdout, buffer_size=2, overflow="block") as events:
            await anext(events)
            with x.output(buffer_bytes=10_000_000) as output:
                while output.backlog.size < 100_000:  # more than is in the pipe, only by reading
                    await anext(events)
            await wait_all_tasks_blocked(0.1)
            with x.output() as output, trio.move_on_after(0.3):
                await anext(output)  # held up
                pytest.fail("the output was read although nobody has read the events")
            echo = await supervisor.run_job(["echo", "two"])  # another one is not
            assert echo.stdout == b"two\n"
            await x.stop()
