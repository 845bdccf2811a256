"""Logs as a browser follows them and takes them home."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.runtime.logs.growth import LogWrites
from trio_supervisor.runtime.output.log_source import Watched
from trio_supervisor.web import sse
from trio_supervisor.web.pages.log_view import (
    HISTORY,
    PAINTED,
    TOO_FAR,
    FeedReader,
    LogFeed,
    painted_end,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[31mone\n")
    return path


@contextmanager
def feeding(log: Path) -> Iterator[LogFeed]:
    feed = LogFeed(Watched(FeedReader(str(log)), str(log), LogWrites()))
    yield feed
    feed.close()


async def read(feed: LogFeed) -> tuple[str, str]:
    event, content, _, _ = (await feed.read()).decode().split("\n")
    return event.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


async def test_what_there_is_then_what_comes(log: Path, autojump_clock: object) -> None:
    with feeding(log) as feed:
        assert await read(feed) == ("start", '<span class="a-t1">one</span>\n')
        append(log, b"two\x1b[0m\n")
        assert await read(feed) == ("more", '<span class="a-t1">two</span>\n')
        append(log, b"3\n")
        assert await read(feed) == ("more", "3\n")


async def test_a_silent_log_shows_signs_of_life(log: Path, autojump_clock: object) -> None:
    with feeding(log) as feed:
        await read(feed)
        assert await feed.read() == sse.KEEP_ALIVE


async def test_a_slow_page_skips_to_the_end(log: Path, autojump_clock: object) -> None:
    with feeding(log) as feed:
        await read(feed)
        append(log, b"x" * 2 * TOO_FAR + b"\nlast\n")
        kind, text = await read(feed)
        assert kind == "start"
        assert text.endswith("x\nlast\n")
        assert len(text) == HISTORY
        append(log, b"new\n")
        assert await read(feed) == ("more", "new\n")


async def test_over_http(log: Path) -> None:
    fake = FakeSupervisor("cat", "grp:<b>")
    fake.process("cat").stdout.logfile = str(log)
    fake.process("cat").stderr.logfile = str(log.parent / "none")
    append(log, b"x" * 300_000)
    async with talking(fake) as client:
        for target in (
            "/live/log",
            "/live/log?processname=zz",
            "/live/log?processname=grp:<b>".replace("<b>", "%3Cb%3E"),
            "/live/log?processname=cat&channel=stderr",
            "/log.txt?processname=zz",
            "/log.txt?processname=cat&channel=stderr",
        ):
            assert (await client.get(target)).status == 404
    async with talking(fake) as client:
        await client.send(b"GET /log.txt?processname=cat HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, headers = await client.head()
        assert headers["content-disposition"] == 'attachment; filename="stdout.log"'
        received = b""
        while chunk := await client.chunk():
            append(log, b"what comes later is not in it")
            received += chunk
        assert received == b"\x1b[31mone\n" + b"x" * 300_000
    async with talking(fake) as client:
        await client.send(b"GET /live/log?processname=cat HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, headers = await client.head()
        assert head == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream;charset=utf-8"
        assert (await client.chunk()).startswith(b"event: start\n")
        await trio.lowlevel.checkpoint()


def test_a_long_log_is_painted_in_pieces_that_fit(tmp_path: Path) -> None:
    """A character, a sequence and a style may reach over their ends."""
    log = tmp_path / "log"
    text = "é" * (PAINTED // 2 - 1) + "a" + "\x1b[1m" + "b" * PAINTED + "\x1b[0m<\n"
    log.write_text(text)
    painted = painted_end(str(log), 10 * PAINTED).decode()
    plain = painted.replace('<span class="a-bold">', "").replace("</span>", "")
    assert plain == "é" * (PAINTED // 2 - 1) + "a" + "b" * PAINTED + "&lt;\n"
    assert painted.count('<span class="a-bold">') in (1, 2)
    log.write_text("")
    assert painted_end(str(log), 10) == b""
