"""What an embedding program asks of a supervisor, with real children (issue: embedding)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.puppet import Theatre
from trio_supervisor import (
    ConfigError,
    GroupConfig,
    InternalError,
    ProcessConfig,
    State,
    open_supervisor,
)
from trio_supervisor.core.errors import AlreadyAdded, AlreadyStarted, BadName, ShuttingDown
from trio_supervisor.runtime.output.subscriptions import OutputStream

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Severity


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_programs_come_and_go(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    async with open_supervisor() as supervisor:
        x = supervisor.add_program("x", theatre.command, startsecs=0, environment={"A": "b"})
        puppet = await theatre.next()
        assert await puppet.do("eval os.environ['A']") == "'b'"
        with pytest.raises(AlreadyAdded):
            supervisor.add_program("x", theatre.command)
        assert (x.stdout.logfile, x.stderr.logfile) == (None, None)  # nothing is left behind
        await supervisor.remove("x")
        assert x.state is State.STOPPED
        assert is_gone(puppet.pid)
        with pytest.raises(BadName):
            supervisor.process("x")
        supervisor.add_program("x", theatre.command, startsecs=0)
        assert (await theatre.next()).pid != puppet.pid
    await theatre.aclose()


async def test_a_start_of_all_joins_starts_that_succeed_meanwhile() -> None:
    async with open_supervisor() as supervisor:
        tasks = supervisor.add_tasks("task", trio.sleep_forever, numprocs=50, startsecs=0)
        results = await supervisor.start(tasks)
        assert [result.error for result in results if result.error is not None] == []
        assert {task.state for task in tasks} == {State.RUNNING}
        with pytest.raises(AlreadyStarted):
            await supervisor.process("task:task_00").start()


async def test_a_command_of_words_needs_no_quoting() -> None:
    async with open_supervisor() as supervisor:
        with pytest.raises(ConfigError, match="because of character: ' '"):
            supervisor.add_program("a b", "/bin/true")
        echo = supervisor.add_program("echo", ["/bin/echo", "a  b'", "$c"], autostart=False)
        with echo.output() as output:
            await echo.start(wait=False)
            assert await anext(output.lines()) == "a  b' $c"


async def test_groups_from_values(tmp_path: Path) -> None:
    """A group added by the program is no change of any file."""
    theatre = Theatre(tmp_path)
    file = tmp_path / "supervisord.conf"
    file.write_text("[supervisord]\n")
    members = tuple(ProcessConfig(name, theatre.command, startsecs=0) for name in "ab")
    async with open_supervisor(file) as supervisor:
        group = supervisor.add(GroupConfig("g", members))
        assert list(group.processes) == ["a", "b"]
        await supervisor.process("g:b").wait_for(State.RUNNING)
        found = await supervisor.reread()
        assert (found.added, found.changed, found.removed) == ((), (), ())
        await supervisor.remove("g")
        assert (await supervisor.reread()).added == ()
    await theatre.aclose()


async def test_restart_output_and_stdin(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    async with open_supervisor() as supervisor:
        x = supervisor.add_program("x", theatre.command, startsecs=0)
        with x.output() as output, x.output("stderr") as errors:
            puppet = await theatre.next()
            await x.wait_for(State.RUNNING)
            x.send_stdin(b"hello")
            assert await puppet.do("read 9") == "b'hello'"
            await puppet.do("write b'one\\r\\ntw'")
            await puppet.do("write b'o\\n\\xc3\\xa9'")
            await puppet.do("error b'!'")
            await x.restart()
            puppet = await theatre.next()
            await puppet.do("write b'\\n'")
            lines = output.lines()
            assert [await anext(lines) for _ in range(3)] == ["one", "two", "é"]
            assert await anext(errors) == b"!"
            await supervisor.remove("x")
            assert [line async for line in lines] == []  # it ends with the process
    await theatre.aclose()


async def test_output_is_bounded() -> None:
    stream = OutputStream(4)
    for chunk in (b"ab", b"cd", b"e", b"fghijkl"):
        stream.feed(chunk)
    stream.end()
    assert [chunk async for chunk in stream] == [b"ijkl"]
    assert stream.dropped == 8
    with pytest.raises(ValueError, match="room for a byte"):
        OutputStream(0)


async def test_wait_for_does_not_miss_a_state_that_passes(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        x = supervisor.add_program("x", theatre.command, startsecs=0)
        await theatre.next()
        await x.wait_for(State.RUNNING)
        nursery.start_soon(x.wait_for, State.STOPPED)
        await trio.testing.wait_all_tasks_blocked()
        await x.restart()
        await theatre.next()
    await theatre.aclose()


@pytest.mark.parametrize("how", ["shutdown", "stop_within"])
async def test_a_deadline_for_the_whole_end(tmp_path: Path, how: str) -> None:
    theatre = Theatre(tmp_path)
    lines: list[str] = []

    def log(severity: Severity, text: str) -> None:
        lines.append(text)

    within = 0.01 if how == "stop_within" else None
    async with open_supervisor(log=log, stop_within=within) as supervisor:
        supervisor.add_program("idle", theatre.command, autostart=False)
        x = supervisor.add_program("x", theatre.command, startsecs=0, stopwaitsecs=3600)
        puppet = await theatre.next()
        await puppet.do(f"ignore {int(signal.SIGTERM)}")
        await x.wait_for(State.RUNNING)
        if how == "shutdown":
            await supervisor.shutdown(within=0.01)
            assert is_gone(puppet.pid)
            with pytest.raises(ShuttingDown):
                supervisor.add_program("y", theatre.command)
    assert is_gone(puppet.pid)
    assert "not all has stopped within 0.01 seconds, killing the rest: x" in lines
    await theatre.aclose()


async def test_a_program_that_reaps_all_children_takes_no_process_out_of_use() -> None:
    """The exit status is lost, and nothing else."""
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0, autorestart=False)
        for _ in range(2):
            await cat.wait_for(State.RUNNING)
            os.kill(cat.pid, signal.SIGKILL)
            os.waitpid(cat.pid, 0)  # noqa: ASYNC222 - before a task of the supervisor can
            await cat.wait_for(State.EXITED)
            assert (cat.pid, cat.exit_status) == (0, -1)
            assert str(cat.history.last_exit) == "exit status unknown"
            await cat.start()


async def test_an_exception_of_the_block_comes_out_as_it_is() -> None:
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with open_supervisor():
            raise error
    assert caught.value is error
    assert caught.value.__context__ is None


async def test_a_failure_of_ours_is_one_exception_and_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theatre = Theatre(tmp_path)
    pids = []

    async def fail(*arguments: object) -> None:
        raise LookupError("a bug")

    async def use() -> None:
        async with open_supervisor() as supervisor:
            supervisor.add_program("x", theatre.command)
            pids.append((await theatre.next()).pid)
            monkeypatch.setattr("trio_supervisor.runtime.groups.operations.shut_down", fail)
            supervisor.request_shutdown()
            await trio.sleep_forever()

    with pytest.raises(InternalError, match=r"^the supervisor has failed: LookupError: a bug$"):
        await use()
    assert is_gone(pids[0])
    await theatre.aclose()
