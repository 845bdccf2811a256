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
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.runtime.events.history import CAPACITY
from trio_supervisor.runtime.inspect.sampler import INTERVAL, Sample, UsageSample
from trio_supervisor.web.pages.forms import Viewer
from trio_supervisor.web.pages.live import Feed, _figures

TOKEN = "0123456789abcdef"
#: More than the kernel gives to any process.
NO_PID = 2**22 + 1


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "grp:ga")


def feed_of(fake: FakeSupervisor, token: str = TOKEN, since: str = "") -> Feed:
    return Feed(fake.real, Viewer(token), since)


def fields(data: bytes) -> list[dict[str, str]]:
    """The fields of each message."""
    blocks = data.decode().removesuffix("\n\n").split("\n\n")
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def messages(data: bytes) -> list[tuple[str, Any]]:
    """Kind and content of each message."""
    return [(message["event"], json.loads(message["data"])) for message in fields(data)]


async def first(feed: Feed) -> dict[str, Any]:
    """What a browser hears at once, by kind."""
    return dict(messages(await feed.read()))


async def read(feed: Feed) -> tuple[str, Any]:
    [message] = messages(await feed.read())
    return message


def running(fake: FakeSupervisor, name: str) -> Event:
    process = fake.process(name)
    process.run(pid=1)
    return ProcessStateRunning(process.name, process.group, State.STARTING, 1)


async def test_first_everything(fake: FakeSupervisor, autojump_clock: object) -> None:
    fake.event_history.record(running(fake, "cat"))
    heard = await first(feed_of(fake))
    assert list(heard) == ["snapshot", "begin", "usage"]
    data = heard["snapshot"]
    assert data["token"] == TOKEN
    assert data["table"].count("<tr") == 3
    assert 'data-name="grp:ga"' in data["table"]
    assert TOKEN in data["table"]
    assert "<b>cat</b>" in data["events"]
    assert "<b>1</b> running" in data["summary"]
    assert data["leaving"] is False
    assert list(heard["usage"]["rows"]) == ["cat"]


async def test_a_page_that_is_up_to_date_gets_no_snapshot(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    fake.event_history.record(running(fake, "cat"))
    mark = fake.event_history.mark
    feed = feed_of(fake, since=mark)
    assert list(await first(feed)) == ["begin", "usage"]
    fake.event_history.record(running(fake, "grp:ga"))
    [message] = fields(await feed.read())
    assert message["event"] == "changes"
    assert message["id"] == fake.event_history.mark != mark


async def test_what_happened_while_the_page_was_on_its_way_is_told(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    mark = fake.event_history.mark
    fake.event_history.record(running(fake, "grp:ga"))
    feed = feed_of(fake, since=mark)
    assert list(await first(feed)) == ["begin", "usage"]
    kind, data = await read(feed)
    assert (kind, len(data["rows"])) == ("changes", 1)


@pytest.mark.parametrize("kind", ["another daemon's", "none", "of the future", "too old"])
async def test_a_page_that_is_too_old_gets_a_snapshot(
    fake: FakeSupervisor, autojump_clock: object, kind: str
) -> None:
    fake.event_history.record(running(fake, "cat"))
    daemon = fake.event_history.mark.partition("-")[0]
    marks = {
        "another daemon's": FakeSupervisor().event_history.mark,
        "none": "<b>-",
        "of the future": f"{daemon}-99999",
        "too old": fake.event_history.mark,
    }
    for _ in range(CAPACITY + 1):
        fake.event_history.record(running(fake, "cat"))
    assert list(await first(feed_of(fake, since=marks[kind]))) == ["snapshot", "begin", "usage"]


async def test_charts_get_what_changed_from_sample_to_sample(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    usage = [
        {"cat": UsageSample(1.0, 5)},
        {"cat": UsageSample(1.04, 5), "off": UsageSample(None, 7)},
        {},
        {},
    ]
    fake.usage.samples.extend(
        Sample(trio.current_time() - 10 + number, of) for number, of in enumerate(usage)
    )
    data = (await first(feed_of(fake)))["begin"]
    assert len(data["times"]) == 4
    assert data["points"] == {"cat": [[0, 1.0, 5], [2, None]], "off": [[1, 0, 7], [2, None]]}


@pytest.mark.behaviour("http.md#the-live-page")
async def test_a_change_is_told_at_once_and_only_it(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    feed = feed_of(fake)
    await first(feed)
    start = trio.current_time()
    fake.event_history.record(running(fake, "grp:ga"))
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
    await first(feed)
    for _ in range(50):
        for name in ("cat", "grp:ga"):
            fake.event_history.record(running(fake, name))
    kind, data = await read(feed)
    assert (kind, len(data["rows"])) == ("changes", 2)
    assert data["events"].count("<li>") == 100


@pytest.mark.behaviour("http.md#the-live-page")
async def test_vitals_come_every_few_seconds(fake: FakeSupervisor, autojump_clock: object) -> None:
    running(fake, "cat")
    feed = feed_of(fake)
    await first(feed)
    start = trio.current_time()
    for rounds in (1, 2, 3):
        kind, data = await read(feed)
        assert kind == "usage"
        assert trio.current_time() - start == pytest.approx(rounds * INTERVAL)
        assert data["time"] == pytest.approx(trio.current_time(), abs=0.1)


async def test_only_vitals_that_have_changed_are_sent(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    for name in ("cat", "grp:ga"):
        fake.process(name).run(pid=NO_PID)
    feed = feed_of(fake)
    assert set((await first(feed))["usage"]["rows"]) == {"cat", "grp:ga"}
    _, data = await read(feed)
    assert set(data["rows"]) == {"cat", "grp:ga"}  # the share of a processor is known from now on
    _, data = await read(feed)
    assert data["rows"] == {}


async def test_figures_are_sent_if_they_differ_as_shown() -> None:
    mib = 1024**2
    before = Sample(
        1.0, {"a": UsageSample(1.0, mib), "b": UsageSample(1.0, mib), "c": UsageSample(None, mib)}
    )
    now = Sample(
        3.0,
        {
            "a": UsageSample(1.04, mib + 1),
            "b": UsageSample(1.2, mib),
            "c": UsageSample(0.0, mib),
            "d": UsageSample(),
        },
    )
    [(kind, data)] = messages(_figures(before, now))
    assert (kind, data["time"]) == ("usage", 3.0)
    assert data["rows"] == {
        "b": [1.2, mib, "1.2 %", "1.0 MiB"],
        "c": [0.0, mib, "0.0 %", "1.0 MiB"],
        "d": [0, 0, "-", "-"],
    }
    assert _figures(before, now) is _figures(before, now)


async def test_vitals_come_also_while_much_changes(
    fake: FakeSupervisor, autojump_clock: object
) -> None:
    feed = feed_of(fake)
    await first(feed)
    kinds = []
    for _ in range(100):
        fake.event_history.record(running(fake, "cat"))
        kinds += [kind for kind, _ in messages(await feed.read())]
    assert kinds.count("changes") == 100
    assert kinds.count("usage") == 2


async def test_who_is_slow_begins_anew(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await first(feed)
    for _ in range(CAPACITY + 1):
        fake.event_history.record(running(fake, "cat"))
    kind, data = await read(feed)
    assert kind == "snapshot"
    assert data["events"].count("<li>") == CAPACITY


async def test_other_groups_are_another_table(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await first(feed)
    fake.event_history.record(running(fake, "grp:ga"))
    fake.process("grp:ga").state = State.STOPPED
    fake.remove_group("grp")
    kind, _ = await read(feed)
    assert kind == "changes"
    fake.event_history.record(ProcessGroupRemoved("grp"))
    kind, data = await read(feed)
    assert kind == "snapshot"
    assert "grp" not in data["table"]


async def test_the_end_is_announced(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake)
    await first(feed)
    fake.state = DaemonState.SHUTDOWN
    fake.event_history.record(SupervisorStateChangeStopping())
    kind, data = await read(feed)
    assert (kind, data["leaving"]) == ("changes", True)


async def test_who_may_not_act_gets_no_forms(fake: FakeSupervisor, autojump_clock: object) -> None:
    feed = feed_of(fake, token="")
    data = (await first(feed))["snapshot"]
    assert "<form" not in data["table"]
    fake.event_history.record(running(fake, "grp:ga"))
    _, data = await read(feed)
    assert "<form" not in data["rows"][0] + data["heads"]["grp"]


async def test_over_http(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, headers = await client.head()
        assert head == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream;charset=utf-8"
        assert headers["cache-control"] == "no-store"
        assert next(kind for kind, _ in messages(await client.chunk())) == "snapshot"
