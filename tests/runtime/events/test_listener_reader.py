"""The stdout of an event listener: heard at once, logged a little later."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import Recorder, program
from tests.kit.running import running
from trio_supervisor.core.config.model import (
    ChannelConfig,
    DaemonConfig,
    GroupConfig,
    GroupKind,
    PoolConfig,
    Severity,
)
from trio_supervisor.core.process.states import ListenerState
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT
from trio_supervisor.runtime.output.pipe import CHUNK
from trio_supervisor.runtime.system.fd_poller import BEAT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest
    from trio.testing import MockClock

    from trio_supervisor.runtime.logs.log_opening import LogOpening


class Log:
    """A log target that remembers, and may be slow."""

    broken = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.backlog = 0
        self.has_room = trio.Event()

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def room(self) -> None:
        await self.has_room.wait()
        self.backlog = 0

    async def settled(self) -> None: ...

    def close(self) -> None: ...


class Stage:
    def __init__(self, recorder: Recorder, group: Group, log: Log) -> None:
        self.recorder = recorder
        self.group = group
        self.log = log

    async def say(self, data: bytes) -> None:
        self.recorder.launcher.last.write(data)
        await wait_all_tasks_blocked()

    @property
    def ready(self) -> bool:
        assert self.group.pool is not None
        [(_, state)] = self.group.pool.listeners
        return state is ListenerState.READY


@asynccontextmanager
async def listener(
    directory: Path, monkeypatch: pytest.MonkeyPatch, loglevel: Severity = Severity.INFO
) -> AsyncIterator[Stage]:
    recorder, log = Recorder(DaemonConfig(loglevel=loglevel)), Log()

    def opened(opening: LogOpening) -> list[Log]:
        opening.close()
        return [log]

    monkeypatch.setattr(recorder.host.sinks, "opened", opened)
    stdout = ChannelConfig(f"{directory}/listener.log", events_enabled=True, capture_maxbytes=1000)
    config = GroupConfig(
        name="p",
        kind=GroupKind.POOL,
        pool=PoolConfig(events=frozenset({"TICK_5"})),
        processes=(program("l", startsecs=0, stdout=stdout),),
    )
    group = Group(config, recorder.host)
    async with running(group, recorder.host):
        await group.processes["l"].start()
        yield Stage(recorder, group, log)


async def test_answers_are_heard_at_once_and_logged_together(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Listener output is also written, raw, to its log."""
    async with listener(tmp_path, monkeypatch) as stage:
        await stage.say(b"REA")
        await stage.say(b"DY\n")
        assert stage.ready
        assert stage.log.written == []
        mock_clock.jump(2 * BEAT)
        await wait_all_tasks_blocked()
        assert stage.log.written == [b"READY\n"]
        await stage.say(b"x\xff\x1b[0m")
        mock_clock.jump(2 * BEAT)
        await wait_all_tasks_blocked()
        assert stage.log.written == [b"READY\n", b"x\xff\x1b[0m"]


async def test_what_was_not_logged_at_the_end_is_then(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listener(tmp_path, monkeypatch) as stage:
        await stage.say(b"last")
        stage.recorder.launcher.last.die()
        await wait_all_tasks_blocked()
        assert stage.log.written == [b"last"]


async def test_much_is_logged_without_waiting(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listener(tmp_path, monkeypatch) as stage:
        piece = b"x" * 50_000  # a pipe's worth, nearly
        for _ in range(CHUNK // len(piece) + 1):
            await stage.say(piece)
        assert [len(data) for data in stage.log.written] == [150_000]


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
async def test_a_listener_is_read_no_further_than_its_log_gets(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listener(tmp_path, monkeypatch) as stage:
        stage.log.backlog = BACKLOG_LIMIT
        await stage.say(b"REA")
        await stage.say(b"DY\n")
        assert not stage.ready
        stage.log.has_room.set()
        await wait_all_tasks_blocked()
        assert stage.ready


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
async def test_a_log_that_became_slow_by_what_was_gathered(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listener(tmp_path, monkeypatch) as stage:
        await stage.say(b"R")
        await stage.say(b"E")
        mock_clock.jump(2 * BEAT)
        await wait_all_tasks_blocked()
        assert stage.log.written == [b"RE"]
        stage.log.backlog = BACKLOG_LIMIT
        await stage.say(b"A")
        await stage.say(b"DY\n")
        assert not stage.ready
        stage.log.has_room.set()
        await wait_all_tasks_blocked()
        assert stage.ready


@pytest.mark.behaviour("process.md#capture-mode")
async def test_its_stdout_is_no_event(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Process.md: neither captured nor an event, whatever the options say."""
    async with listener(tmp_path, monkeypatch) as stage:
        await stage.say(b"<!--XSUPERVISOR:BEGIN-->a<!--XSUPERVISOR:END-->")
        mock_clock.jump(2 * BEAT)
        await wait_all_tasks_blocked()
        names = [event.name for event in stage.recorder.events]
        assert names == ["PROCESS_STATE_STARTING", "PROCESS_STATE_RUNNING"]
        assert stage.log.written == [b"<!--XSUPERVISOR:BEGIN-->a<!--XSUPERVISOR:END-->"]


async def test_its_end_of_stdout_is_noticed(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listener(tmp_path, monkeypatch, Severity.DEBUG) as stage:
        stage.recorder.launcher.last.close_stdout()
        await wait_all_tasks_blocked()
        ends = [line for line in stage.recorder.lines if "stopped monitoring <l stdout>" in line]
        assert len(ends) == 1
