"""Durations by a clock that does not jump, and when a waiting start returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.info import process_info

if TYPE_CHECKING:
    from trio.testing import MockClock

HOUR = 3600
DAY = 24 * HOUR


def fail_at_once(child: FakeChild) -> None:
    child.die(1)


@pytest.mark.behaviour("process.md#waiting-for-a-start", "process.md#running-after-startsecs")
@pytest.mark.parametrize(("startsecs", "after"), [(2, 2), (0, 0)])
async def test_a_waiting_start_returns_after_startsecs(
    autojump_clock: MockClock, startsecs: int, after: float
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=startsecs)
    async with running(group, recorder.host):
        await x.start()
        assert trio.current_time() == pytest.approx(after)
        assert x.state is State.RUNNING


@pytest.mark.behaviour("process.md#waiting-for-a-start")
async def test_a_start_that_does_not_wait_returns_with_the_child(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=2)
    async with running(group, recorder.host):
        await x.start(wait=False)
        assert (x.state, x.pid, trio.current_time()) == (State.STARTING, 1000, 0)


@pytest.mark.behaviour("process.md#running-after-startsecs")
async def test_exit_just_after_startsecs(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(1.02)
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
    assert recorder.moves[1:] == [
        "RUNNING from_state:STARTING pid:1000",
        "EXITED from_state:RUNNING expected:1 pid:1000",
    ]


@pytest.mark.behaviour("process.md#clocks")
@pytest.mark.parametrize("step", [-HOUR, DAY])
async def test_no_deadline_goes_by_the_system_time(autojump_clock: MockClock, step: float) -> None:
    """In BACKOFF, STARTING and STOPPING."""
    recorder = Recorder()

    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(startretries=5)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        await trio.sleep(0.5)
        recorder.now += step
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 1, 3, 6, 10, 15])

    recorder = Recorder()
    group, x = recorder.process(startsecs=4, stopwaitsecs=4)
    begin = trio.current_time()
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(2)
        recorder.now += step
        await x.wait_for(State.RUNNING)
        assert trio.current_time() - begin == pytest.approx(4)
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop(wait=False)
        await trio.sleep(2)
        recorder.now += step
        await x.wait_for(State.STOPPED)
        assert trio.current_time() - begin == pytest.approx(8)
    assert not any("future" in line for line in recorder.lines)


@pytest.mark.behaviour("process.md#clocks")
@pytest.mark.parametrize("step", [-HOUR, 3650 * DAY])
async def test_an_uptime_is_measured_by_the_monotonic_clock(
    autojump_clock: MockClock, step: float
) -> None:
    """A machine without a battery sets its clock after boot, when programs run already."""
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        started = recorder.now
        await trio.sleep(64.5)
        recorder.now += step
        info = process_info(x, recorder.now)
        assert info["description"] == "pid 1000, uptime 0:01:05"
        assert (info["start"], info["now"]) == (int(started), int(recorder.now))
        assert x.uptime == pytest.approx(65.5)
        await x.stop()
        assert x.uptime == 0


@pytest.mark.behaviour("process.md#clocks", "process.md#reported-fields")
async def test_times_shown_are_system_time(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        started = recorder.now
        recorder.now += DAY
        await x.stop()
    assert (x.started, x.stopped) == (started, started + DAY)
