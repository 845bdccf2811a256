"""Streams of logs."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit import daemon
from tests.kit.daemon import PATIENCE
from tests.kit.fake_supervisor import FakeActivity, FakeSupervisor
from tests.kit.web import request, talking
from trio_supervisor.runtime.logs.growth import LOOK, LogWrites
from trio_supervisor.runtime.logs.logfollow import CHUNK, LogFollower
from trio_supervisor.runtime.output.log_source import FollowedLog, Watched


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def rename(path: Path) -> None:
    path.rename(f"{path}.1")


def unlink(path: Path) -> None:
    path.unlink()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"begin\n")
    return path


@pytest.fixture
def fake(log: Path) -> FakeSupervisor:
    fake = FakeSupervisor("cat", "grp:gb", "é")
    fake.process("cat").stdout.logfile = str(log)
    fake.process("grp:gb").stderr.logfile = str(log)
    fake.process("é").stdout.logfile = str(log)
    fake.activity = FakeActivity(str(log))
    return fake


class EnoughError(Exception):
    """Many looks found nothing."""


class Looks:
    """Counts them instead of waiting for time, which says nothing of what a thread has done."""

    def __init__(self) -> None:
        self.left = 50

    async def wait(self, *, at_most: float) -> None:
        await trio.lowlevel.checkpoint()
        self.left -= 1
        if not self.left:
            raise EnoughError


def follow(log: Path) -> FollowedLog:
    """Follow a log that this program does not write."""
    follower = LogFollower(str(log))
    return FollowedLog(follower, Watched(follower, str(log), LogWrites()))


async def nothing_more(tail: FollowedLog) -> bool:
    """Whether many looks find nothing."""
    watched = tail._watched
    usual, watched._growth = watched._growth, Looks()  # type: ignore[assignment]  # it has the method
    with pytest.raises(EnoughError):
        await tail.read()
    watched._growth = usual
    return True


@pytest.mark.behaviour("http.md#content-of-log-streams")
async def test_a_stream_begins_with_the_end_of_the_log(
    log: Path, autojump_clock: MockClock
) -> None:
    write(log, bytes(range(256)) * 6)
    tail = follow(log)
    assert await tail.read() == (bytes(range(256)) * 6)[-1024:]
    assert await nothing_more(tail)
    tail.close()


@pytest.mark.behaviour("http.md#content-of-log-streams")
async def test_appended_bytes_are_sent(log: Path, autojump_clock: MockClock) -> None:
    tail = follow(log)
    assert await tail.read() == b"begin\n"
    for data in (b"new line\n", b"\xff\x00raw", b"x" * 10_000):
        append(log, data)
        assert await tail.read() == data
    append(log, b"y" * (CHUNK + 1))
    assert await tail.read() == b"y" * CHUNK
    assert await tail.read() == b"y"
    tail.close()


@pytest.mark.behaviour("http.md#rotation-and-truncation-under-a-stream")
async def test_a_truncation_is_told(log: Path, autojump_clock: MockClock) -> None:
    tail = follow(log)
    assert await tail.read() == b"begin\n"
    write(log, b"")
    assert await tail.read() == b"==> File truncated <==\n"
    append(log, b"again")
    assert await tail.read() == b"again"
    write(log, b"abc")
    assert await tail.read() == b"==> File truncated <==\n"
    assert await tail.read() == b"abc"
    tail.close()


@pytest.mark.behaviour("http.md#rotation-and-truncation-under-a-stream")
async def test_a_stream_follows_a_rotation(log: Path, autojump_clock: MockClock) -> None:
    tail = follow(log)
    assert await tail.read() == b"begin\n"
    append(log, b"last words\n")
    rename(log)
    append(log, b"fresh\n")
    assert await tail.read() == b"last words\n"  # the old file to its end
    assert await tail.read() == b"fresh\n"
    unlink(log)
    assert await nothing_more(tail)
    write(log, b"third\n")
    assert await tail.read() == b"third\n"
    rename(log)
    assert await nothing_more(tail)
    append(log.with_name("log.1"), b"still the old one\n")
    assert await tail.read() == b"still the old one\n"
    tail.close()


async def test_replaced_by_something_that_cannot_be_followed(
    log: Path, autojump_clock: MockClock
) -> None:
    tail = follow(log)
    assert await tail.read() == b"begin\n"
    unlink(log)
    os.mkfifo(log)
    assert await nothing_more(tail)
    unlink(log)
    write(log, b"back\n")
    assert await tail.read() == b"back\n"
    tail.close()


@pytest.mark.behaviour("http.md#addresses-of-log-streams")
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/logtail", 404),
        ("/logtail/", 404),
        ("/logtail/zz", 404),
        ("/logtail/cat/bogus", 404),
        ("/logtail/cat/stdout/x", 404),
        ("/logtail/grp:*", 404),
        ("/logtail/cat/stderr", 404),
        ("/logtail/grp:gb", 404),
        ("/logtailcat", 404),
        ("/logtail/cat", 200),
        ("/logtail/cat/stdout?x=y", 200),
        ("/logtail/cat:cat/stdout", 200),
        ("/logtail/grp%3Agb/stderr", 200),
        ("/logtail/%C3%A9", 200),
        ("/mainlogtail", 200),
        ("/mainlogtail?x", 200),
    ],
)
async def test_addresses_of_streams(fake: FakeSupervisor, target: str, status: int) -> None:
    async with talking(fake) as client:
        assert (await client.get(target, method="HEAD")).status == status


@pytest.mark.behaviour("http.md#addresses-of-log-streams")
async def test_raw_utf8_in_the_address(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send("GET /logtail/é HTTP/1.1\r\n\r\n".encode())
        assert (await client.head())[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("change", [unlink, os.mkfifo])
async def test_missing_and_special_files(
    fake: FakeSupervisor, log: Path, change: Callable[[Path], None]
) -> None:
    unlink(log)
    if change is os.mkfifo:
        os.mkfifo(log)
    async with talking(fake) as client:
        assert (await client.get("/logtail/cat")).status == 404
        assert (await client.get("/mainlogtail")).status == 404  # the connection goes on


@pytest.mark.behaviour("http.md#content-of-log-streams")
async def test_a_stream_on_the_wire(fake: FakeSupervisor, log: Path) -> None:
    """The request as supervisorctl's reader sends it, with its stray line."""
    write(log, b"x" * 1500)
    async with talking(fake) as client:
        await client.send(
            b"GET /logtail/cat/stdout HTTP/1.1\r\nHost: \r\nAccept-Encoding: chunked\r\n"
            b"Accept: */*\r\nUser-agent: Supervisor HTTP Client\r\n\r\n\r\n"
        )
        first, headers = await client.head()
        assert first.split(" ", 2) == ["HTTP/1.1", "200", "OK"]
        assert headers["transfer-encoding"] == "chunked"
        assert headers["content-type"] == "text/plain;charset=utf-8"
        assert headers["x-accel-buffering"] == "no"
        assert headers["last-modified"].endswith(" GMT")
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-length" not in headers
        assert await client.until(b"\r\n") == b"400\r\n"
        assert await client.exactly(1026) == b"x" * 1024 + b"\r\n"
        append(log, b"new line\n")
        assert await client.until(b"\r\n") == b"9\r\n"
        assert await client.exactly(11) == b"new line\n\r\n"
        append(log, b"z" * 10_000)
        received = b""
        while len(received) < 10_000:  # a reader may see a write of several pages in parts
            size = int(await client.until(b"\r\n"), 16)
            received += (await client.exactly(size + 2))[:size]
        assert received == b"z" * 10_000


async def test_headers_come_at_once_even_without_data(fake: FakeSupervisor, log: Path) -> None:
    write(log, b"")
    async with talking(fake) as client:
        await client.send(request("/mainlogtail"))
        assert (await client.head())[0] == "HTTP/1.1 200 OK"


@pytest.mark.behaviour("http.md#content-of-log-streams")
@pytest.mark.parametrize(
    "sent",
    [
        request("/logtail/cat", version="1.0"),
        request("/logtail/cat", "Connection: keep-alive", version="1.0"),
        request("/logtail/cat", "Connection: close"),
    ],
    ids=["1.0", "1.0-keep-alive", "close"],
)
async def test_streams_without_chunks(fake: FakeSupervisor, log: Path, sent: bytes) -> None:
    async with talking(fake) as client:
        await client.send(sent)
        _, headers = await client.head()
        assert "transfer-encoding" not in headers
        assert headers["connection"] == "close"
        assert await client.exactly(6) == b"begin\n"
        append(log, b"more")
        assert await client.exactly(4) == b"more"


@pytest.mark.behaviour("http.md#rotation-and-truncation-under-a-stream")
async def test_main_log_survives_clearing(fake: FakeSupervisor, log: Path) -> None:
    async with talking(fake) as client:
        await client.send(request("/mainlogtail"))
        await client.head()
        assert await client.chunk() == b"begin\n"
        assert fake.activity is not None
        await fake.activity.clear()
        assert await client.chunk() == b"new\n"


async def test_a_stream_ends_when_the_client_leaves(
    fake: FakeSupervisor, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = trio.Event()
    close = FollowedLog.close

    def spy(tail: FollowedLog) -> None:
        close(tail)
        closed.set()

    monkeypatch.setattr(FollowedLog, "close", spy)
    async with talking(fake) as client:
        await client.send(request("/logtail/cat"))
        await client.head()
        assert await client.chunk() == b"begin\n"
        await client.send(b"stray bytes\r\n")
        append(log, b"more")
        assert await client.chunk() == b"more"
        assert not closed.is_set()
        client.sock.close()
        with trio.fail_after(PATIENCE):
            await closed.wait()
    assert fake.lines == []


@pytest.mark.behaviour("http.md#shutdown-and-restart-by-xml-rpc", "http.md#end-of-log-streams")
async def test_streams_end_with_the_daemon(fake: FakeSupervisor) -> None:
    """The last chunk, then the end of the connection: supervisorctl waits for it."""
    async with talking(fake) as client:
        await client.send(request("/logtail/cat"))
        await client.head()
        assert await client.chunk() == b"begin\n"
        await wait_all_tasks_blocked()
        client.end_server()
        assert await client.rest() == b"0\r\n\r\n"


async def test_a_paused_reader_is_waited_for(
    fake: FakeSupervisor, log: Path, mock_clock: MockClock
) -> None:
    async with talking(fake) as client:

        def is_behind() -> bool:
            """Whether more waits for the client than one look at the log brings."""
            waiting = fcntl.ioctl(client.sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
            return int.from_bytes(waiting, sys.byteorder) > CHUNK

        await client.send(request("/logtail/cat"))
        await client.head()
        assert await client.chunk() == b"begin\n"
        append(log, b"x" * 2_000_000)
        while not is_behind():
            mock_clock.jump(LOOK)
            # Real time, which the thread that reads needs.
            await trio.to_thread.run_sync(time.sleep, daemon.LOOK)
        mock_clock.jump(20 * 3600)
        got = 0
        while got < 2_000_000:
            got += len(await client.chunk())
        assert got == 2_000_000


@pytest.mark.parametrize("hanging", ["__init__", "poll"])
@pytest.mark.parametrize("target", ["/logtail/cat", "/log.txt?channel=main"])
async def test_a_disk_that_hangs_holds_up_no_other_request(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch, target: str, hanging: str
) -> None:
    """Neither when the log is opened nor when it is followed."""
    works, reached, real = threading.Event(), threading.Event(), getattr(LogFollower, hanging)

    def hang(*arguments: Any, **options: Any) -> Any:
        reached.set()
        assert works.wait(PATIENCE)
        return real(*arguments, **options)

    monkeypatch.setattr(LogFollower, hanging, hang)
    async with talking(fake) as client, talking(fake) as other:
        await client.send(request(target))
        assert await trio.to_thread.run_sync(reached.wait, PATIENCE)
        assert (await other.get("/ok.html")).status == 200
        works.set()
        assert (await client.head())[0] == "HTTP/1.1 200 OK"
    assert fake.lines == []
