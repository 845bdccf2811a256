"""``pre_start`` and ``post_stop`` under a virtual clock, with children that are not real."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill
from tests.kit.running import running
from trio_supervisor.core.config.identity import EnvironmentFile, Identity
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.stopping import Stopping
from trio_supervisor.core.errors import AbnormalTermination, SpawnFailed
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.groups.operations import shut_down
from trio_supervisor.runtime.spawn import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRE, POST = "/bin/echo pre", "/bin/echo post"


def hooks_end(recorder: Recorder, code: int = 0) -> None:
    """Let each hook end at once with this status."""

    def prepare(child: FakeChild) -> None:
        if child.spec.command.argv[0] == "/bin/echo":
            child.die(code)

    recorder.launcher.prepare = prepare


def commands(recorder: Recorder) -> list[str]:
    """Return what was spawned, in order: pre, post and x."""
    return [
        child.spec.command.argv[1] if child.spec.command.argv[0] == "/bin/echo" else "x"
        for child in recorder.launcher.children
    ]


@pytest.mark.behaviour("policies.md#pre_start")
async def test_pre_start_runs_before_each_attempt(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(pre_start=PRE))
    hooks_end(recorder)
    async with running(group, recorder.host):
        await x.start()
        assert (commands(recorder), x.state) == (["pre", "x"], State.RUNNING)
        await x.restart()
        assert commands(recorder) == ["pre", "x", "pre", "x"]


@pytest.mark.behaviour("policies.md#pre_start")
async def test_while_pre_start_runs_it_is_starting_without_a_pid(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(pre_start=PRE), startsecs=1)
    async with running(group, recorder.host), trio.open_nursery() as nursery:
        nursery.start_soon(x.start)
        await wait_all_tasks_blocked()
        mock_clock.jump(20)  # the time of the start begins with the spawn
        assert (x.state, x.pid, commands(recorder)) == (State.STARTING, 0, ["pre"])
        assert x.phase == "runs pre_start"
        recorder.launcher.last.die(0)
        await wait_all_tasks_blocked()
        assert (x.state, x.pid) == (State.STARTING, recorder.launcher.last.pid)
        mock_clock.jump(1)


@pytest.mark.behaviour("policies.md#pre_start")
@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda child: (child.write(b"no disk\n"), child.die(3)), "exit status 3: no disk"),
        (lambda child: child.die(None, 11), "terminated by SIGSEGV"),
        (lambda child: None, "not over within 5 seconds"),
    ],
)
async def test_a_pre_start_that_fails_is_a_failed_start(
    autojump_clock: MockClock, prepare: Callable[[FakeChild], None], why: str
) -> None:
    recorder = Recorder()
    stopping = Stopping(pre_start=PRE, hook_timeout=5)
    group, x = recorder.process(stopping=stopping, startretries=1)
    recorder.launcher.prepare = prepare
    async with running(group, recorder.host):
        with pytest.raises(SpawnFailed):
            await x.start()
        assert (x.state, x.spawn_error) == (State.FATAL, f"pre_start: {why}")
        assert commands(recorder) == ["pre", "pre"]
    assert recorder.lines.count(f"WARN x: pre_start: {why}") == 2


@pytest.mark.behaviour("policies.md#pre_start")
async def test_a_stop_ends_pre_start_at_once(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(pre_start=PRE))
    failures: list[type] = []

    async def start() -> None:
        try:
            await x.start_once()
        except AbnormalTermination as error:
            failures.append(type(error))

    async with running(group, recorder.host), trio.open_nursery() as nursery:
        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        await x.stop()
        assert x.state is State.STOPPED
        await wait_all_tasks_blocked()
        [hook] = recorder.launcher.children
        assert set(hook.group_signals) == {signal.SIGKILL}
        assert failures == [AbnormalTermination]
        assert "INFO stopped: x (before it had a child)" in recorder.lines
        hooks_end(recorder)  # a start after that is as any other
        nursery.start_soon(x.start)
        await wait_all_tasks_blocked()
        assert commands(recorder) == ["pre", "pre", "x"]
        mock_clock.jump(2)


@pytest.mark.behaviour("policies.md#environment-files")
async def test_a_stop_ends_the_look_for_variables_that_hangs(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*arguments: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(environment, "looked_up", hang)
    recorder = Recorder()
    identity = Identity(environment_files=(EnvironmentFile("/x"),))
    group, x = recorder.process(identity=identity)
    async with running(group, recorder.host):
        x.begin()
        await wait_all_tasks_blocked()
        assert (x.state, x.pid) == (State.STARTING, 0)
        await x.stop()
        assert x.state is State.STOPPED
    assert commands(recorder) == []


@pytest.mark.behaviour("policies.md#post_stop")
async def test_a_stop_is_over_when_post_stop_is(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(post_stop=POST), startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        pid = x.pid
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.stop)
            await wait_all_tasks_blocked()
            assert (x.state.name, commands(recorder)) == ("STOPPING", ["x", "post"])
            hook = recorder.launcher.last
            names = ("MAINPID", "SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")
            told = [hook.spec.environment[name] for name in names]
            assert told == [str(pid), "success", "killed", "TERM"]
            hook.write(b"words\n")
            hook.die(1)  # a failure is told, and changes nothing
        assert x.state is State.STOPPED
        assert "WARN x: post_stop: exit status 1: words" in recorder.lines
        assert x.history.last_end is not None
        assert x.history.last_end.stdout == ""


@pytest.mark.behaviour("policies.md#post_stop")
async def test_after_a_kill_the_result_is_timeout(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(post_stop=POST), stopwaitsecs=2)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        hooks_end(recorder)
        await x.stop()
        assert recorder.launcher.last.spec.environment["SERVICE_RESULT"] == "timeout"


@pytest.mark.behaviour("policies.md#post_stop")
async def test_the_next_start_waits_for_post_stop(mock_clock: MockClock) -> None:
    recorder = Recorder()
    options = {"autorestart": Autorestart.ALWAYS, "startsecs": 0}
    group, x = recorder.process(stopping=Stopping(post_stop=POST, hook_timeout=7), **options)
    async with running(group, recorder.host):
        await x.start()
        mock_clock.jump(5)
        recorder.launcher.last.die(3)
        await wait_all_tasks_blocked()
        assert (x.state.name, commands(recorder)) == ("EXITED", ["x", "post"])
        environment = recorder.launcher.last.spec.environment
        assert (environment["SERVICE_RESULT"], environment["EXIT_STATUS"]) == ("exit-code", "3")
        mock_clock.jump(6)
        await wait_all_tasks_blocked()
        assert commands(recorder) == ["x", "post"]
        mock_clock.jump(1)  # hook_timeout
        await wait_all_tasks_blocked()
        assert commands(recorder) == ["x", "post", "x"]
    assert "WARN x: post_stop: not over within 7 seconds" in recorder.lines


@pytest.mark.behaviour("policies.md#post_stop")
async def test_a_start_that_waits_for_post_stop_can_be_stopped(mock_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(post_stop=POST), startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(0)
        await wait_all_tasks_blocked()
        x.begin()
        await wait_all_tasks_blocked()
        assert (x.state.name, commands(recorder)) == ("STARTING", ["x", "post"])
        await x.stop()
        assert x.state.name == "STOPPED"
        hook = recorder.launcher.last
        assert hook.alive  # it has its time all the same
        hook.die(0)
        await wait_all_tasks_blocked()
        assert (x.state.name, commands(recorder)) == ("STOPPED", ["x", "post"])


@pytest.mark.behaviour("policies.md#post_stop")
async def test_a_stop_of_everything_waits_for_post_stop_of_what_has_ended_just_before(
    mock_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(post_stop=POST), startsecs=0)
    over = trio.Event()

    async def stop_all() -> None:
        await shut_down([group], recorder.host.log, Cause(CauseKind.SHUTDOWN))
        over.set()

    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(0)
        await wait_all_tasks_blocked()
        assert (x.state.name, commands(recorder)) == ("EXITED", ["x", "post"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_all)
            await wait_all_tasks_blocked()
            assert not over.is_set()
            recorder.launcher.last.die(0)
            await over.wait()


@pytest.mark.behaviour("policies.md#post_stop")
async def test_a_start_that_is_called_off_holds_up_no_stop_of_everything(
    mock_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopping=Stopping(pre_start=PRE))
    async with running(group, recorder.host):
        x.begin()
        await wait_all_tasks_blocked()
        await shut_down([group], recorder.host.log, Cause(CauseKind.SHUTDOWN))
        assert x.state is State.STOPPED


@pytest.mark.behaviour("journal.md#evidence-has-no-secrets")
async def test_the_journal_has_no_secret_of_an_environment_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("DB_PASSWORD=hunter2\nPLAIN=plainly\n")
    recorder = Recorder()
    identity = Identity(environment_files=(EnvironmentFile(str(file)),))
    group, x = recorder.process(
        identity=identity,
        environment={"TOKEN": "abcdef"},
        stopping=Stopping(pre_start=PRE),
        startretries=0,
    )

    def fail(child: FakeChild) -> None:
        child.write(b"no hunter2, abcdef or plainly\n")
        child.die(5)

    recorder.launcher.prepare = fail
    async with running(group, recorder.host):
        with pytest.raises(SpawnFailed):
            await x.start()
    errors = [entry.evidence.get("error") for entry in recorder.host.journal.memory.of("x")]
    assert "pre_start: exit status 5: no ***, *** or plainly" in errors
