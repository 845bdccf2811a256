"""Stops and restarts of one process that several clients ask for at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill, program
from tests.kit.running import running
from trio_supervisor.core.errors import AbnormalTermination, Failed, NotRunning, SpawnFailed
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.spawn.forking import SpawnError

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process


def stubborn(recorder: Recorder) -> Recorder:
    """Its children live until stopwaitsecs are over."""

    def prepare(child: FakeChild) -> None:
        child.on_signal = ignore_all_but_kill

    recorder.launcher.prepare = prepare
    return recorder


@pytest.mark.behaviour("process.md#a-second-stop-joins-the-first")
async def test_stops_of_one_process_end_together_and_signal_once(autojump_clock: MockClock) -> None:
    recorder = stubborn(Recorder())
    group, x = recorder.process(stopwaitsecs=9)
    async with running(group, recorder.host):
        await x.start()
        began = trio.current_time()
        await x.stop(wait=False)
        (result,) = await operations.stop([x])
        assert (result.process, result.error) == (x, None)
        assert (x.state, trio.current_time()) == (State.STOPPED, began + 9)
        assert await operations.stop([x]) == []
        with pytest.raises(NotRunning):
            await x.stop()
    assert len(recorder.launcher.last.signals) == 2  # TERM and KILL
    said = [line for line in recorder.lines if "waiting for x to stop" in line]
    assert len(said) == 5


@pytest.mark.behaviour("process.md#a-second-stop-joins-the-first")
async def test_all_who_wait_for_one_end_are_told_of_once(autojump_clock: MockClock) -> None:
    recorder = stubborn(Recorder())
    group, x = recorder.process(stopwaitsecs=9)
    async with running(group, recorder.host):
        await x.start()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(x.stop)
    said = [line for line in recorder.lines if "waiting for x to stop" in line]
    assert len(said) == 5


@pytest.mark.behaviour("process.md#waiting-for-a-stop")
async def test_the_end_of_this_child_is_awaited_not_that_of_the_next(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(x.ended)
                await wait_all_tasks_blocked()
                x.request_stop()
                await x.wait_for(State.STOPPED)
                x.begin()  # in the same instant, before the other task has looked
        await x.wait_for(State.RUNNING)


@pytest.mark.behaviour("process.md#restart-requests")
async def test_two_restarts_make_one_new_child(autojump_clock: MockClock) -> None:
    recorder = stubborn(Recorder())
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(x.restart)
        assert (x.state, len(recorder.launcher.children)) == (State.RUNNING, 2)
        with trio.fail_after(60):
            await x.stop()
        await trio.sleep(60)  # nothing that was forgotten starts it again
        assert (x.state, len(recorder.launcher.children)) == (State.STOPPED, 2)


@pytest.mark.behaviour("process.md#restart-requests")
async def test_a_restart_joins_a_stop_that_is_under_way(autojump_clock: MockClock) -> None:
    recorder = stubborn(Recorder())
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        x.request_stop()
        await x.restart()
        assert (x.state, len(recorder.launcher.children)) == (State.RUNNING, 2)


@pytest.mark.behaviour("process.md#restart-requests")
async def test_a_stop_calls_off_the_second_half_of_a_restart(autojump_clock: MockClock) -> None:
    """What has been told to be stopped stays so."""
    recorder = stubborn(Recorder())
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        outcomes: list[object] = []

        async def restart() -> None:
            try:
                await x.restart()
            except AbnormalTermination as error:
                outcomes.append(str(error))

        async def restart_all_of_it() -> None:
            outcomes.extend(result.error for result in await operations.restart([x]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(restart)
            nursery.start_soon(restart_all_of_it)
            await wait_all_tasks_blocked()
            nursery.start_soon(x.stop)
        assert (x.state, len(recorder.launcher.children)) == (State.STOPPED, 1)
        assert sorted(map(str, outcomes)) == ["ABNORMAL_TERMINATION: x"] * 2


@pytest.mark.behaviour("process.md#restart-requests")
async def test_a_check_before_the_start_leaves_it_stopped(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()

    def refuse() -> None:
        raise Failed("gone")

    async with running(group, recorder.host):
        await x.start()
        with pytest.raises(Failed):
            await x.restart(check=refuse)
        assert x.state is State.STOPPED
        await x.start()
        with pytest.raises(Failed):
            await operations.restart([x], check=refuse)
        assert x.state is State.STOPPED


@pytest.mark.behaviour("process.md#restart-requests")
async def test_a_restart_tells_of_a_start_that_fails(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        recorder.launcher.failures = [SpawnError("no")]
        with pytest.raises(SpawnFailed):
            await x.restart_once()
        assert states(x) == [State.BACKOFF]
        await x.restart_once()
        assert states(x) == [State.RUNNING]


@pytest.mark.behaviour("process.md#restart-requests")
async def test_restarting_several_stops_the_last_first(autojump_clock: MockClock) -> None:
    recorder = stubborn(Recorder())
    group = recorder.group(program("a"), program("b"))
    a, b = group.processes.values()
    async with running(group, recorder.host):
        for process in (a, b):
            await process.start()
        b.request_stop()
        results = await operations.restart([a, b])
        assert {result.process.name: result.error for result in results} == {"a": None, "b": None}
        assert states(a, b) == [State.RUNNING] * 2
    signalled = [line.split()[2] for line in recorder.lines if line.startswith("DEBG killing ")]
    assert signalled == ["b", "a"]


def states(*processes: Process) -> list[State]:
    return [process.state for process in processes]
