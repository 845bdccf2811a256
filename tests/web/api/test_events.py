"""Events by the API: what is sent, when, and what becomes of a client that is slow."""

from __future__ import annotations

import gc
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.api import ROOT, change, read
from tests.kit.fake_supervisor import NOW, FakeSupervisor
from tests.kit.web import Client, request, talking
from tests.test_docs_events import SHOWN
from trio_supervisor.core import events
from trio_supervisor.core.events import Event, RemoteCommunication
from trio_supervisor.core.listener import envelope
from trio_supervisor.core.process.states import State
from trio_supervisor.web.api import events as api_events
from trio_supervisor.web.api.events import KEEP_ALIVE_TIME, EventSource, event_fields


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat")


async def subscribe(client: Client, query: str = "") -> dict[str, str]:
    await client.send(request(f"{ROOT}/events{query}"))
    head, headers = await client.head()
    assert head == "HTTP/1.1 200 OK"
    return headers


async def message(client: Client) -> dict[str, Any]:
    """The next message; its data decoded."""
    lines = (await client.chunk()).decode().removesuffix("\n\n").split("\n")
    found: dict[str, Any] = dict(line.split(": ", 1) for line in lines)
    return found | {"data": json.loads(found["data"])}


@pytest.mark.behaviour("http.md#events-of-the-json-api")
async def test_an_event_on_the_wire(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        headers = await subscribe(client)
        assert headers["content-type"] == "text/event-stream;charset=utf-8"
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        fake.publish(events.ProcessStateRunning("ga", "grp", State.STARTING, 42))
        assert (await client.chunk()).decode() == (
            "id: 0\nevent: PROCESS_STATE_RUNNING\n"
            'data: {"event":"PROCESS_STATE_RUNNING","serial":0,"time":1700000000.0,'
            '"processname":"ga","groupname":"grp","from_state":"STARTING","pid":42}\n\n'
        )
        fake.publish(RemoteCommunication("t\nevent: x", "a\r\n\r\nb\ud800"))
        found = await message(client)
        assert found["id"] == "1"
        assert found["data"] == {
            "event": "REMOTE_COMMUNICATION",
            "serial": 1,
            "time": NOW,
            "type": "t\nevent: x",
            "data": "a\r\n\r\nb\ud800",
        }


async def test_an_event_is_made_into_a_message_once_for_all_clients(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    fields = api_events.event_fields

    def spy(event: Event) -> dict[str, object]:
        made.append(1)
        return fields(event)

    monkeypatch.setattr(api_events, "event_fields", spy)
    async with talking(fake) as one, talking(fake) as two, talking(fake) as three:
        for client in (one, two):
            await subscribe(client)
        await subscribe(three, "?types=REMOTE_COMMUNICATION")
        for number in range(3):
            fake.publish(RemoteCommunication("t", str(number)))
        for number in range(3):
            texts = {await client.chunk() for client in (one, two, three)}
            assert len(texts) == 1
            assert f'"data":"{number}"'.encode() in texts.pop()
    assert len(made) == 3
    del one, two, three
    gc.collect()
    assert not api_events._messages


@pytest.mark.parametrize("event", SHOWN, ids=[event.name for event in SHOWN])
def test_the_members_are_the_tokens_of_the_payload(event: Event) -> None:
    found = event_fields(event)
    data = found.pop("data", None)
    tokens = {key: str(int(v) if isinstance(v, bool) else v) for key, v in found.items()}
    sent = envelope(
        server="s", serial=1, pool="p", poolserial=1, event=event.name, payload=event.payload()
    )
    head, _, rest = sent.decode().partition("\n")[2].partition("\n")
    assert dict(token.split(":", 1) for token in head.split()) == tokens
    assert rest == (data or "")


@pytest.mark.behaviour("http.md#events-of-the-json-api")
async def test_types_are_chosen(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await subscribe(client, "?types=process_group,%20TICK_5")
        fake.publish(RemoteCommunication("t", "d"))
        fake.publish(events.Tick60(60))
        fake.publish(events.Tick5(65))
        fake.publish(events.ProcessGroupAdded("x"))
        names = [(await message(client))["event"] for _ in range(2)]
        assert names == ["TICK_5", "PROCESS_GROUP_ADDED"]


@pytest.mark.parametrize("types", ["TICK_7", "", "TICK_5,", "%00", "x" * 5000])
async def test_unknown_types(fake: FakeSupervisor, types: str) -> None:
    async with talking(fake) as client:
        error = await read(client, f"/events?types={types}", status=400)
        assert error["message"].startswith("there is no event type")
        assert "PROCESS_STATE_EXITED" in error["hint"]
        assert len(error["message"]) < 100


@pytest.mark.behaviour("http.md#events-of-the-json-api")
async def test_a_slow_client_is_told_what_it_missed(fake: FakeSupervisor) -> None:
    fake.events_buffer = 3
    source = EventSource(fake.events())
    for number in range(5):
        fake.publish(RemoteCommunication("t", str(number)))
    assert await source.read() == (
        b'event: dropped\ndata: {"dropped":2}\n\n'
        b"id: 2\nevent: REMOTE_COMMUNICATION\n"
        b'data: {"event":"REMOTE_COMMUNICATION","serial":2,"time":1700000000.0,'
        b'"type":"t","data":"2"}\n\n'
    )
    assert (await source.read()).startswith(b"id: 3\n")
    source.close()


async def test_a_sign_of_life(fake: FakeSupervisor, autojump_clock: MockClock) -> None:
    async with talking(fake) as client:
        await subscribe(client)
        begin = trio.current_time()
        assert await client.chunk() == b": keep-alive\n\n"
        assert trio.current_time() - begin == KEEP_ALIVE_TIME


async def test_the_end_of_the_supervisor_ends_the_stream(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await subscribe(client)
        fake.publish(events.SupervisorStateChangeStopping())
        fake.streams.end()
        assert (await message(client))["event"] == "SUPERVISOR_STATE_CHANGE_STOPPING"
        assert await client.rest() == b"0\r\n\r\n"


async def test_a_client_that_leaves_is_forgotten(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await subscribe(client)
        fake.publish(RemoteCommunication("t", "heard"))
        assert (await message(client))["id"] == "0"
        client.sock.shutdown(trio.socket.SHUT_WR)
        assert await client.rest() == b"0\r\n\r\n"
        fake.publish(RemoteCommunication("t", "by nobody"))
        await wait_all_tasks_blocked()
        stream = fake.events()
        fake.publish(RemoteCommunication("t", "by the second"))
        assert (await stream.receive()).serial == 1  # numbers go only to what is received


@dataclass(frozen=True, slots=True)
class Measured(Event):
    """An event that a program which embeds a supervisor has made up."""

    name: ClassVar[str] = "MEASURED\nid: 7"
    value: float
    what: Path


async def test_an_event_that_a_program_made_up(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await subscribe(client)
        fake.publish(Measured(math.inf, Path("/x")))
        found = await message(client)
        assert (found["id"], found["event"]) == ("0", "MEASURED id: 7")
        assert (found["data"]["value"], found["data"]["what"]) == ("inf", "/x")


async def test_publishing_an_event(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        assert await change(client, "/events", type="deploy", data="v42") == {"done": True}
        error = await change(client, "/events", status=400, type="deploy")
        assert error["message"] == "the field data is missing"
    assert fake.communications == [("deploy", "v42")]
