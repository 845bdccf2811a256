"""A supervisor goes on with programs that it is not the parent of, and so does the next one."""

from __future__ import annotations

import errno
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.kit.fakes import program
from tests.kit.handing import handed_over
from tests.kit.late_reaper import EXITS, LateReaper
from tests.runtime.handover.test_parts import group, logged, supervisors, until
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.handover.state import (
    HandedChild,
    HandedGroup,
    HandedProcess,
    HandedState,
    HandedSupervisor,
)
from trio_supervisor.core.handover.versions import codec
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.member import Adoption, Member
from trio_supervisor.core.process.record import Intent, ProcessRecord
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.spawn import foreign_exit
from trio_supervisor.runtime.spawn.adopted_child import STATUS_PATIENCE, AdoptedChild
from trio_supervisor.runtime.spawn.child import RealChild
from trio_supervisor.runtime.spawn.members import member_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_supervisor.core.config.model import ProcessConfig

DAEMON = Member(4711, 1)


@pytest.fixture
def reaper() -> Iterator[LateReaper]:
    with LateReaper() as reaper:
        yield reaper


def state(
    config: ProcessConfig, main: Member, record: ProcessRecord | None = None, **ends: Any
) -> HandedState:
    """The state of a program with this main process; ``ends`` are descriptors."""
    record = record or ProcessRecord(State.RUNNING)
    record.pid, record.intent = main.pid, Intent.UP
    record.adoption = Adoption(main.started, DAEMON)
    process = HandedProcess(config.name, record, child=HandedChild(main.pid, **ends))
    return HandedState(
        supervisor=HandedSupervisor(started=1.0, began_at=1.0),
        groups=(HandedGroup(group(config), processes=(process,)),),
    )


async def test_a_program_is_gone_on_with_until_its_end(reaper: LateReaper, tmp_path: Path) -> None:
    """Its output is logged to the last word before its exit is known; the next child is ours."""
    out, log = tmp_path / "out", tmp_path / "log"
    os.mkfifo(out)
    code = (
        f"os.dup2(os.open({str(out)!r}, os.O_WRONLY), 1); os.write(1, b'one ');"
        "signal.sigwait([signal.SIGUSR1]); os.write(1, b'two'); os._exit(3)"
    )
    pipe = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    main = reaper.run(code)
    config = program("x", command="/bin/sleep 600", stdout=logged(log), startsecs=0)
    pidfd = os.pidfd_open(main.pid)
    async with supervisors(handed=state(config, main, stdout=pipe, pidfd=pidfd)) as line:
        x = line.process("x")
        await until(lambda: log.exists() and log.read_bytes() == b"one ")
        assert (x.state, x.pid) == (State.RUNNING, main.pid)
        os.kill(main.pid, signal.SIGUSR1)
        await until(lambda: x.history.last_end is not None)
        assert x.history.last_exit == Exit(3)
        assert log.read_bytes() == b"one two"
        assert "WARN exited: x (exit status 3; not expected)" in line.log
        await x.wait_for(State.RUNNING)
        assert isinstance(x.driver.child, RealChild)
        assert x.record.adoption is None
        await line.next()
        assert isinstance(line.process("x").driver.child, RealChild)


async def test_a_program_is_stopped_and_its_group_too(reaper: LateReaper) -> None:
    main = reaper.run("os.fork()\nsignal.pause()")
    config = program("x", stopasgroup=True, killasgroup=True)
    async with supervisors(handed=state(config, main)) as line:
        x = line.process("x")
        await x.stop()
        assert x.state is State.STOPPED
        assert x.history.last_exit == Exit(None, signal.SIGTERM)
        assert x.record.left_behind == ()
        await until(lambda: member_of(main.pid) is None)


async def test_a_deaf_program_is_killed(reaper: LateReaper) -> None:
    main = reaper.run("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()")
    config = program("x", stopwaitsecs=0)
    async with supervisors(handed=state(config, main)) as line:
        await until(lambda: not line.process("x").driver.child.would_end_by(signal.SIGTERM))  # type: ignore[union-attr]  # it has one
        await line.process("x").stop()
        assert line.process("x").history.last_exit == Exit(None, signal.SIGKILL)


async def test_a_program_is_handed_over_again(reaper: LateReaper) -> None:
    """With its descriptor, so that its status is known although it was reaped in between."""
    main = reaper.run(EXITS.format(code=3))
    config = program("x", autorestart=Autorestart.NEVER)
    async with supervisors(handed=state(config, main)) as line:

        def die() -> None:
            reaper.end(main)
            reaper.reap(main)

        await line.next()
        x = line.process("x")
        assert isinstance(x.driver.child, AdoptedChild)
        assert x.record.adoption == Adoption(main.started, DAEMON)
        await line.next(die)
        assert await line.process("x").wait() == Exit(3)


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
async def test_the_exit_of_a_program_that_is_not_known_is_told(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not expected, so the program is started again."""

    def refused(fd: int, request: int, info: bytearray) -> int:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr("fcntl.ioctl", refused)
    main = reaper.run()
    config = program("x", command="/bin/sleep 600", startsecs=0)
    handed = state(config, main, pidfd=os.pidfd_open(main.pid))
    reaper.end(main)
    reaper.reap(main)
    async with supervisors(handed=handed) as line:
        x = line.process("x")
        await until(lambda: isinstance(x.driver.child, RealChild))
        unknown = f"exit status unknown: {foreign_exit.NOT_KEPT}"
        assert f"WARN exited: x ({unknown}; not expected)" in line.log
        chain = (await line.now.why("x")).chain
        assert unknown in [entry.evidence.get("exit") for entry in chain]


@pytest.mark.behaviour("policies.md#exit-status-of-an-adopted-program")
async def test_a_program_that_has_ended_is_not_promoted_while_its_status_is_asked_for(
    reaper: LateReaper, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    """Its start has failed, whenever the process that reaps it gets around to that."""

    def refused(path: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "readlink", refused)  # no status in /proc
    main = reaper.run(EXITS.format(code=3))
    config = program("x", startsecs=1, startretries=0)
    record = ProcessRecord(State.STARTING, deadline=trio.current_time() + STATUS_PATIENCE / 4)
    handed = state(config, main, record, pidfd=os.pidfd_open(main.pid))
    reaper.end(main)
    async with supervisors(handed=handed) as line:
        x = line.process("x")
        mock_clock.jump(STATUS_PATIENCE / 2)  # beyond the deadline
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert x.state is State.STARTING
        assert x.driver.is_dead
        reaper.reap(main)
        mock_clock.jump(STATUS_PATIENCE / 4)
        await x.wait_for(State.FATAL)
        assert x.history.last_exit == Exit(3)


@pytest.mark.behaviour("policies.md#a-program-that-ended-while-no-daemon-ran")
@pytest.mark.parametrize(
    ("lived", "startsecs", "outcome"),
    [(9.0, 10, State.FATAL), (10.0, 10, State.EXITED), (0.0, 0, State.EXITED)],
)
async def test_a_start_that_no_daemon_saw_the_end_of(
    reaper: LateReaper, lived: float, startsecs: int, outcome: State
) -> None:
    """It has failed if the program has not lived long enough, whenever that is noticed."""
    main = reaper.run()
    config = program("x", startsecs=startsecs, startretries=0, autorestart=Autorestart.NEVER)
    spawned = trio.current_time() - 60
    record = ProcessRecord(State.STARTING, deadline=spawned + startsecs, spawned_at=spawned)
    handed = state(config, main, record, pidfd=os.pidfd_open(main.pid))
    record.adoption = Adoption(main.started, DAEMON, gone_at=spawned + lived)
    reaper.end(main)
    async with supervisors(handed=handed) as line:
        x = line.process("x")
        await x.wait_for(outcome)
        assert x.history.last_end is not None
        assert x.history.last_end.lifetime == pytest.approx(lived)
        assert abs(time.time() - 60 + lived - x.record.stopped) < 10


def test_the_state_of_a_daemon_that_has_adopted_nothing_is_as_before() -> None:
    """So that every version understands it, and the state of every version is understood."""
    process = HandedProcess("x", ProcessRecord(), child=HandedChild(7))
    dumped = codec().dump(process, HandedProcess, 0.0)
    assert "adoption" not in dumped["record"]
    assert "pidfd" not in dumped["child"]
    assert handed_over(process) == process
    record = ProcessRecord(last_exit=Exit(None, unknown="why"), adoption=Adoption(5, DAEMON))
    process = HandedProcess("x", record, child=HandedChild(7, pidfd=9))
    assert handed_over(process) == process
