"""The life of one process under a virtual clock, with children that are not real."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE
from tests.kit.fakes import Recorder, ignore_all_but_kill, refuse
from tests.kit.running import running
from trio_supervisor.core.config.model import (
    AUTO,
    Autorestart,
    ChannelConfig,
    DaemonConfig,
    ProcessConfig,
)
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    Failed,
    InternalError,
    NoFile,
    NotExecutable,
    NotRunning,
    SpawnFailed,
)
from trio_supervisor.core.process.cause import BOOT
from trio_supervisor.core.process.states import MOVES, RUNNING_STATES, State
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.output.channel import OutputChannel
from trio_supervisor.runtime.spawn.forking import SpawnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kit.fakes import FakeChild
    from trio_supervisor.runtime.process.process import Process


def fail_at_once(child: FakeChild) -> None:
    child.die(1)


#: Seconds for which a log that hangs keeps the end of a child from being recorded.
HANGS_FOR = 2


@contextlib.contextmanager
def hanging_log(process: Process) -> Iterator[None]:
    """Let the disk of the process's log hang, as long as a settling log is waited for."""
    before = OutputChannel.settled

    async def settled(channel: OutputChannel) -> None:
        if channel is process.stdout:
            await trio.sleep(HANGS_FOR)
        else:
            await before(channel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputChannel, "settled", settled)
        yield


def explode(child: FakeChild, number: int) -> None:
    if number == signal.SIGKILL:
        raise ZeroDivisionError("injected")


def succeed_at_once(child: FakeChild) -> None:
    child.die(0)


@pytest.mark.behaviour(
    "process.md#running-after-startsecs",
    "process.md#the-eight-states-and-their-codes",
    "process.md#legal-transitions",
)
async def test_a_start_leads_to_running(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    fresh = (x.state, x.pid, x.started, x.stopped, x.exit_status, x.spawn_error)
    assert fresh == (State.STOPPED, 0, 0.0, 0.0, 0, "")
    async with running(group, recorder.host):
        await x.start()
        assert x.state is State.RUNNING
        assert trio.current_time() == pytest.approx(1)
        assert (x.pid, x.started, x.stopped, x.exit_status) == (1000, recorder.now, 0.0, 0)
    assert recorder.moves == [
        "STARTING from_state:STOPPED tries:0",
        "RUNNING from_state:STARTING pid:1000",
    ]
    assert recorder.lines == [
        "INFO spawned: 'x' with pid 1000",
        "INFO success: x entered RUNNING state, process has stayed up for > than 1 seconds "
        "(startsecs)",
    ]


@pytest.mark.behaviour(
    "process.md#retries-and-fatal",
    "process.md#an-exit-before-startsecs-is-a-failed-start",
    "process.md#legal-transitions",
    "process.md#reset-of-the-failure-count",
    "process.md#a-stopped-process-stays-stopped",
)
async def test_retries_then_fatal(autojump_clock: MockClock) -> None:
    """Attempts at 0, 1, 3 and 6 s, then FATAL with a fresh counter."""
    recorder = Recorder()
    recorder.launcher.prepare = succeed_at_once
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 1, 3, 6])
        assert trio.current_time() == pytest.approx(6)
        assert x.spawn_error == "Exited too quickly (process log may have details)"
        assert (x.pid, x.exit_status) == (0, 0)
        await trio.sleep(3600)
        assert len(recorder.launcher.times) == 4
        recorder.moves.clear()
        x.begin()
        await x.wait_for(State.FATAL)
    assert recorder.moves[:4] == [
        "STARTING from_state:STOPPED tries:0",
        "BACKOFF from_state:STARTING tries:1",
        "STARTING from_state:BACKOFF tries:1",
        "BACKOFF from_state:STARTING tries:2",
    ]
    assert recorder.moves[8:10] == [
        "FATAL from_state:BACKOFF",
        "STARTING from_state:FATAL tries:0",
    ]
    assert len(recorder.launcher.times) == 8
    assert not any("RUNNING" in move for move in recorder.moves)
    assert recorder.lines.count("WARN exited: x (exit status 0; not expected)") == 8
    gave_up = "INFO gave up: x entered FATAL state, too many start retries too quickly"
    assert recorder.lines.count(gave_up) == 2


@pytest.mark.behaviour(
    "process.md#commands-that-cannot-be-executed",
    "process.md#a-start-request-checks-the-command-first",
    "process.md#legal-transitions",
)
async def test_missing_program_is_retried(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(command="/nonexistent/program")
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert trio.current_time() == pytest.approx(6)
    assert x.spawn_error == "can't find command '/nonexistent/program'"
    assert recorder.lines.count(f"INFO spawnerr: {x.spawn_error}") == 4
    assert recorder.launcher.times == []


@pytest.mark.behaviour("process.md#a-start-request-checks-the-command-first")
async def test_start_request_checks_the_command_first(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(command="/nonexistent/program")
    async with running(group, recorder.host):
        with pytest.raises(NoFile, match="can't find command '/nonexistent/program'"):
            await x.start()
    assert (x.state, x.spawn_error, recorder.events) == (State.STOPPED, "", [])


@pytest.mark.behaviour("process.md#commands-that-cannot-be-executed")
async def test_unusable_command_refuses_a_start(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(command='echo "abc')
    async with running(group, recorder.host):
        with pytest.raises(NotExecutable, match="No closing quotation"):
            await x.start()


@pytest.mark.behaviour("process.md#running-after-startsecs", "process.md#legal-transitions")
async def test_startsecs_0_counts_every_exit_as_one_from_running(
    autojump_clock: MockClock,
) -> None:
    """The success line is there whenever the RUNNING event is."""
    recorder = Recorder()
    recorder.launcher.prepare = succeed_at_once
    group, x = recorder.process(startsecs=0, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start()
        await x.wait_for(State.EXITED)
    assert recorder.moves == [
        "STARTING from_state:STOPPED tries:0",
        "RUNNING from_state:STARTING pid:1000",
        "EXITED from_state:RUNNING expected:1 pid:1000",
    ]
    assert recorder.lines == [
        "INFO spawned: 'x' with pid 1000",
        "INFO success: x entered RUNNING state, process has stayed up for > than 0 seconds "
        "(startsecs)",
        "INFO exited: x (exit status 0; expected)",
    ]


@pytest.mark.behaviour("process.md#running-after-startsecs")
async def test_a_failure_with_startsecs_0_is_an_exit(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(startsecs=0, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start()
        await x.wait_for(State.EXITED)
    assert "WARN exited: x (exit status 1; not expected)" in recorder.lines
    assert (x.spawn_error, x.exit_status) == ("Bad exit code 1", 1)


@pytest.mark.behaviour("process.md#waiting-for-a-start")
async def test_waiting_start_fails_with_the_first_attempt(autojump_clock: MockClock) -> None:
    """SPAWN_ERROR at once, while the retries go on."""
    recorder = Recorder()
    group, x = recorder.process(startsecs=3)

    def die_later(child: FakeChild) -> None:
        nursery.start_soon(die_after, child)

    async def die_after(child: FakeChild) -> None:
        await trio.sleep(0.5)
        child.die(4)

    recorder.launcher.prepare = die_later
    async with trio.open_nursery() as nursery, running(group, recorder.host):
        with pytest.raises(SpawnFailed):
            await x.start_once()
        assert trio.current_time() == pytest.approx(0.5)
        assert x.state is State.BACKOFF
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 1.5, 4, 7.5])


@pytest.mark.behaviour("process.md#retries-and-fatal")
@pytest.mark.parametrize("startretries", [0, -1])
async def test_without_retries_the_first_failure_is_fatal(
    autojump_clock: MockClock, startretries: int
) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(startretries=startretries)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert trio.current_time() == pytest.approx(0)
    assert recorder.moves[1:] == [
        "BACKOFF from_state:STARTING tries:1",
        "FATAL from_state:BACKOFF",
    ]


@pytest.mark.behaviour(
    "process.md#retries-and-fatal",
    "process.md#stopping-before-running",
    "process.md#reset-of-the-failure-count",
)
async def test_start_and_stop_in_backoff(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(startretries=20)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        with pytest.raises(AlreadyStarted):
            await x.start_once()
        await trio.sleep(0.5)
        await x.stop()
        assert x.state is State.STOPPED
        assert recorder.moves[-1] == "STOPPED from_state:BACKOFF pid:0"
        assert recorder.lines[-1] == "DEBG Attempted to kill x, which is in BACKOFF state."
        await trio.sleep(60)
        assert len(recorder.launcher.times) == 1
        with pytest.raises(SpawnFailed):
            await x.start_once()
        assert recorder.moves[-2] == "STARTING from_state:STOPPED tries:0"


@pytest.mark.behaviour("process.md#spawn-failures-between-fork-and-exec")
async def test_failure_before_exec_is_told_in_the_stderr_log(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """The failure is reported by the daemon, in the words of a child that could not be executed."""
    recorder = Recorder()
    recorder.launcher.failures = [SpawnError("couldn't chdir to /none: ENOENT", "epitaph\n")]
    log = tmp_path / "stderr.log"
    group, x = recorder.process(startretries=0, stderr=ChannelConfig(logfile=str(log)))
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
    recorder.host.sinks.settle(PATIENCE)  # the disk has no virtual clock
    assert log.read_text() == "epitaph\n"
    assert recorder.lines[0] == "INFO spawnerr: couldn't chdir to /none: ENOENT"
    assert x.spawn_error == "couldn't chdir to /none: ENOENT"


@pytest.mark.behaviour(
    "process.md#autorestart",
    "process.md#reported-fields",
    "process.md#legal-transitions",
    "process.md#expected-and-unexpected-exits",
    "process.md#crash-loops-are-paced",
)
@pytest.mark.parametrize(
    ("policy", "code", "killed_by", "restarts"),
    [
        (Autorestart.NEVER, 3, None, False),
        (Autorestart.NEVER, None, 9, False),
        (Autorestart.ALWAYS, 0, None, True),
        (Autorestart.ALWAYS, 3, None, True),
        (Autorestart.ALWAYS, None, 9, True),
        (Autorestart.UNEXPECTED, 0, None, False),
        (Autorestart.UNEXPECTED, 2, None, False),
        (Autorestart.UNEXPECTED, 3, None, True),
        (Autorestart.UNEXPECTED, None, 9, True),
    ],
)
async def test_autorestart_by_exit(
    autojump_clock: MockClock,
    policy: Autorestart,
    code: int | None,
    killed_by: int | None,
    restarts: bool,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=policy, exitcodes=(0, 2))
    async with running(group, recorder.host):
        await x.start()
        await trio.sleep(1.5)
        recorder.launcher.last.die(code, killed_by)
        await wait_all_tasks_blocked()
        assert (len(recorder.launcher.times) == 2) is restarts
        expected = code in (0, 2)
        assert f"EXITED from_state:RUNNING expected:{int(expected)} pid:1000" in recorder.moves
        if not restarts:
            await trio.sleep(3600)
            assert len(recorder.launcher.times) == 1
            assert x.state is State.EXITED
            assert x.exit_status == (-1 if killed_by else code)
            assert x.spawn_error == ("" if expected else f"Bad exit code {x.exit_status}")


@pytest.mark.behaviour("process.md#expected-and-unexpected-exits")
async def test_empty_exitcodes_make_every_exit_unexpected(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(exitcodes=())
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED, State.STARTING)
        assert "WARN exited: x (exit status 0; not expected)" in recorder.lines


@pytest.mark.behaviour("process.md#crash-loops-are-paced")
async def test_a_crash_loop_is_paced(autojump_clock: MockClock) -> None:
    """No two spawns within a second."""
    recorder = Recorder()
    recorder.launcher.prepare = succeed_at_once
    group, x = recorder.process(startsecs=0, autorestart=Autorestart.ALWAYS)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(10.5)
        assert recorder.launcher.times == pytest.approx(list(range(11)))


@pytest.mark.behaviour("process.md#crash-loops-are-paced")
async def test_stop_between_exit_and_restart_cancels_the_restart(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = succeed_at_once
    group, x = recorder.process(startsecs=0, autorestart=Autorestart.ALWAYS)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.EXITED)
        with pytest.raises(NotRunning):
            await x.stop()
        await trio.sleep(60)
        assert len(recorder.launcher.times) == 1
        assert x.state is State.EXITED


@pytest.mark.behaviour(
    "process.md#waiting-for-a-stop",
    "process.md#the-stop-signal",
    "process.md#legal-transitions",
    "process.md#output-while-stopping",
    "process.md#an-exit-after-a-stop-request",
)
async def test_a_slow_stop_is_waited_for_aloud(autojump_clock: MockClock) -> None:
    """True exit code, level by exitcodes."""
    recorder = Recorder()
    group, x = recorder.process()

    def finish_later(child: FakeChild, number: int) -> None:
        nursery.start_soon(finish, child)

    async def finish(child: FakeChild) -> None:
        await trio.sleep(3.5)
        child.die(7)

    async with trio.open_nursery() as nursery, running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = finish_later
        await x.stop()
        assert trio.current_time() == pytest.approx(4.5)
        assert (x.state, x.exit_status, x.pid) == (State.STOPPED, 7, 0)
    assert recorder.launcher.last.signals == [signal.SIGTERM]
    assert [line for line in recorder.lines[2:] if not line.startswith("DEBG fd ")] == [
        "DEBG killing x (pid 1000) with signal SIGTERM",
        "INFO waiting for x to stop",
        "INFO waiting for x to stop",
        "WARN stopped: x (exit status 7)",
    ]
    assert recorder.moves[2:] == [
        "STOPPING from_state:RUNNING pid:1000",
        "STOPPED from_state:STOPPING pid:1000",
    ]


@pytest.mark.behaviour(
    "process.md#a-second-stop-joins-the-first",
    "process.md#spawn-failures-before-the-child-exists",
    "process.md#a-start-request-on-a-stopping-or-unknown-process",
    "process.md#waiting-for-a-stop",
    "process.md#signal-requests",
    "process.md#sending-text-to-a-child",
)
async def test_requests_during_stopping(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        child = recorder.launcher.last
        child.on_signal = ignore_all_but_kill
        await x.stop(wait=False)
        await x.stop(wait=False)  # joins
        for wait in (True, False):
            with pytest.raises(AbnormalTermination):
                await x.start_once(wait=wait)
        x.signal(signal.SIGUSR1)
        with pytest.raises(NotRunning):
            x.send_stdin(b"text")
        assert not group.at_rest
        await x.stop()
        assert x.state is State.STOPPED
        assert child.signals == [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL]
        assert trio.current_time() == pytest.approx(11)
    assert recorder.lines.count("WARN process 'x' already running") == 2


@pytest.mark.behaviour(
    "process.md#sigkill-after-stopwaitsecs", "process.md#one-event-for-each-transition"
)
async def test_kill_after_stopwaitsecs(autojump_clock: MockClock) -> None:
    """One STOPPING event although two signals are sent."""
    recorder = Recorder()
    group, x = recorder.process(stopwaitsecs=2)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop()
        assert trio.current_time() == pytest.approx(3)
    assert "WARN killing 'x' (1000) with SIGKILL" in recorder.lines
    assert recorder.lines[-1] == "WARN stopped: x (terminated by SIGKILL)"
    assert sum(move.startswith("STOPPING") for move in recorder.moves) == 1


@pytest.mark.behaviour("process.md#sigkill-after-stopwaitsecs")
async def test_stopwaitsecs_0_kills_promptly(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopwaitsecs=0)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop()
        assert trio.current_time() == pytest.approx(1)
        assert recorder.launcher.last.signals == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.behaviour("process.md#sigkill-after-stopwaitsecs")
async def test_kill_is_repeated_every_stopwaitsecs(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopwaitsecs=3)
    async with running(group, recorder.host):
        await x.start()
        child = recorder.launcher.last
        child.on_signal = lambda child, number: None  # in uninterruptible sleep
        await x.stop(wait=False)
        await trio.sleep(10)
        assert child.signals == [signal.SIGTERM] + 3 * [signal.SIGKILL]


@pytest.mark.behaviour("process.md#the-stop-signal", "process.md#sigkill-after-stopwaitsecs")
@pytest.mark.parametrize(
    ("stopasgroup", "killasgroup", "in_group"),
    [(False, False, []), (True, True, [15, 9]), (False, True, [9])],
)
async def test_signals_to_the_group(
    autojump_clock: MockClock, stopasgroup: bool, killasgroup: bool, in_group: list[int]
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopasgroup=stopasgroup, killasgroup=killasgroup, stopwaitsecs=2)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop()
        assert recorder.launcher.last.group_signals == in_group
    to_group = "DEBG killing x (pid 1000) process group with signal SIGTERM"
    assert (to_group in recorder.lines) is stopasgroup


@pytest.mark.behaviour("process.md#stopping-before-running", "process.md#legal-transitions")
async def test_a_stop_in_starting_ends_stopped(autojump_clock: MockClock) -> None:
    """Never BACKOFF."""
    recorder = Recorder()
    group, x = recorder.process(startsecs=30)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(5)
        await x.stop()
    assert recorder.moves[1:] == [
        "STOPPING from_state:STARTING pid:1000",
        "STOPPED from_state:STOPPING pid:1000",
    ]


@pytest.mark.behaviour("http.md#starting", "process.md#waiting-for-a-start")
async def test_a_start_interrupted_by_a_stop_ends_abnormally(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=8)
    async with running(group, recorder.host), trio.open_nursery() as nursery:

        async def interrupted() -> None:
            with pytest.raises(AbnormalTermination):
                await x.start()

        nursery.start_soon(interrupted)
        await trio.sleep(2)
        await x.stop()


@pytest.mark.behaviour("process.md#process-group-and-signal-dispositions-of-a-child")
async def test_stop_during_the_spawn_takes_effect_when_the_child_exists(
    autojump_clock: MockClock,
) -> None:
    """The signal is neither lost nor sent to nobody."""
    recorder = Recorder()
    recorder.launcher.gate = trio.Event()
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin()
        await wait_all_tasks_blocked()
        x.request_stop()
        assert x.state is State.STARTING
        x.request_stop()  # joins
        recorder.launcher.gate.set()
        await x.ended()
        assert recorder.launcher.last.signals == [signal.SIGTERM]
    assert recorder.moves[-1] == "STOPPED from_state:STOPPING pid:1000"


@pytest.mark.behaviour("process.md#legal-transitions")
async def test_stop_during_a_spawn_that_fails_ends_stopped(autojump_clock: MockClock) -> None:
    """No retry comes of it."""
    recorder = Recorder()
    recorder.launcher.gate = trio.Event()
    recorder.launcher.failures = [SpawnError("no")]
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin()
        await wait_all_tasks_blocked()
        x.request_stop()
        recorder.launcher.gate.set()
        await x.ended()
        await trio.sleep(60)
        assert len(recorder.launcher.times) == 1
    assert recorder.moves[-1] == "STOPPED from_state:BACKOFF pid:0"


@pytest.mark.behaviour("process.md#signal-requests")
async def test_signal_needs_a_child(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process()
    async with running(group, recorder.host):
        with pytest.raises(NotRunning):
            x.signal(signal.SIGUSR1)
        x.begin()
        await x.wait_for(State.BACKOFF)
        with pytest.raises(NotRunning):
            x.signal(signal.SIGUSR1)


@pytest.mark.behaviour(
    "process.md#autorestart",
    "process.md#an-exit-after-a-stop-request",
    "process.md#reported-fields",
)
async def test_kill_by_signal_request_is_an_exit(autojump_clock: MockClock) -> None:
    """Not a stop, so autorestart decides."""
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        await trio.sleep(1)
        x.signal(signal.SIGKILL)
        await x.wait_for(State.STARTING)
    assert "WARN exited: x (terminated by SIGKILL; not expected)" in recorder.lines
    assert x.spawn_error == ""  # cleared by the next spawn


@pytest.mark.behaviour("process.md#a-signal-that-cannot-be-delivered")
async def test_a_failed_signal_changes_nothing(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = refuse
        with pytest.raises(Failed):
            x.signal(signal.SIGUSR1)
        assert x.state is State.RUNNING
    crit = [line for line in recorder.lines if line.startswith("CRIT")]
    assert crit == ["CRIT unknown problem sending sig x (1000):[Errno 1] Operation not permitted"]


@pytest.mark.behaviour(
    "process.md#a-signal-that-cannot-be-delivered",
    "process.md#legal-transitions",
    "process.md#a-start-request-on-a-stopping-or-unknown-process",
)
async def test_a_child_that_cannot_be_stopped(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = refuse
        with pytest.raises(Failed):
            await x.stop()
        assert x.state is State.UNKNOWN
        assert x.pid == 1000
        with pytest.raises(NotRunning):
            await x.stop()
        with pytest.raises(Failed, match="x is in an unknown process state"):
            await x.start()
        recorder.launcher.last.die(0)
        await x.wait_for(State.STOPPED)
    assert recorder.moves[-3:] == [
        "STOPPING from_state:RUNNING pid:1000",
        "UNKNOWN from_state:STOPPING",
        "STOPPED from_state:UNKNOWN pid:1000",
    ]


@pytest.mark.behaviour("process.md#no-restart-during-a-shutdown", "process.md#legal-transitions")
async def test_hold_starts_nothing_more(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        recorder.host.accepting = False
        x.hold()
        await trio.sleep(60)
        assert (x.state, len(recorder.launcher.times)) == (State.BACKOFF, 1)
        x.shut_down()
    assert recorder.moves[-1] == "FATAL from_state:BACKOFF"
    assert not any("gave up" in line for line in recorder.lines)


async def test_an_error_inside_one_process_stays_there(autojump_clock: MockClock) -> None:
    """UNKNOWN, said in the log, and the child is still waited for."""
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = explode  # when the KILL deadline comes
        await x.stop(wait=False)
        await x.wait_for(State.UNKNOWN)
        recorder.launcher.last.die(0)
        await x.wait_for(State.STOPPED)
        recorder.launcher.prepare = lambda child: None
        await x.start()
        assert x.state is State.RUNNING
    crit = [line for line in recorder.lines if line.startswith("CRIT")]
    assert len(crit) == 1
    assert "internal error in x" in crit[0]
    assert "ZeroDivisionError: injected" in crit[0]


@pytest.mark.behaviour("process.md#legal-transitions")
async def test_an_illegal_move_raises_and_changes_nothing() -> None:
    recorder = Recorder()
    _, x = recorder.process()
    assert State.RUNNING not in MOVES[x.state]
    with pytest.raises(InternalError, match="no move leads from STOPPED to RUNNING"):
        x._states._move(State.RUNNING, BOOT)
    assert (x.state, recorder.events) == (State.STOPPED, [])


@pytest.mark.behaviour("process.md#environment-of-a-child", "process.md#supervisor-variables")
async def test_layers_of_the_environment(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.host.environment = {"FOO": "outer", "INH": "1", "SUPERVISOR_SERVER_URL": "outer"}
    recorder.host.server_url = "unix:///s.sock"
    environment = {"FOO": "prog", "SUPERVISOR_PROCESS_NAME": "override"}
    group, x = recorder.process(environment=environment, serverurl=AUTO)
    async with running(group, recorder.host):
        await x.start()
    assert recorder.launcher.last.spec.environment == {
        "FOO": "prog",
        "INH": "1",
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_GROUP_NAME": "x",
        "SUPERVISOR_PROCESS_NAME": "override",
        "SUPERVISOR_SERVER_URL": "unix:///s.sock",
    }


@pytest.mark.behaviour(
    "process.md#running-after-startsecs", "process.md#rotation-by-size", "process.md#strip_ansi"
)
def test_defaults_of_a_process() -> None:
    config = ProcessConfig("x", "/bin/cat")
    assert (config.startsecs, config.startretries, config.exitcodes) == (1, 3, (0,))
    assert (config.autorestart, config.stopwaitsecs) == (Autorestart.UNEXPECTED, 10)
    assert config.stopsignal == signal.SIGTERM
    for log in (config.stdout, config.stderr):
        assert (log.maxbytes, log.backups) == (50 * 1024 * 1024, 10)
        assert (log.logfile, log.capture_maxbytes, log.events_enabled) == (AUTO, 0, False)
    daemon = DaemonConfig()
    assert (daemon.logfile_maxbytes, daemon.logfile_backups) == (50 * 1024 * 1024, 10)
    assert daemon.strip_ansi is False


@pytest.mark.behaviour("process.md#sets-of-states", "process.md#a-signal-that-cannot-be-delivered")
async def test_a_stop_changes_nothing_outside_the_running_set(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.NEVER, startsecs=0, startretries=0)

    async def refused() -> None:
        before = x.state, list(recorder.moves)
        for wait in (True, False):
            with pytest.raises(NotRunning):
                await x.stop(wait=wait)
        assert (x.state, recorder.moves) == before

    async with running(group, recorder.host):
        await refused()  # STOPPED
        await x.start()
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
        await refused()
        recorder.launcher.failures = [SpawnError("no")]
        with pytest.raises(SpawnFailed):
            await x.start()
        assert x.state is State.FATAL
        await refused()


@pytest.mark.behaviour(
    "process.md#reset-of-the-failure-count",
    "process.md#retries-and-fatal",
    "process.md#reported-fields",
)
async def test_what_is_counted_and_remembered(autojump_clock: MockClock) -> None:
    """Retries whatever autorestart says; RUNNING clears the count, a spawn the error."""
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.BACKOFF)
        recorder.launcher.prepare = lambda child: None
        await x.wait_for(State.RUNNING)
        assert x.history.failures == 0
        recorder.launcher.last.die(3)
        await x.wait_for(State.EXITED)
        assert x.spawn_error == "Bad exit code 3"
        recorder.launcher.prepare = fail_at_once
        with pytest.raises(SpawnFailed):
            await x.start_once()
        await x.stop()
        assert (x.state, x.spawn_error) == (
            State.STOPPED,
            "Exited too quickly (process log may have details)",
        )
        recorder.launcher.prepare = lambda child: None
        await x.start_once()
        assert x.spawn_error == ""
    assert "STARTING from_state:EXITED tries:0" in recorder.moves


@pytest.mark.behaviour("process.md#signalling-a-child-that-has-just-exited")
async def test_a_race_lost_to_an_exit_is_no_error(autojump_clock: MockClock) -> None:
    """A stop does not even try: that the child has ended by itself is known."""
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        requests: list[Callable[[], None]] = [x.request_stop, lambda: x.signal(signal.SIGUSR1)]
        for request in requests:
            await x.start()
            recorder.launcher.last.die(0)
            request()  # before anybody has noticed
            await x.wait_for(State.STOPPED, State.EXITED)
            assert recorder.launcher.last.signals == []
        lost = "DEBG unable to signal x (pid "
        assert sum(line.startswith(lost) for line in recorder.lines) == 1


@pytest.mark.behaviour("process.md#signalling-a-child-that-has-just-exited")
async def test_a_stop_of_a_dead_child_signals_nothing_and_waits_for_its_end_to_be_recorded(
    autojump_clock: MockClock,
) -> None:
    """Its log's disk hangs, so it is shown as RUNNING although it has been reaped."""
    recorder = Recorder()
    group, x = recorder.process(stopasgroup=True, autorestart=Autorestart.ALWAYS)
    async with running(group, recorder.host):
        await x.start()
        with hanging_log(x):
            recorder.launcher.last.die(3)
            await wait_all_tasks_blocked()
            assert x.state in RUNNING_STATES
            await x.stop()
        await trio.sleep(10)
    assert recorder.launcher.last.group_signals == []
    assert x.state is State.EXITED  # and not started again
    assert "WARN exited: x (exit status 3; not expected)" in recorder.lines


@pytest.mark.parametrize("together", [False, True])
async def test_a_start_of_a_dead_child_waits_for_its_end_to_be_recorded(
    autojump_clock: MockClock, *, together: bool
) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start()
        with hanging_log(x):
            recorder.launcher.last.die(0)
            await wait_all_tasks_blocked()
            assert x.state in RUNNING_STATES
            if together:
                assert [result.error for result in await operations.start([x])] == [None]
            else:
                await x.start()
        assert x.state is State.RUNNING
        assert len(recorder.launcher.children) == 2


@pytest.mark.behaviour("process.md#an-exit-before-startsecs-is-a-failed-start")
async def test_startsecs_does_not_count_the_time_that_a_hanging_log_takes(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=1, startretries=0)
    async with running(group, recorder.host):
        with hanging_log(x):
            await x.start(wait=False)
            await trio.sleep(0.5)
            recorder.launcher.last.die(0)
            await x.wait_for(State.FATAL)
        assert x.stopped == recorder.now - HANGS_FOR
    assert "WARN exited: x (exit status 0; not expected)" in recorder.lines
    assert not [line for line in recorder.lines if "success" in line]


@pytest.mark.behaviour("process.md#an-exit-before-startsecs-is-a-failed-start")
async def test_what_died_while_the_daemon_was_stopped_is_not_known_to_have_lived_for_startsecs(
    mock_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=1, startretries=0)
    async with running(group, recorder.host):
        await x.start(wait=False)
        recorder.launcher.last.die(0)
        mock_clock.jump(60)  # as a stop of the daemon does: no task has run since the death
        await x.wait_for(State.FATAL)
    assert "WARN exited: x (exit status 0; not expected)" in recorder.lines
    assert not [line for line in recorder.lines if "success" in line]


@pytest.mark.behaviour("process.md#an-exit-is-recorded-promptly")
async def test_a_child_that_another_part_of_the_program_has_reaped_has_ended(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.UNEXPECTED)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(None)
        await x.wait_for(State.EXITED)
        assert x.history.last_exit is not None
        assert x.history.last_exit.status == -1
        await x.wait_for(State.RUNNING)  # life goes on
        await x.stop()
    assert "WARN exited: x (exit status unknown; not expected)" in recorder.lines


@pytest.mark.behaviour(
    "process.md#sending-text-to-a-child", "process.md#a-child-that-does-not-read-its-stdin"
)
async def test_stdin_in_STARTING_and_what_a_dead_child_leaves_unread(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=5, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start(wait=False)
        assert x.state is State.STARTING
        x.send_stdin(b"x" * 500_000)
        assert x.stdin_pending > 0
        recorder.launcher.last.die(0)
        await x.wait_for(State.BACKOFF)
        assert x.stdin_pending == 0
        await x.wait_for(State.STARTING)
        await x.spawned()
        x.send_stdin(b"new")
        assert os.read(recorder.launcher.last.stdin_reader, 10) == b"new"


async def test_a_state_to_wait_for_may_be_given_by_its_name(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        with trio.fail_after(60):
            x.begin()
            await x.wait_for("RUNNING", "FATAL")
        for wrong in (["running"], ["RUN", State.FATAL], []):
            with pytest.raises(ValueError, match="no s"):
                await x.wait_for(*wrong)


@pytest.mark.behaviour("process.md#the-stop-signal")
@pytest.mark.parametrize(
    ("stopsignal", "resumed"), [(signal.SIGTERM, 1), (signal.SIGUSR1, 1), (signal.SIGTSTP, 0)]
)
async def test_a_child_that_may_be_paused_is_resumed_to_hear_the_stop_signal(
    autojump_clock: MockClock, stopsignal: int, resumed: int
) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopsignal=stopsignal, stopwaitsecs=1)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop()
        assert recorder.launcher.last.signals == [stopsignal, signal.SIGKILL]
        assert recorder.launcher.last.resumed == resumed
