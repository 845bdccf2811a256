"""No thread can be started: an error like that of any other resource, and work that goes on."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest
import trio
from trio.lowlevel import start_thread_soon

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.logs.activity import open_activity_log
from trio_supervisor.runtime.system.threads import (
    REASON,
    NoThread,
    in_thread,
    in_thread_if_possible,
    start,
)


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a limit of processes that is reached, and no idle thread of trio's left."""

    def fail(*arguments: object, **options: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    assert start_thread_soon is trio.lowlevel.start_thread_soon
    monkeypatch.setattr("threading.Thread.start", fail)
    monkeypatch.setattr("trio._threads.start_thread_soon", fail)


@pytest.mark.usefixtures("exhausted")
async def test_the_error_is_that_of_a_resource() -> None:
    with pytest.raises(NoThread, match=REASON):
        start(threading.Thread(target=print))
    with pytest.raises(NoThread, match=REASON) as raised:
        await in_thread(print)
    assert isinstance(raised.value, OSError)
    assert not isinstance(raised.value, BlockingIOError)


async def test_errors_of_what_runs_in_a_thread_are_its_own() -> None:
    def fail() -> NoReturn:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await in_thread(fail)


@pytest.mark.usefixtures("exhausted")
async def test_what_must_be_done_is_done_without_a_thread() -> None:
    assert await in_thread_if_possible(threading.get_ident) == threading.get_ident()


async def test_it_is_done_in_a_thread_if_there_is_one() -> None:
    assert await in_thread_if_possible(threading.get_ident) != threading.get_ident()


@pytest.mark.usefixtures("exhausted")
async def test_a_daemon_that_cannot_start_its_log_says_why(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError, match=f"cannot open the log {fifo}: {REASON}"):
        open_activity_log(DaemonConfig(logfile=str(fifo)), foreground=False)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(reader)


@pytest.mark.usefixtures("exhausted")
@pytest.mark.parametrize("target", ["/", "/api/v1/processes", "/metrics"])
async def test_pages_and_answers_come_without_measurements(target: str) -> None:
    fake = FakeSupervisor("cat")
    fake.process("cat").run()
    async with talking(fake) as client:
        assert (await client.get(target)).status == 200
    assert fake.lines == []


@pytest.mark.usefixtures("exhausted")
async def test_an_answer_that_needs_a_thread_is_refused_in_one_line() -> None:
    fake = FakeSupervisor("cat")
    body = b" " * 20_000
    async with talking(fake) as client:
        assert (await client.post("/RPC2", body)).status == 503
    assert fake.lines == [f"ERROR cannot answer POST '/RPC2': {REASON}"]
