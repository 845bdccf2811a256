"""Logs by the API: their ends, and how they grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.api import ROOT, change, read
from tests.kit.fake_supervisor import FakeActivity, FakeSupervisor
from tests.kit.web import request, talking
from trio_supervisor.runtime.output.subscriptions import Subscriptions
from trio_supervisor.runtime.output.tail_buffer import TailBuffer

STDOUT = "/processes/cat/logs/stdout"


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def unlink(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(f"{path}.1")


def mkdir(path: Path) -> None:
    path.mkdir()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n\xff\x1b[31mthree\nfour")
    return path


@pytest.fixture
def fake(log: Path) -> FakeSupervisor:
    fake = FakeSupervisor("cat", "mute")
    fake.process("cat").stdout.logfile = str(log)
    fake.activity = FakeActivity(str(log))
    return fake


@pytest.mark.behaviour("http.md#logs-of-the-json-api")
@pytest.mark.parametrize("path", [STDOUT, "/daemon/log"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", b"one\ntwo\n\xff\x1b[31mthree\nfour"),
        ("?lines=1", b"four"),
        ("?lines=3", b"two\n\xff\x1b[31mthree\nfour"),
        ("?lines=0", b""),
        ("?bytes=0", b""),
        ("?bytes=6", b"e\nfour"),
        ("?bytes=1000", b"one\ntwo\n\xff\x1b[31mthree\nfour"),
        ("?lines=2&bytes=6", b"e\nfour"),
        ("?lines=1&bytes=1000", b"four"),
    ],
)
async def test_the_end_of_a_log(
    fake: FakeSupervisor, path: str, query: str, expected: bytes
) -> None:
    async with talking(fake) as client:
        reply = await client.get(f"{ROOT}{path}{query}")
        assert (reply.status, reply.body) == (200, expected)
        assert reply.headers["content-type"] == "text/plain;charset=utf-8"
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [STDOUT, "/daemon/log"])
async def test_a_log_as_it_grows(fake: FakeSupervisor, log: Path, path: str) -> None:
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}{path}/follow?lines=2"))
        head, headers = await client.head()
        assert head == "HTTP/1.1 200 OK"
        assert headers["x-accel-buffering"] == "no"
        assert await client.chunk() == b"\xff\x1b[31mthree\nfour"
        append(log, b" and more\n")
        assert await client.chunk() == b" and more\n"


async def test_a_log_followed_from_its_end(fake: FakeSupervisor, log: Path) -> None:
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}{STDOUT}/follow?bytes=0"))
        await client.head()
        append(log, b"new")
        assert await client.chunk() == b"new"


@pytest.mark.behaviour("http.md#logs-of-the-json-api")
async def test_backups_belong_to_the_end(fake: FakeSupervisor, log: Path) -> None:
    rename(log)
    write(log, b" more\nfive\n")
    async with talking(fake) as client:
        reply = await client.get(f"{ROOT}{STDOUT}?lines=3")
        assert reply.body == b"\xff\x1b[31mthree\nfour more\nfive\n"
        await client.send(request(f"{ROOT}{STDOUT}/follow?lines=2"))
        await client.head()
        assert await client.chunk() == b"four"
        assert await client.chunk() == b" more\nfive\n"
        append(log, b"six\n")
        assert await client.chunk() == b"six\n"


@pytest.mark.parametrize(
    ("written", "query", "expected"),
    [
        (0, "", b""),
        (4, "", b"four"),
        (6, "", b"four"),  # the line before was not written whole
        (1000, "", b"one\ntwo\n\xff\x1b[31mthree\nfour"),
        (1000, "&lines=1", b"four"),
        (1000, "&bytes=6", b"e\nfour"),
    ],
)
async def test_what_was_written_lately(
    fake: FakeSupervisor, written: int, query: str, expected: bytes
) -> None:
    fake.process("cat").stdout.written = {60: written}
    async with talking(fake) as client:
        assert (await client.get(f"{ROOT}{STDOUT}?since=60{query}")).body == expected


@pytest.mark.behaviour("http.md#logs-of-the-json-api")
async def test_a_stream_that_broke_off_goes_on(fake: FakeSupervisor, log: Path) -> None:
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}{STDOUT}/follow?lines=2"))
        _, headers = await client.head()
        got = await client.chunk()
    start, _, offset = headers["x-log-position"].rpartition("-")
    append(log, b" is the last\n")
    rename(log)
    write(log, b"new file\n")
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}{STDOUT}/follow?after={start}-{int(offset) + len(got)}"))
        await client.head()
        assert await client.chunk() == b" is the last\n"
        assert await client.chunk() == b"new file\n"
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}{STDOUT}/follow?after=1-2-3"))
        await client.head()
        assert await client.chunk() == b"new file\n"
    async with talking(fake) as client:
        await read(client, f"{STDOUT}/follow?after=x", status=400)


@pytest.mark.behaviour("http.md#logs-of-the-json-api")
async def test_output_that_goes_to_no_file(fake: FakeSupervisor) -> None:
    channel = fake.process("mute").stdout
    for channel.logfile in (None, "/dev/null", "/none/yet"):
        channel.tail = TailBuffer()
        channel.tail.feed(b"one\ntwo\n")
        channel.written = {60: 4}
        async with talking(fake) as client:
            path = f"{ROOT}/processes/mute/logs/stdout"
            assert (await client.get(path)).body == b"one\ntwo\n"
            assert (await client.get(f"{path}?since=60")).body == b"two\n"
            await client.send(request(f"{path}/follow?lines=1"))
            await client.head()
            assert await client.chunk() == b"two\n"
            channel.subscriptions.feed(b"three\n")
            assert await client.chunk() == b"three\n"
            channel.subscriptions.end()
            assert await client.rest() == b"0\r\n\r\n"
        channel.subscriptions = Subscriptions()


@pytest.mark.parametrize("follow", ["", "/follow"])
async def test_no_log(fake: FakeSupervisor, log: Path, follow: str) -> None:
    async with talking(fake) as client:
        process = fake.process("mute")
        process.config = replace(process.config, redirect_stderr=True)
        error = await read(client, f"/processes/mute/logs/stderr{follow}", status=404)
        assert (error["code"], error["fault"]) == ("NO_FILE", 20)
        assert error["message"] == "mute has no log of its stderr: it goes to stdout"
        assert "last_output" in error["hint"]
        assert (await read(client, f"/processes/zz/logs/stdout{follow}", status=404))["fault"] == 10
        unlink(log)
        error = await read(client, f"/daemon/log{follow}", status=404)
        assert error["message"] == f"there is no file {log} yet"
        mkdir(log)
        error = await read(client, f"/daemon/log{follow}", status=409)
        assert error["code"] == "FAILED"
        assert str(log) in error["message"]
        fake.activity = None
        assert (await read(client, f"/daemon/log{follow}", status=404))["code"] == "NO_FILE"


async def test_clearing(fake: FakeSupervisor, log: Path) -> None:
    async with talking(fake) as client:
        assert await change(client, "/processes/cat/logs/clear") == {"done": True}
        assert content(log) == b""
        write(log, b"again")
        results = await change(client, "/all/logs/clear")
        assert [(r["full_name"], r["error"]) for r in results] == [("cat", None), ("mute", None)]
        assert content(log) == b""
        fake.process("cat").stdout.broken = True
        (result,) = await change(client, "/groups/cat/logs/clear")
        assert result["error"]["code"] == "FAILED"
        error = await change(client, "/processes/cat/logs/clear", status=409)
        assert error["message"] == f"cannot clear {log}: Permission denied"
        assert await change(client, "/daemon/log/clear") == {"done": True}
        assert content(log) == b"new\n"
