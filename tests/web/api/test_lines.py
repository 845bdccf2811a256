"""Logs as lines by the API: from any place, in the order of their times, and searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.api import ROOT, read
from tests.kit.fake_supervisor import NOW, FakeActivity, FakeSupervisor
from tests.kit.web import talking

if TYPE_CHECKING:
    from pathlib import Path

LINES = "/processes/cat/lines"
FIRST, SECOND = NOW - 100, NOW - 10


@pytest.fixture
def fake(tmp_path: Path) -> FakeSupervisor:
    fake = FakeSupervisor("cat", "mute")
    for channel, texts in (
        (fake.process("cat").stdout, (b"one\n", b"\xff<three>\r\n")),
        (fake.process("cat").stderr, (b"two\n", b"four")),
    ):
        path = tmp_path / channel.name
        path.write_bytes(b"".join(texts))
        channel.logfile = str(path)
        channel.tail.feed(path.read_bytes())
        late = channel.name == "stderr"
        channel.stretches = [(0, FIRST + late, FIRST + late), (4, SECOND, SECOND + 5 + late)]
    own = tmp_path / "own"
    own.write_text("2026-11-30 12:00:00,123 INFO spawned\nTraceback\n")
    fake.activity = FakeActivity(str(own))
    return fake


@pytest.mark.behaviour("http.md#lines-of-both-outputs")
async def test_lines_of_both_outputs(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        page = await read(client, LINES)
        assert [(line["output"], line["line"], line["whole"]) for line in page["lines"]] == [
            ("stdout", "one", True),
            ("stderr", "two", True),
            ("stdout", "\\xff<three>", True),
            ("stderr", "four", False),
        ]
        times = [(line["earliest"], line["time"]) for line in page["lines"]]
        assert times[:2] == [(FIRST, FIRST), (FIRST + 1, FIRST + 1)]
        assert times[2] == (SECOND, SECOND + 5)
        assert (page["first"], page["last"], page["gone"]) == (True, True, False)
        last = await read(client, f"{LINES}?lines=1")
        assert [line["line"] for line in last["lines"]] == ["four"]
        before = await read(client, f"{LINES}?lines=2&before={last['before']}")
        assert [line["line"] for line in before["lines"]] == ["two", "\\xff<three>"]
        after = await read(client, f"{LINES}?after={before['after']}")
        assert [line["line"] for line in after["lines"]] == ["four"]
        first = await read(client, f"{LINES}?lines=1&after=start")
        assert [line["line"] for line in first["lines"]] == ["one"]
        only = await read(client, f"{LINES}?output=stderr")
        assert [line["line"] for line in only["lines"]] == ["two", "four"]
        none = await read(client, "/processes/mute/lines")
        assert none["lines"] == []
        assert none["before"] == none["after"] == ""


@pytest.mark.behaviour("http.md#lines-of-both-outputs")
async def test_lines_of_the_activity_log(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        page = await read(client, "/daemon/lines")
        first, second = page["lines"]
        assert first["output"] == "supervisor"
        assert first["time"] == first["earliest"]
        assert (second["time"], second["line"]) == (None, "Traceback")
        found = await read(client, "/daemon/lines/search?pattern=SPAWNED")
        assert [match["line"]["line"] for match in found["matches"]] == [first["line"]]


@pytest.mark.behaviour("http.md#search-in-logs")
async def test_search(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        found = await read(client, f"{LINES}/search?pattern=t(w|hree)&regex=true&context=1")
        assert [match["line"]["line"] for match in found["matches"]] == ["\\xff<three>", "two"]
        assert [line["line"] for line in found["matches"][1]["after"]] == ["four"]
        assert found["before"] is None
        assert found["searched"] == found["total"] == 22
        first = await read(client, f"{LINES}/search?pattern=o&matches=1")
        (match,) = first["matches"]
        place = match["line"]["place"]
        assert match["line"]["line"] == "four"
        shown = await read(client, f"{LINES}?after={place}&lines=1&output=stderr")
        assert [line["line"] for line in shown["lines"]] == ["four"]
        shown = await read(client, f"{LINES}?around={place}&lines=4")
        assert [line["line"] for line in shown["lines"]] == [
            *("one", "two", "\\xff<three>", "four")
        ]
        more = await read(client, f"{LINES}/search?pattern=o&before={first['before']}")
        assert [match["line"]["line"] for match in more["matches"]] == ["two", "one"]


@pytest.mark.behaviour("http.md#search-in-logs")
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("/search?pattern=(&regex=true", "is no regular expression"),
        ("/search?pattern=(a%2B)%2B&regex=true", "can take very long"),
        ("/search?pattern=", "cannot be ''"),
        ("/search", "pattern"),
        ("?before=x", "before"),
        ("?after=start&before=stdout.start", "exclude each other"),
        ("?around=stdout.start&before=stdout.start", "exclude each other"),
        ("?lines=0", "lines"),
    ],
)
async def test_what_is_refused(fake: FakeSupervisor, query: str, message: str) -> None:
    async with talking(fake) as client:
        error = await read(client, f"{LINES}{query}", status=400)
        assert message in error["message"]


async def test_logs_that_cannot_be_read(fake: FakeSupervisor, tmp_path: Path) -> None:
    fake.process("cat").stdout.logfile = str(tmp_path)
    async with talking(fake) as client:
        for query in ("", "/search?pattern=x"):
            error = await read(client, f"{LINES}{query}", status=409)
            assert f"cannot read {tmp_path}" in error["message"]
        assert (await client.get(f"{ROOT}/processes/none/lines")).status == 404
