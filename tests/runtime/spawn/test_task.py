"""Async functions that live by the state machine of programs; a virtual clock."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_supervisor import Config, GroupKind, RequestError, State, open_supervisor
from trio_supervisor.core.config.model import RpcInterface
from trio_supervisor.core.errors import Failed
from trio_supervisor.runtime.rpc.calls import Rpc

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Severity


async def forever() -> None:
    await trio.sleep_forever()


@pytest.mark.behaviour("process.md#running-after-startsecs")
async def test_running_after_startsecs(autojump_clock: MockClock) -> None:
    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", forever, startsecs=30)
        before = trio.current_time()
        await task.wait_for(State.RUNNING)
        assert trio.current_time() - before == pytest.approx(30)
        assert (task.kind, task.pid) == (GroupKind.TASK, 0)
    assert task.state is State.STOPPED
    assert task.exit_status == -1  # as a program that its stop signal has ended


async def test_running_when_it_says_so(autojump_clock: MockClock) -> None:
    go = trio.Event()

    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        await go.wait()
        task_status.started()
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", slow, startsecs=1)
        await trio.sleep(100)  # virtual seconds
        assert task.state is State.STARTING
        go.set()
        await task.wait_for(State.RUNNING)


@pytest.mark.behaviour("process.md#retries-and-fatal")
async def test_an_end_before_started_is_a_failed_start(autojump_clock: MockClock) -> None:
    async def never(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(60)

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", never, startsecs=0, startretries=1)
        await task.wait_for(State.BACKOFF)
        await task.wait_for(State.FATAL)


@pytest.mark.behaviour("process.md#retries-and-fatal")
async def test_pauses_of_ones_own(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    async def hopeless() -> None:
        starts.append(trio.current_time())

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", hopeless, startretries=4, backoff=(0.5, 20))
        await task.wait_for(State.FATAL)
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert pauses == pytest.approx([0.5, 20, 20, 20])


@pytest.mark.behaviour(
    "process.md#spawn-failures-between-fork-and-exec",
    "process.md#autorestart",
    "process.md#crash-loops-are-paced",
)
async def test_exceptions_go_to_the_stderr_log_and_lead_to_a_restart(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception is exit status 1, which is unexpected."""
    runs = 0

    async def unlucky() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await trio.sleep(0.5)  # so that the restart waits a moment
            raise LookupError("no luck")
        await trio.sleep_forever()

    log = tmp_path / "err.log"
    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", unlucky, startsecs=0, stderr_logfile=log)
        with task.output("stderr") as errors:
            await task.wait_for(State.EXITED)
            assert (task.exit_status, task.spawn_error) == (1, "Bad exit code 1")
            await task.wait_for(State.RUNNING)
            await wait_all_tasks_blocked()  # the function may begin a moment later
            assert runs == 2
            seen = await anext(errors)
    text = log.read_text()
    assert text == seen.decode()
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("LookupError: no luck\n")
    assert "task 't' has failed: LookupError: no luck" in caplog.messages
    assert "task.py" in text.splitlines()[1]
    assert "in unlucky" in text.splitlines()[1]


@pytest.mark.behaviour("process.md#autorestart")
async def test_an_ordinary_end_is_expected(autojump_clock: MockClock) -> None:
    async def short() -> None:
        await trio.sleep(5)

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", short)
        await task.wait_for(State.EXITED)
        await trio.sleep(60)
        assert (task.state, task.exit_status) == (State.EXITED, 0)


@pytest.mark.behaviour("process.md#sigkill-after-stopwaitsecs")
async def test_the_log_tells_of_one_that_does_not_end(autojump_clock: MockClock) -> None:
    lines: list[str] = []

    def log(severity: Severity, text: str) -> None:
        lines.append(text)

    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(25)

    async with open_supervisor(log=log) as supervisor:
        task = supervisor.add_task("t", stubborn, startsecs=0, stopwaitsecs=10)
        await task.wait_for(State.RUNNING)
        await task.stop()
        assert task.state is State.STOPPED
    said = [line for line in lines if line.startswith("task 't' was cancelled and does not end")]
    assert len(said) == 2
    assert not any("SIGKILL" in line for line in lines)


@pytest.mark.behaviour("process.md#signal-requests")
async def test_signals_to_a_task(autojump_clock: MockClock) -> None:
    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", forever, startsecs=0, autorestart=False)
        await task.wait_for(State.RUNNING)
        with pytest.raises(Failed, match="a task takes only signals that end it"):
            task.signal(10)
        assert task.state is State.RUNNING
        with pytest.raises(RequestError, match="NO_FILE"):
            task.send_stdin(b"x")
        task.signal(15)
        await task.wait_for(State.EXITED)
        assert task.exit_status == -1


async def test_remote_clients_see_it(autojump_clock: MockClock) -> None:
    """The 14 keys of getProcessInfo stay as they are."""
    config = Config(rpcinterfaces=(RpcInterface("supervisor", "x:y"),))
    async with open_supervisor(config) as supervisor, supervisor.events("PROCESS_STATE") as events:
        task = supervisor.add_task("t", forever, startsecs=0)
        await task.wait_for(State.RUNNING)
        rpc = Rpc(supervisor)
        info = await rpc.call("supervisor.getProcessInfo", ["t"])
        assert isinstance(info, dict)
        assert (info["statename"], info["pid"]) == ("RUNNING", 0)
        assert str(info["description"]).startswith("task, uptime 0:00:0")
        assert len(info) == 14
        configured = await rpc.call("supervisor.getAllConfigInfo", [])
        assert isinstance(configured, list)
        assert isinstance(configured[0], dict)
        assert str(configured[0]["command"]).endswith("test_task.forever")
        await rpc.call("supervisor.stopProcess", ["t"])
        await rpc.call("supervisor.startProcess", ["t"])
        names = [type(await anext(events)).__name__ for _ in range(4)]
        assert names == [f"ProcessState{n}" for n in ("Starting", "Running", "Stopping", "Stopped")]


async def test_an_exception_that_ends_programs_is_not_kept(autojump_clock: MockClock) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:  # noqa: PT012  # the block is the statement
        async with open_supervisor() as supervisor:
            other = supervisor.add_task("other", forever, startsecs=0)
            supervisor.add_task("t", leave)
            await trio.sleep_forever()
    assert caught.value.code == 3
    assert other.state is State.STOPPED  # all was stopped in order before


@pytest.mark.behaviour("process.md#shutdown-order")
async def test_tasks_of_one_supervisor_stop_in_reverse_order(autojump_clock: MockClock) -> None:
    ended: list[str] = []

    async def run(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(name)

    async with open_supervisor() as supervisor:
        for name in "abc":
            supervisor.add_task(name, partial(run, name))
        await wait_all_tasks_blocked()
    assert ended == ["c", "b", "a"]


async def test_removing_a_task_cancels_it(autojump_clock: MockClock) -> None:
    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", forever, startsecs=0)
        await task.wait_for(State.RUNNING)
        await supervisor.remove("t")
        assert supervisor.processes() == []
        supervisor.add_task("t", forever)


async def test_an_exception_and_started_twice(autojump_clock: MockClock) -> None:
    """What says twice that it has started is started once; the outcome of start is its word."""
    calls = 0

    async def eager(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LookupError("not yet")
        task_status.started()
        task_status.started()
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", eager, autostart=False)
        with pytest.raises(RequestError, match="SPAWN_ERROR: t"):
            await task.start_once()
        await task.wait_for(State.RUNNING)
        assert calls == 2
