"""The page of the logs of a process, as a browser without JavaScript gets it."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from tests.kit.daemon import PATIENCE
from tests.kit.fake_supervisor import NOW, FakeActivity, FakeSupervisor
from tests.kit.web import talking
from tests.web.pages.test_pages import Page
from trio_supervisor.core.logs.times import When
from trio_supervisor.runtime.logs import history
from trio_supervisor.web import sse
from trio_supervisor.web.pages import lines_feed, lines_page
from trio_supervisor.web.pages.lines_view import shown_time

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.web import Client

pytestmark = pytest.mark.behaviour("http.md#the-page-of-a-log")
ROW = re.compile(r'<div class="line (\w+)( found)?"[^>]*>.*?<span class="text">(.*?)</span></div>')


@pytest.fixture
def fake(tmp_path: Path) -> FakeSupervisor:
    fake = FakeSupervisor("cat", "off", "one")
    for name, late in (("stdout", 0), ("stderr", 1)):
        channel = getattr(fake.process("cat"), name)
        path = tmp_path / name
        path.write_bytes(b"".join(b"%s %d\n" % (name.encode(), n) for n in range(1, 6)))
        channel.logfile = str(path)
        channel.tail.feed(path.read_bytes())
        channel.stretches = [(9 * n, NOW + 2 * n + late, NOW + 2 * n + late) for n in range(5)]
    one = fake.process("one").stdout
    one.logfile = str(tmp_path / "one")
    (tmp_path / "one").write_bytes(b"\x1b[31m<red>\x1b[0m \xff\x00\x07\r\nhalf")
    return fake


async def shown(client: Client, target: str, status: int = 200) -> str:
    reply = await client.get(target)
    assert reply.status == status, reply.head
    return reply.body.decode()


def rows(text: str) -> list[str]:
    return [match[3] for match in ROW.finditer(text)]


ALL = [f"{name} {n}" for n in range(1, 6) for name in ("stdout", "stderr")]


async def test_both_outputs_in_order_with_times(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=cat")
    assert rows(text) == ALL
    assert [match[1] for match in ROW.finditer(text)] == ["stdout", "stderr"] * 5
    assert f">{time.strftime('%H:%M:%S', time.localtime(NOW))}.000</time>" in text
    assert text.count('class="day"') == 1
    page = Page(text)
    assert page.links["stderr"] == "log.html?processname=cat&output=stderr"
    assert page.links["Download stderr"] == "log.txt?processname=cat&channel=stderr"
    assert "This is the first line that is kept" in page.text
    assert "Earlier lines" not in page.links
    assert page.links["Refresh"] == "log.html?processname=cat"


async def test_one_output(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=cat&output=stderr")
        assert rows(text) == ALL[1::2]
        assert 'class="lines one"' in text
        page = Page(await shown(client, "/log.html?processname=one"))
        assert "stderr" not in page.links
        assert page.links["Download"] == "log.txt?processname=one&channel=stdout"


async def test_links_lead_to_every_line(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_page, "LINES", 4)
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=cat")
        assert rows(text) == ALL[-4:]
        page = Page(text)
        assert "Later lines" not in page.links
        text = await shown(client, "/" + page.links["Earlier lines"])
        assert rows(text) == ALL[2:6]
        page = Page(text)
        assert rows(await shown(client, "/" + page.links["Later lines"])) == ALL[-4:]
        assert rows(await shown(client, "/" + page.links["Newest"])) == ALL[-4:]
        text = await shown(client, "/" + page.links["Earlier lines"])
        assert rows(text) == ALL[:2]
        assert "This is the first line that is kept" in text
        text = await shown(client, "/" + page.links["Oldest"])
        assert rows(text) == ALL[:4]
        assert rows(await shown(client, "/" + Page(text).links["Later lines"])) == ALL[4:8]


async def test_what_programs_write_is_harmless(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=one")
    assert '<span class="a-t1">&lt;red&gt;</span> \ufffd\ufffd\ufffd</span>' in text
    assert "<red>" not in text
    assert 'data-part=""' in text
    assert "\x1b" not in text


async def test_a_place_that_is_gone(fake: FakeSupervisor, tmp_path: Path) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=cat&output=stdout")
        place = re.search(r'data-end="([^"]+)"', text)
        assert place is not None
        (tmp_path / "stdout").write_text("anew\n")
        for field in ("before", "after", "at"):
            target = f"/log.html?processname=cat&output=stdout&{field}={place[1]}"
            assert "not kept any more" in await shown(client, target)
        # What is no place means the end of the log.
        assert rows(await shown(client, "/log.html?processname=cat&output=stdout&before=x")) == [
            "anew"
        ]


async def test_logs_without_a_file(fake: FakeSupervisor) -> None:
    fake.process("off").stderr.tail.feed(b"<last> words\n")
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=off")
        assert "off has no log file" in text
        assert "&lt;last&gt; words" in text
        assert "data-live" not in text
        text = await shown(client, "/log.html?processname=caat", 404)
        assert Page(text).links["cat"] == "log.html?processname=cat"
        assert "The supervisor has no log file" in await shown(client, "/log.html?channel=main")
        assert "No process named" in await shown(client, "/log.html", 404)
        for target in ("off", "none"):
            await shown(client, f"/live/lines?processname={target}", 404)


async def test_the_supervisors_own_log(fake: FakeSupervisor, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("2026-11-30 12:00:00,123 INFO <spawned>\nTraceback\n")
    fake.activity = FakeActivity(str(own))
    async with talking(fake) as client:
        text = await shown(client, "/log.html?channel=main")
        assert rows(text) == ["INFO &lt;spawned&gt;", "Traceback"]
        assert "12:00:00.123</time>" in text
        assert "<time></time>" in text
        assert Page(text).links["Download"] == "log.txt?channel=main"
        text = await shown(client, "/log.html?channel=main&q=TRACE")
        assert rows(text) == ["INFO &lt;spawned&gt;", "Traceback"]
        assert " found" in text


async def test_a_log_that_cannot_be_read(fake: FakeSupervisor, tmp_path: Path) -> None:
    fake.process("cat").stdout.logfile = str(tmp_path)
    async with talking(fake) as client:
        assert f"cannot read {tmp_path}" in await shown(client, "/log.html?processname=cat")


async def test_search(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_page, "MATCHES", 2)
    with gzip.open(tmp_path / "stderr.2.gz", "wb") as file:
        file.write(b"stderr 5 <old>\n")
    async with talking(fake) as client:
        text = await shown(client, "/log.html?processname=cat&q=R%20(3|5)&how=regex")
        found = [match[3] for match in ROW.finditer(text) if match[2]]
        assert found == []
        text = await shown(client, "/log.html?processname=cat&q=(r|t)%20[35]&how=regex")
        found = [match[3] for match in ROW.finditer(text) if match[2]]
        assert found == ["stderr 5", "stdout 5"]
        assert 'value="(r|t) [35]"' in text
        assert "checked" in text
        page = Page(text)
        assert re.search(r"Searched [0-9.]+ KiB of", page.text) or "Searched" in page.text
        text = await shown(client, "/" + page.links["Search further back"])
        found = [match[3] for match in ROW.finditer(text) if match[2]]
        assert found == ["stderr 3", "stdout 3"]
        text = await shown(client, "/" + Page(text).links["Search further back"])
        found = [match[3] for match in ROW.finditer(text) if match[2]]
        assert found == ["stderr 5 &lt;old&gt;"]
        assert "Searched everything" in text
        assert "Search further back" not in text
        link = re.search(r'<li><a href="([^"]+)"', text)
        assert link is not None
        text = await shown(client, "/" + link[1].replace("&amp;", "&"))
        found = [match[3] for match in ROW.finditer(text) if match[2]]
        assert found == ["stderr 5 &lt;old&gt;"]
        assert "stdout 1" in rows(text)
        assert "No line was found" in await shown(client, "/log.html?processname=cat&q=nothing")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is no regular expression"), ("(a+)+<", "can take very long")],
)
async def test_expressions_that_are_refused(
    fake: FakeSupervisor, pattern: str, message: str
) -> None:
    async with talking(fake) as client:
        text = await shown(client, f"/log.html?processname=cat&how=regex&q={quote(pattern)}")
        assert message in text
        assert "a+)+<" not in text
        assert f'value="{pattern.replace("<", "&lt;")}"' in text


class Feed:
    """What a browser reads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def open(self, target: str) -> None:
        await self._client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, headers = await self._client.head()
        assert head == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream;charset=utf-8"

    async def message(self) -> tuple[str, list[str], str]:
        """Kind, rows, and place."""
        lines = (await self._client.chunk()).decode().split("\n")
        fields = dict(line.partition(": ")[::2] for line in lines if line)
        return fields["event"], rows(json.loads(fields["data"])["html"]), fields["id"]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rotate(path: Path) -> None:
    path.rename(f"{path}.1")
    path.touch()


async def test_the_lines_that_come(fake: FakeSupervisor, tmp_path: Path) -> None:
    async with talking(fake) as client:
        feed = Feed(client)
        await feed.open("/live/lines?processname=cat")
        kind, found, place = await feed.message()
        assert (kind, found) == ("start", ALL)
        append(tmp_path / "stdout", "new\n")
        assert (await feed.message())[:2] == ("rows", ["new"])
        append(tmp_path / "stderr", "half")
        assert (await feed.message())[:2] == ("rows", ["half"])
        append(tmp_path / "stderr", " a line\n")
        assert (await feed.message())[:2] == ("rows", ["half a line"])
        rotate(tmp_path / "stdout")
        append(tmp_path / "stdout", "after\n")
        assert (await feed.message())[:2] == ("rows", ["after"])
        (tmp_path / "stderr").write_text("emptied\n")
        kind, found, _ = await feed.message()
        assert kind == "start"
        assert found[-1] == "emptied" or "emptied" in found
    async with talking(fake) as client:
        feed = Feed(client)
        await feed.open(f"/live/lines?processname=cat&output=stdout&after={place}")
        assert (await feed.message())[:2] == ("rows", ["new", "after"])


async def test_a_page_that_is_far_behind_skips_to_the_end(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_feed, "TOO_FAR", 10_000)
    async with talking(fake) as client:
        feed = Feed(client)
        await feed.open("/live/lines?processname=cat&output=stdout")
        await feed.message()
        append(tmp_path / "stdout", "".join(f"{n:09}\n" for n in range(10_000)))
        kind, found, _ = await feed.message()
        assert kind == "start"
        assert found[-1] == "000009999"
        append(tmp_path / "stdout", "next\n")
        assert (await feed.message())[:2] == ("rows", ["next"])


async def test_a_silent_log_shows_signs_of_life(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_feed, "SILENCE", 0.01)
    async with talking(fake) as client:
        feed = Feed(client)
        await feed.open("/live/lines?processname=cat")
        await feed.message()
        assert await client.chunk() == sse.KEEP_ALIVE


@pytest.mark.parametrize("target", ["/log.html", "/live/lines", "/api/v1/processes/cat/lines"])
async def test_a_disk_that_hangs_holds_up_no_other_request(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    works, reached, real = threading.Event(), threading.Event(), history._survey

    def hang(path: str) -> list[history.Part]:
        reached.set()
        assert works.wait(PATIENCE)
        return real(path)

    monkeypatch.setattr(history, "_survey", hang)
    query = "" if target.startswith("/api") else "?processname=cat"
    async with talking(fake) as client, talking(fake) as other:
        await client.send(f"GET {target}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        if target == "/live/lines":
            assert (await client.head())[0] == "HTTP/1.1 200 OK"
        assert await trio.to_thread.run_sync(reached.wait, PATIENCE)
        assert (await other.get("/ok.html")).status == 200
        works.set()
        if target == "/live/lines":
            assert (await client.chunk()).startswith(b"id: ")
        else:
            assert (await client.head())[0] == "HTTP/1.1 200 OK"


def at(text: str) -> float:
    return time.mktime(time.strptime(f"2026-11-{text}", "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize(
    ("earliest", "latest", "expected"),
    [
        ("30 12:00:00", "30 12:00:00", "12:00:00.000"),
        ("30 12:00:00", "30 12:00:01", "12:00:01"),
        ("30 12:00:10", "30 12:00:50", "12:00:10\N{EN DASH}50"),
        ("30 12:58:10", "30 13:05:50", "12:58\N{EN DASH}13:05"),
        ("29 12:58:10", "30 13:05:50", "until 13:05"),
    ],
)
def test_times(earliest: str, latest: str, expected: str) -> None:
    begin, end = at(earliest), at(latest)
    assert shown_time(When(begin, end, end)) == expected


def test_times_that_are_odd() -> None:
    assert shown_time(When(float("-inf"), at("30 13:05:50"), 0)) == "until 13:05"
    assert shown_time(When(1e300, 1e300, 1e300)).startswith("?")
