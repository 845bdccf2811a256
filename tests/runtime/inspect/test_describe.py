"""All there is to tell of a process, with real children in every state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import Recorder, ignore_all_but_kill, program, refuse
from tests.kit.running import running
from trio_supervisor import State, Supervisor, open_supervisor
from trio_supervisor.core.config.model import Autorestart, ChannelConfig
from trio_supervisor.core.config.stopping import SignalStep, Stopping
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.xmlrpc import Value
from trio_supervisor.runtime.inspect.describe import details, reason
from trio_supervisor.runtime.inspect.info import extended_options, process_info

if TYPE_CHECKING:
    from pathlib import Path


async def of(supervisor: Supervisor, name: str) -> dict[str, Value]:
    (found,) = await details(supervisor, [supervisor.process(name)])
    return found


@pytest.mark.behaviour("http.md#tsupervisor-methods")
async def test_a_running_process() -> None:
    async with open_supervisor() as supervisor:
        process = supervisor.add_program(
            "x", ["/bin/sh", "-c", "echo hi; echo oh >&2; sleep 60 & read line"], startsecs=0
        )
        with process.output("stderr") as stderr:
            await process.wait_for(State.RUNNING)
            await anext(stderr)
        found = await of(supervisor, "x")
        known = process_info(process, supervisor.wall_clock())
        assert [key for key in known if key not in found] == []
        assert (found["full_name"], found["kind"], found["restarts"]) == ("x", "program", 0)
        assert (found["reason"], found["last_output"]) == ("", "oh\n")
        assert (found["stderr_bytes"], found["processes"]) in ((3, 1), (3, 2))  # sleep may come
        assert isinstance(found["memory"], int)
        assert found["memory"] > 100_000
        assert isinstance(found["cpu_seconds"], float)
        await process.restart()
        assert (await of(supervisor, "x"))["restarts"] == 1


@pytest.mark.behaviour("http.md#tsupervisor-methods")
async def test_why_it_does_not_run() -> None:
    async with open_supervisor() as supervisor:
        seven = supervisor.add_program(
            "seven",
            ["/bin/sh", "-c", "echo broken >&2; exit 7"],
            startsecs=0,
            autorestart=Autorestart.NEVER,
        )
        quick = supervisor.add_program("quick", ["/bin/sh", "-c", "exit 3"], startretries=0)
        missing = supervisor.add_program("missing", "/nonexistent/x", startretries=0)
        idle = supervisor.add_program("idle", "/bin/cat", autostart=False)
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await seven.wait_for(State.EXITED)
        await quick.wait_for(State.FATAL)
        await missing.wait_for(State.FATAL)
        await cat.wait_for(State.RUNNING)
        await cat.stop()
        assert (await of(supervisor, "seven"))["last_output"] == "broken\n"
        reasons = {process.name: reason(process) for process in supervisor.processes()}
        assert idle.state is State.STOPPED
    assert reasons == {
        "seven": "ended by itself: exit status 7 (not expected)",
        "quick": "gave up starting it: Exited too quickly (process log may have details); "
        "exit status 3",
        "missing": "gave up starting it: can't find command '/nonexistent/x'",
        "idle": "not started: autostart is off",
        "cat": "stopped on request: terminated by SIGTERM",
    }


async def test_reasons_that_pass(autojump_clock: trio.testing.MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = lambda child: child.die(9)
    group, x = recorder.process()
    assert reason(x) == "not started yet"
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        said = "Exited too quickly (process log may have details); exit status 9"
        assert reason(x) == f"1 failed start, will be tried again: {said}; next start in 1 s"
        await x.changed()
        assert x.state is State.STARTING
        await x.wait_for(State.BACKOFF)
        assert reason(x) == f"2 failed starts, will be tried again: {said}; next start in 2 s"
        x.request_stop()
        assert reason(x) == "stopped on request: exit status 9"


@pytest.mark.behaviour("policies.md#shown-starts")
async def test_a_start_tells_what_it_waits_for(autojump_clock: trio.testing.MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.gate = trio.Event()
    group, x = recorder.process(startsecs=3)
    async with running(group, recorder.host):
        x.begin()
        assert reason(x) == "is prepared: its environment is looked up"
        await trio.sleep(1)
        assert reason(x) == "its logs are opened and its process is made"
        recorder.launcher.gate.set()
        await x.changed()
        assert reason(x) == "is RUNNING in 3 s unless it ends before"
        await x.wait_for(State.RUNNING)
        assert reason(x) == ""


@pytest.mark.behaviour("policies.md#shown-starts")
async def test_a_log_that_cannot_be_opened_is_named(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The spawn error is that of Supervisor, which does not name it."""
    recorder = Recorder()
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "log"
    group, x = recorder.process(stdout=ChannelConfig(logfile=str(path)))
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        assert x.spawn_error.endswith("ENOTDIR")
        assert f"ENOTDIR ({path}); next start in 1 s" in reason(x)


async def test_an_expected_end_and_an_unknown_state(autojump_clock: trio.testing.MockClock) -> None:
    recorder = Recorder()
    group = recorder.group(program("x", startsecs=0, autorestart=Autorestart.NEVER), program("y"))
    x, y = group.processes.values()
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
        assert reason(x) == "ended by itself: exit status 0"
        await y.start()
        recorder.launcher.last.on_signal = refuse
        with pytest.raises(RequestError):
            y.request_stop()
        assert reason(y).startswith("it could not be signalled")
        recorder.launcher.last.on_signal = ignore_all_but_kill


def test_options_beyond_supervisor_are_shown_as_they_are_written() -> None:
    stopping = Stopping((SignalStep(3, 10), SignalStep(15)), refresh_signal=10)
    found = extended_options(program("x", stopping=stopping, oneshot=True, startsecs=5))
    assert found == {
        "stop_sequence": ["QUIT:10s", "TERM"],
        "refresh_signal": 10,
        "oneshot": True,
    }
    assert extended_options(program("x", startsecs=5)) == {}
