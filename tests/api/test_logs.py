"""Logs by the API: their ends, and how they grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.api import ROOT, change, read
from tests.kit.fake_supervisor import FakeActivity, FakeSupervisor
from tests.kit.web import request, talking

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


@pytest.mark.parametrize("follow", ["", "/follow"])
async def test_no_log(fake: FakeSupervisor, log: Path, follow: str) -> None:
    async with talking(fake) as client:
        error = await read(client, f"/processes/mute/logs/stdout{follow}", status=404)
        assert (error["code"], error["fault"]) == ("NO_FILE", 20)
        assert error["message"] == "mute has no log of its stdout: none is configured"
        assert "last_output" in error["hint"]
        assert (await read(client, f"/processes/zz/logs/stdout{follow}", status=404))["fault"] == 10
        fake.process("cat").stdout.logfile = "/dev/null"
        error = await read(client, f"{STDOUT}{follow}", status=409)
        assert error["code"] == "FAILED"
        assert "/dev/null" in error["message"]
        unlink(log)
        error = await read(client, f"/daemon/log{follow}", status=404)
        assert error["message"] == f"there is no file {log} yet"
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
