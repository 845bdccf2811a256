"""A process whose record was dumped to JSON is carried on with by another supervisor."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.daemon import eventually
from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill, program
from tests.kit.handing import handed_over
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart, ChannelConfig
from trio_supervisor.core.process.cause import BOOT, Cause, CauseKind
from trio_supervisor.core.process.exit import End, Exit, ResourceUsage
from trio_supervisor.core.process.record import Evidence, Intent, ProcessRecord, Transition
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.logs.missing import RETRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process


def fail_at_once(child: FakeChild) -> None:
    child.die(1)


def through_json(process: Process) -> ProcessRecord:
    """The record as the second supervisor gets it."""
    now = trio.current_time()
    return handed_over(process.record, now)


def handed(child: FakeChild) -> FakeChild:
    """The child with pipes of its own, as the first supervisor closes its descriptors."""
    for name in ("stdin", "stdout", "stderr"):
        fd = getattr(child, name)
        if fd is not None:
            setattr(child, name, os.dup(fd))
    return child


@asynccontextmanager
async def carried_on(
    config: ProcessConfig, first: Group, child: FakeChild | None
) -> AsyncIterator[tuple[Process, Recorder]]:
    """The process as the second supervisor has it, after the first has let go of the child."""
    record = through_json(first.processes[config.name])
    if child is not None:
        handed(child)
    first.close()
    await wait_all_tasks_blocked()
    recorder = Recorder()
    group = recorder.group(program("other", autostart=False))
    fresh = group.add(config, record=record, child=child)
    async with running(group, recorder.host):
        yield fresh, recorder


def test_a_record_is_the_same_after_json() -> None:
    cause = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")
    evidence = Evidence(pid=7, failures=2, exit=Exit(None, 9, True), expected=False, error="no")
    record = ProcessRecord(
        state=State.BACKOFF,
        pid=7,
        started=1.5,
        stopped=2.5,
        exit_status=-1,
        spawn_error="no",
        failures=2,
        spawns=3,
        last_exit=Exit(3),
        last_end=End(Exit(None, 11, True), False, 2.5, 0.5, "out", "err", ResourceUsage(1.5, 9)),
        requested_starts=1,
        automatic_restarts=2,
        failed_starts=3,
        intent=Intent.UP,
        intended_by=cause,
        transition=Transition(State.STARTING, State.BACKOFF, 2.5, cause, evidence),
        began_at=100.0,
        spawned_at=101.0,
        due=107.0,
    )
    assert handed_over(record, 105.0) == record
    later = handed_over(record, 105.0, 5.0)
    assert (later.began_at, later.due, later.deadline) == (0.0, 7.0, float("inf"))
    assert handed_over(ProcessRecord(), 9.0, 1.0) == ProcessRecord()


async def test_a_running_child_goes_on_and_its_end_is_that_of_any_child(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    config = program("x", autorestart=Autorestart.ALWAYS, stdout=ChannelConfig(logfile=str(log)))
    first = Recorder()
    group = first.group(config)
    x = group.processes["x"]
    async with running(group, first.host):
        await x.start()
        child = first.launcher.last
        child.write(b"before\n")
        await trio.sleep(9)
        eventually(lambda: log.read_text(), "the output in the log")  # each has a disk thread
        async with carried_on(config, group, child) as (fresh, second):
            assert (fresh.state, fresh.pid, fresh.uptime) == (State.RUNNING, child.pid, 10)
            await wait_all_tasks_blocked()
            child.write(b"after\n")
            fresh.send_stdin(b"word")
            assert os.read(child.stdin_reader, 10) == b"word"
            await trio.sleep(1)
            child.die(3)
            await fresh.wait_for(State.EXITED)
            assert fresh.history.last_exit == Exit(3)
            await fresh.wait_for(State.RUNNING)
            assert fresh.history.restarts == 1
            assert second.moves[:2] == [
                "EXITED from_state:RUNNING expected:0 pid:1000",
                "STARTING from_state:EXITED tries:0",
            ]
            assert log.read_text() == "before\nafter\n"
            await fresh.stop()


async def test_a_starting_child_is_promoted_when_the_rest_of_startsecs_is_over(
    autojump_clock: MockClock,
) -> None:
    config = program("x", startsecs=10)
    first = Recorder()
    group = first.group(config)
    x = group.processes["x"]
    async with running(group, first.host):
        await x.start(wait=False)
        await trio.sleep(4)
        before = trio.current_time()
        async with carried_on(config, group, first.launcher.last) as (fresh, _):
            await fresh.wait_for(State.RUNNING)
            assert trio.current_time() - before == pytest.approx(6)
            await fresh.stop()


async def test_a_stopping_child_is_killed_at_the_deadline_that_it_had(
    autojump_clock: MockClock,
) -> None:
    config = program("x", stopwaitsecs=10)
    first = Recorder()
    group = first.group(config)
    x = group.processes["x"]
    async with running(group, first.host):
        await x.start()
        child = first.launcher.last
        child.on_signal = ignore_all_but_kill
        await x.stop(wait=False)
        await trio.sleep(3)
        before = trio.current_time()
        async with carried_on(config, group, child) as (fresh, _):
            await fresh.stop()  # joins
            assert trio.current_time() - before == pytest.approx(7)
            assert child.signals == [signal.SIGTERM, signal.SIGKILL]
            assert fresh.state is State.STOPPED
            assert fresh.record.intended_by == Cause(CauseKind.REQUEST, "python")


async def test_a_retry_that_is_due_is_made(autojump_clock: MockClock) -> None:
    config = program("x", startretries=5)
    first = Recorder()
    first.launcher.prepare = fail_at_once
    group = first.group(config)
    x = group.processes["x"]
    async with running(group, first.host):
        x.begin(BOOT)
        await x.wait_for(State.BACKOFF)
        await x.wait_for(State.STARTING)
        await x.wait_for(State.BACKOFF)
        await trio.sleep(0.5)
        before = trio.current_time()
        async with carried_on(config, group, None) as (fresh, second):
            await fresh.wait_for(State.RUNNING)
            assert second.launcher.times == [pytest.approx(before + 1.5)]
            assert second.moves[0] == "STARTING from_state:BACKOFF tries:2"
            await fresh.stop()


@pytest.mark.behaviour("upgrade.md#logs-are-opened-again")
async def test_a_child_whose_log_cannot_be_opened_goes_on_until_it_can(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    config = program("x", stdout=ChannelConfig(logfile=str(tmp_path / "logs" / "log")))
    first = Recorder()
    group = first.group(config)
    x = group.processes["x"]
    async with running(group, first.host):
        await x.start()
        child = first.launcher.last
        (tmp_path / "logs").rename(tmp_path / "elsewhere")
        async with carried_on(config, group, child) as (fresh, second):
            await wait_all_tasks_blocked()
            child.write(b"word\n")
            await trio.sleep(1)
            assert fresh.state is State.RUNNING
            (tmp_path / "elsewhere").rename(tmp_path / "logs")
            await trio.sleep(RETRY)
            child.write(b"another\n")
            await wait_all_tasks_blocked()
            await fresh.stop()
    log = tmp_path / "logs" / "log"
    assert log.read_text() == "another\n"
    told = [line for line in second.lines if "log " in line]
    assert told == [
        f"ERRO cannot write log {log}: No such file or directory; output is dropped until it works",
        f"INFO log {log} works again; 5 bytes were dropped",
    ]
