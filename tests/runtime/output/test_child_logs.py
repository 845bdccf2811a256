"""Logs that are opened by the job that makes their child."""

from __future__ import annotations

import os
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import Recorder
from tests.kit.running import running
from trio_supervisor.core.config.model import ChannelConfig
from trio_supervisor.core.errors import SpawnFailed
from trio_supervisor.runtime.logs.log_opening import LogOpening
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.spawn import launcher
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio_supervisor.runtime.logs.sinks import Sink


class Disk:
    """A disk that does not answer until ``answers`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.answers, self.closed = (threading.Event() for _ in range(3))
        run, close = LogOpening.run, LogOpening.close

        def hanging(opening: LogOpening) -> None:
            self.asked.set()
            self.answers.wait()
            run(opening)

        def closing(opening: LogOpening) -> None:
            close(opening)
            self.closed.set()

        monkeypatch.setattr(LogOpening, "run", hanging)
        monkeypatch.setattr(LogOpening, "close", closing)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.answers.set()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    with closing(ProcessLauncher()) as recorder.host.launch:
        yield recorder


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the list
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


async def test_a_disk_that_does_not_answer_before_the_fork_fails_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, recorder: Recorder
) -> None:
    monkeypatch.setattr(launcher, "LOG_TIMEOUT", 0.01)
    log = tmp_path / "log"
    command = f"/bin/touch {tmp_path}/ran"
    group, x = recorder.process(command=command, stdout=ChannelConfig(str(log)), startretries=0)
    async with running(group, recorder.host):
        with pytest.raises(SpawnFailed):
            await x.start_once()
        assert x.spawn_error.endswith("ETIMEDOUT: " + f"{log}: its disk does not answer")
        disk.answers.set()
        await trio.to_thread.run_sync(disk.closed.wait)
        assert str(log) not in open_files()
    assert not (tmp_path / "ran").exists()


async def test_a_start_is_cancelled_while_its_logs_are_opened(
    tmp_path: Path, disk: Disk, recorder: Recorder
) -> None:
    log = tmp_path / "log"
    command = f"/bin/touch {tmp_path}/ran"
    group, x = recorder.process(command=command, stdout=ChannelConfig(str(log)))
    async with running(group, recorder.host):
        x.request_start()
        await trio.to_thread.run_sync(disk.asked.wait)
    disk.answers.set()
    await trio.to_thread.run_sync(disk.closed.wait)
    assert str(log) not in open_files()
    assert not (tmp_path / "ran").exists()


async def test_a_log_that_is_no_file_is_ready_before_the_child_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def refuse(sinks: Sinks, opening: LogOpening) -> list[Sink]:
        opening.close()
        raise OSError(11, os.strerror(11), str(fifo))

    monkeypatch.setattr(Sinks, "opened", refuse)
    command = f"/bin/touch {tmp_path}/ran"
    log = ChannelConfig(str(fifo), maxbytes=0)
    group, x = recorder.process(command=command, stdout=log, startretries=0)
    async with running(group, recorder.host):
        with pytest.raises(SpawnFailed):
            await x.start_once()
        assert "EAGAIN" in x.spawn_error
    os.close(reader)
    assert not (tmp_path / "ran").exists()
