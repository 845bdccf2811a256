"""Stop sequences and stop commands under a virtual clock, with children that are not real."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import Recorder, ignore_all_but_kill
from tests.kit.running import running
from trio_supervisor.core.config.stopping import SignalStep, Stopping
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.describe import next_step_of, reason

if TYPE_CHECKING:
    from tests.kit.fakes import FakeChild
    from trio_supervisor.runtime.process.process import Process

SEQUENCE = (SignalStep(signal.SIGQUIT, 5), SignalStep(signal.SIGINT))


def told(signals: dict[float, int], began: float) -> dict[int, int]:
    """Return signals by the whole seconds after which they came."""
    return {round(at - began): number for at, number in signals.items()}


def note_signals(child: FakeChild) -> dict[float, int]:
    """Note when signals reach a child that only SIGKILL ends."""
    signals: dict[float, int] = {}

    def note(child: FakeChild, number: int) -> None:
        signals[trio.current_time()] = number
        ignore_all_but_kill(child, number)

    child.on_signal = note
    return signals


async def stopped(x: Process) -> float:
    """Stop the process and return the seconds that it took."""
    began = trio.current_time()
    await x.stop()
    return trio.current_time() - began


@pytest.mark.behaviour("policies.md#stop_sequence")
async def test_each_signal_of_a_sequence_in_its_time(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(SEQUENCE), stopwaitsecs=2)
    async with running(group, recorder.host):
        await x.start()
        [child] = recorder.launcher.children
        signals = note_signals(child)
        began = trio.current_time()
        await x.stop()
    assert told(signals, began) == {0: signal.SIGQUIT, 5: signal.SIGINT, 7: signal.SIGKILL}
    assert [line for line in recorder.lines if "killing" in line] == [
        f"DEBG killing x (pid {child.pid}) with signal SIGQUIT",
        f"DEBG killing x (pid {child.pid}) with signal SIGINT",
        f"WARN killing 'x' ({child.pid}) with SIGKILL",
    ]


@pytest.mark.behaviour("policies.md#stop_sequence")
async def test_a_second_stop_begins_anew(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(SEQUENCE), stopwaitsecs=2)
    async with running(group, recorder.host):
        for _ in range(2):
            await x.start()
            child = recorder.launcher.children[-1]
            signals = note_signals(child)
            await x.stop()
            assert [*signals.values()] == [signal.SIGQUIT, signal.SIGINT, signal.SIGKILL]


@pytest.mark.behaviour("policies.md#stop_command")
async def test_a_stop_command_that_ends_the_program(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(command="/bin/echo stop"))
    async with running(group, recorder.host):
        await x.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.stop)
            await wait_all_tasks_blocked()
            child, command = recorder.launcher.children
            assert command.spec.command.argv == ("/bin/echo", "stop")
            assert command.spec.environment["MAINPID"] == str(child.pid)
            assert x.state.name == "STOPPING"
            command.die(0)
            child.die(0)
        assert x.state is State.STOPPED
        assert child.signals == []


@pytest.mark.behaviour("policies.md#stop_command")
@pytest.mark.parametrize(("code", "takes"), [(0, 3), (1, 0)])
async def test_signals_follow_when_the_command_has_failed_or_its_time_is_over(
    autojump_clock: MockClock, code: int, takes: int
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(command="/bin/echo stop"), stopwaitsecs=3)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.prepare = lambda command: command.die(code)
        [child] = recorder.launcher.children
        assert round(await stopped(x)) == takes
        assert child.signals == [signal.SIGTERM]
    failures = [line for line in recorder.lines if "stop_command" in line and "WARN" in line]
    assert failures == (["WARN x: stop_command: exit status 1"] if code else [])


@pytest.mark.behaviour("policies.md#stop_command")
async def test_a_stop_command_that_hangs_is_killed(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(command="/bin/echo stop"), stopwaitsecs=3)
    async with running(group, recorder.host):
        await x.start()
        assert round(await stopped(x)) == 3
        child, command = recorder.launcher.children
        assert child.signals == [signal.SIGTERM]
        assert set(command.group_signals) == {signal.SIGKILL}


@pytest.mark.behaviour("policies.md#stop_command")
async def test_a_stop_command_is_killed_when_the_child_has_ended(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(command="/bin/echo stop"), stopwaitsecs=3)
    async with running(group, recorder.host):
        await x.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.stop)
            await wait_all_tasks_blocked()
            child, command = recorder.launcher.children
            child.die(0)
        await wait_all_tasks_blocked()
        assert set(command.group_signals) == {signal.SIGKILL}
        assert child.signals == []


@pytest.mark.behaviour("policies.md#stop_command")
async def test_a_stop_command_that_cannot_be_run_has_failed(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(command="/none/stop"), stopwaitsecs=3)
    async with running(group, recorder.host):
        await x.start()
        assert round(await stopped(x)) == 0
    assert "WARN x: stop_command: can't find command '/none/stop'" in recorder.lines


@pytest.mark.behaviour("policies.md#shown-stops")
async def test_what_a_stop_waits_for_is_told(mock_clock: MockClock) -> None:
    recorder = Recorder()
    stopping = Stopping(SEQUENCE, post_stop="/bin/echo after")
    group, x = recorder.process(stopping=stopping, stopwaitsecs=2, startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        [child] = recorder.launcher.children
        note_signals(child)
        assert (reason(x), next_step_of(x)) == ("", {})
        await x.stop(wait=False)
        assert reason(x) == "is being stopped, INT in 5 s"
        mock_clock.jump(3.5)
        assert next_step_of(x) == {"what": "INT", "seconds": 2}
        mock_clock.jump(1.5)
        await wait_all_tasks_blocked()
        assert reason(x) == "is being stopped, KILL in 2 s"
        mock_clock.jump(2)
        await wait_all_tasks_blocked()
        assert (reason(x), next_step_of(x)) == ("has ended, post_stop or kill_mode is at work", {})
        recorder.launcher.last.die(0)
        await x.wait_for(State.STOPPED)
