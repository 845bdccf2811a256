"""``refresh``: a signal or a command, with children that are not real."""

from __future__ import annotations

import signal

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill, program
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.stopping import Stopping
from trio_supervisor.core.errors import Failed, NotRunning
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.process.process import Process

COMMAND = Stopping(refresh_command="/bin/echo again", hook_timeout=5)


def listens(child: FakeChild) -> None:
    """Let it handle all signals."""
    child.on_signal = ignore_all_but_kill


def commands(recorder: Recorder) -> list[FakeChild]:
    return [c for c in recorder.launcher.children if c.spec.command.argv[0] == "/bin/echo"]


async def failure_of(process: Process) -> str:
    try:
        await process.refresh()
    except Failed as error:
        return error.detail
    return ""


@pytest.mark.behaviour("policies.md#refresh")
@pytest.mark.parametrize(
    ("options", "number"),
    [(Stopping(), signal.SIGHUP), (Stopping(refresh_signal=signal.SIGUSR2), signal.SIGUSR2)],
)
async def test_it_is_a_signal(options: Stopping, number: int, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=options, autorestart=Autorestart.NEVER)
    recorder.launcher.prepare = listens
    async with running(group, recorder.host):
        with pytest.raises(NotRunning):
            await x.refresh()
        await x.start()
        await x.refresh()
        assert recorder.launcher.last.signals == [number]
        recorder.launcher.last.die(None, number)  # it may have failed to take up the change
        await x.wait_for(State.EXITED)
    *_, asked, ended = recorder.host.journal.memory.of("x")
    assert (asked.new, asked.cause.who) == ("refresh", "python")
    assert (ended.new, ended.cause.entry) == ("EXITED", asked.number)


@pytest.mark.behaviour("policies.md#refresh")
async def test_a_signal_without_a_handler_is_not_sent(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        assert await failure_of(x) == (
            "x has no handler for SIGHUP, which would end it; set refresh_signal or refresh_command"
        )
        assert (x.state, recorder.launcher.last.signals) == (State.RUNNING, [])


@pytest.mark.behaviour("policies.md#refresh")
async def test_it_is_a_command(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=COMMAND, startsecs=0)
    failures: list[str] = []

    async def refresh() -> None:
        failures.append(await failure_of(x))

    async with running(group, recorder.host), trio.open_nursery() as nursery:
        await x.start()
        nursery.start_soon(refresh)
        await wait_all_tasks_blocked()
        nursery.start_soon(refresh)  # waits for its turn
        await wait_all_tasks_blocked()
        [first] = commands(recorder)
        assert first.spec.environment["MAINPID"] == str(x.pid)
        first.die(0)
        await wait_all_tasks_blocked()
        second = commands(recorder)[-1]
        assert (failures, second is first) == ([""], False)
        second.write(b"bad configuration\n")
        second.die(2)
        await wait_all_tasks_blocked()
        assert failures == ["", "x: refresh_command: exit status 2: bad configuration"]
        assert x.state is State.RUNNING
        nursery.start_soon(refresh)
        await wait_all_tasks_blocked()
        mock_clock.jump(5)
        await wait_all_tasks_blocked()
        assert failures[-1] == "x: refresh_command: not over within 5 seconds"
    assert recorder.lines.count("WARN x: refresh_command: not over within 5 seconds") == 1


@pytest.mark.behaviour("policies.md#refresh")
async def test_a_stop_kills_the_command_at_once(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=COMMAND, startsecs=0)
    failures: list[str] = []

    async def refresh() -> None:
        failures.append(await failure_of(x))

    async with running(group, recorder.host), trio.open_nursery() as nursery:
        await x.start()
        recorder.launcher.last.on_signal = lambda child, number: None  # takes its time to stop
        nursery.start_soon(refresh)
        nursery.start_soon(refresh)
        await wait_all_tasks_blocked()
        await x.stop(wait=False)
        await wait_all_tasks_blocked()
        assert [set(c.group_signals) for c in commands(recorder)] == [{signal.SIGKILL}]
        assert failures == ["x: refresh_command: the program has stopped meanwhile"] * 2
        recorder.launcher.children[0].die(0)


@pytest.mark.behaviour("policies.md#refresh")
async def test_the_end_of_the_program_kills_the_command(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=COMMAND, startsecs=0, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host), trio.open_nursery() as nursery:
        await x.start()
        nursery.start_soon(failure_of, x)
        await wait_all_tasks_blocked()
        recorder.launcher.children[0].die(0)
        await x.wait_for(State.EXITED)
        await wait_all_tasks_blocked()
        assert [set(c.group_signals) for c in commands(recorder)] == [{signal.SIGKILL}]


@pytest.mark.behaviour("policies.md#refresh")
async def test_a_caller_that_gives_up_leaves_the_command_running(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=COMMAND, startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(failure_of, x)
                await wait_all_tasks_blocked()
                mock_clock.jump(1)
        [command] = commands(recorder)
        assert (command.alive, command.group_signals) == (True, [])
        command.die(0)


@pytest.mark.behaviour("policies.md#refresh")
async def test_several_are_refreshed_at_the_same_time(mock_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = listens
    group = recorder.group(
        program("x", stopping=COMMAND, startsecs=0),
        program("y", startsecs=0),
        program("off", startsecs=0),
    )
    x, y, off = group.processes.values()
    results: list[tuple[Process, str]] = []

    async def refresh() -> None:
        found = await operations.refresh(operations.running([x, off, y, x]))
        results.extend(
            (result.process, result.error.detail if result.error else "") for result in found
        )

    async with running(group, recorder.host), trio.open_nursery() as nursery:
        await x.start()
        await y.start()
        nursery.start_soon(refresh)
        await wait_all_tasks_blocked()
        commands(recorder)[0].die(1)
    assert results == [(y, ""), (x, "x: refresh_command: exit status 1")]


@pytest.mark.behaviour("policies.md#refresh")
async def test_a_task_cannot_be_refreshed(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(task=trio.sleep_forever, startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        assert "has no handler for SIGHUP" in await failure_of(x)
        assert x.state is State.RUNNING
