"""The status page's live data, as messages of server-sent events."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.core.events import (
    Event,
    ProcessGroupRemoved,
    ProcessStateRunning,
    SupervisorStateChangeStopping,
)
from trio_supervisor.core.states import DaemonState, State
from trio_supervisor.runtime.events.chronicle import REMEMBERED
from trio_supervisor.runtime.vitals import INTERVAL
from trio_supervisor.web.pages.forms import Viewer
from trio_supervisor.web.pages.live import Feed

TOKEN = "0123456789abcdef"


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "grp:ga")


def feed_of(fake: FakeSupervisor, token: str = TOKEN) -> Feed:
    return Feed(fake.real, Viewer(token))


def messages(data: bytes) -> list[tuple[str, Any]]:
    """Kind and content of each message."""
    found = []
    for block in data.decode().removesuffix("\n\n").split("\n\n"):
        event, content = block.split("\n")
        found.append((event.removeprefix("event: "), json.loads(content.removeprefix("data: "))))
    return found


async def read(feed: Feed) -> tuple[str, Any]:
    [message] = messages(await feed.read())
    return message


def running(fake: FakeSupervisor, name: str) -> Event:
    process = fake.process(name)
    process.run(pid=1)
    return ProcessStateRunning(process.name, process.group, State.STARTING, 1)


async def test_first_everything(fake: FakeSupervisor, autojump_clock: object) -> None:
    fake.chronicle.record(running(fake, "cat"))
    kind, data = await read(feed_of(fake))
    assert kind == "snapshot"
    assert data["token"] == TOKEN
    assert data["table"].count("<tr") == 3
    assert 'data-name="grp:ga"' in data["table"]
    assert TOKEN in data["table"]
    assert "<b>cat</b>" in data["events"]
    assert "<b>1</b> running" in data["summary"]
    assert data["leaving"] is False
    assert [len(point) for point in data["history"]["cat"]] == [3]


async def test_a_change_is_told_at_once_and_only_it(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    feed = feed_of(fake)
    await read(feed)
    start = trio.current_time()
    fake.chronicle.record(running(fake, "grp:ga"))
    kind, data = await read(feed)
    assert trio.current_time() - start < INTERVAL / 10
    assert kind == "changes"
    [row] = data["rows"]
    assert 'data-name="grp:ga"' in row
    assert 'data-state="running"' in row
    assert "1 of 1 running" in data["heads"]["grp"]
    assert data["events"].count("<li>") == 1


async def test_changes_close_together_are_one_message(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    feed = feed_of(fake)
    await read(feed)
    for _ in range(50):
        for name in ("cat", "grp:ga"):
            fake.chronicle.record(running(fake, name))
    kind, data = await read(feed)
    assert (kind, len(data["rows"])) == ("changes", 2)
    assert data["events"].count("<li>") == 100


async def test_vitals_come_every_few_seconds(fake: FakeSupervisor, autojump_clock: object) -> None:
    running(fake, "cat")
    feed = feed_of(fake)
    await read(feed)
    start = trio.current_time()
    for rounds in (1, 2, 3):
        kind, data = await read(feed)
        assert kind == "vitals"
        assert trio.current_time() - start == pytest.approx(rounds * INTERVAL)
        assert list(data["rows"]) == ["cat"]
        assert data["rows"]["cat"][5] == "0:01:05"


async def test_vitals_come_also_while_much_changes(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    feed = feed_of(fake)
    await read(feed)
    kinds = []
    for _ in range(100):
        fake.chronicle.record(running(fake, "cat"))
        kinds += [kind for kind, _ in messages(await feed.read())]
    assert kinds.count("changes") == 100
    assert kinds.count("vitals") == 2


async def test_who_is_slow_begins_anew(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await read(feed)
    for _ in range(REMEMBERED + 1):
        fake.chronicle.record(running(fake, "cat"))
    kind, data = await read(feed)
    assert kind == "snapshot"
    assert data["events"].count("<li>") == REMEMBERED


async def test_other_groups_are_another_table(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await read(feed)
    fake.chronicle.record(running(fake, "grp:ga"))
    fake.process("grp:ga").state = State.STOPPED
    fake.remove_group("grp")
    kind, _ = await read(feed)
    assert kind == "changes"
    fake.chronicle.record(ProcessGroupRemoved("grp"))
    kind, data = await read(feed)
    assert kind == "snapshot"
    assert "grp" not in data["table"]


async def test_the_end_is_announced(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await read(feed)
    fake.state = DaemonState.SHUTDOWN
    fake.chronicle.record(SupervisorStateChangeStopping())
    kind, data = await read(feed)
    assert (kind, data["leaving"]) == ("changes", True)


async def test_who_may_not_act_gets_no_forms(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake, token="")
    _, data = await read(feed)
    assert "<form" not in data["table"]
    fake.chronicle.record(running(fake, "grp:ga"))
    _, data = await read(feed)
    assert "<form" not in data["rows"][0] + data["heads"]["grp"]


async def test_over_http(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, headers = await client.head()
        assert head == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream;charset=utf-8"
        assert headers["cache-control"] == "no-store"
        [(kind, _)] = messages(await client.chunk())
        assert kind == "snapshot"
