"""What one client sends or asks for costs the others nothing: limits, and work done in threads."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.fuzz import MemoryWire
from tests.kit.web import call_body, request, talking, unix_server
from trio_supervisor.core.config.access import Access
from trio_supervisor.core.xmlrpc import Value, encode_response
from trio_supervisor.web import app, xmlrpc
from trio_supervisor.web.api import routes
from trio_supervisor.web.api.input import BODY_LIMIT, read_fields
from trio_supervisor.web.app import FORM_LIMIT, App
from trio_supervisor.web.connection import PIECES, PORTION, Connection
from trio_supervisor.web.memory import FULL, LARGE, Memory
from trio_supervisor.web.message import MAX_FIELDS, Refusal, Request, Response, StreamResponse
from trio_supervisor.web.parser import MAX_LINES
from trio_supervisor.web.worker import INLINE, work
from trio_supervisor.web.xmlrpc import ENCODED_INLINE

JSON = "Content-Type: application/json"


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat")


@pytest.mark.behaviour("http.md#bodies")
@pytest.mark.parametrize("target", ["/", "/tail.html", "/ok.html", "/nowhere"])
async def test_a_large_form_is_refused_by_its_head(fake: FakeSupervisor, target: str) -> None:
    async with talking(fake) as client:
        reply = await client.get(target, f"Content-Length: {FORM_LIMIT + 1}", method="POST")
        assert reply.status == 413
        assert str(FORM_LIMIT).encode() in reply.body


@pytest.mark.behaviour("http.md#bodies")
async def test_a_large_form_in_chunks_is_refused(fake: FakeSupervisor) -> None:
    chunk = b"8000\r\n%b\r\n" % (b"a" * 0x8000)
    async with talking(fake) as client:
        await client.send(b"POST /tail.html HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(chunk * 3)
        assert (await client.reply()).status == 413


async def test_a_small_limit_of_the_server_is_that_of_forms_too(fake: FakeSupervisor) -> None:
    server = replace(unix_server(), access=Access(body_maxbytes=1000))
    async with talking(fake, server) as client:
        assert (await client.post("/tail.html", b"a" * 1000)).status == 200
        assert (await client.post("/tail.html", b"a" * 1001)).status == 413


@pytest.mark.behaviour("http.md#bodies")
async def test_a_large_body_for_the_api_is_refused_as_json(fake: FakeSupervisor) -> None:
    chunk = b"10000\r\n%b\r\n" % (b" " * 0x10000)
    head = b"POST /api/v1/all/stop HTTP/1.1\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with talking(fake) as client:
        await client.send(head % JSON.encode() + chunk * (BODY_LIMIT // 0x10000 + 1))
        reply = await client.reply()
        assert (reply.status, reply.headers["content-type"]) == (413, "application/json")
        assert b'"hint":"send it in pieces"' in reply.body


@pytest.mark.parametrize("target", ["/", "/tail.html", "/log.txt", "/live/lines", "/api/v1/events"])
async def test_a_query_with_many_fields_is_refused(fake: FakeSupervisor, target: str) -> None:
    async with talking(fake) as client:
        reply = await client.get(f"{target}?{'a&' * MAX_FIELDS}a")
        assert reply.status == 400
    assert fake.lines == []


@pytest.mark.parametrize("target", ["/", "/tail.html"])
async def test_a_form_with_many_fields_is_refused(fake: FakeSupervisor, target: str) -> None:
    async with talking(fake) as client:
        reply = await client.post(target, b"a=1&" * MAX_FIELDS + b"a=1")
        assert reply.status == 400
        assert str(MAX_FIELDS).encode() in reply.body
        assert (await client.post("/tail.html", b"a=1&" * (MAX_FIELDS - 1))).status == 200
    assert fake.lines == []


@pytest.mark.behaviour("http.md#heads")
async def test_a_head_with_many_lines_is_refused(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        good = [f"a{n}: b" for n in range(MAX_LINES - 3)]
        assert (await client.get("/ok.html", *good)).status == 200
        assert (await client.get("/ok.html", *good, "b: c")).status == 431


async def test_a_date_beyond_all_dates_is_no_error_of_ours(fake: FakeSupervisor) -> None:
    date = "If-Modified-Since: Mon, 01 Jan 99999999999 00:00:00 GMT"
    async with talking(fake) as client:
        assert (await client.get("/stylesheets/supervisor.css", date)).status == 200


async def test_a_body_in_many_chunks_lets_others_run(fake: FakeSupervisor) -> None:
    chunks = 10_000
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with talking(fake) as client, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await client.send(b"POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        before = turns
        await client.send(b"1\r\n \r\n" * chunks + b"0\r\n\r\n")
        assert (await client.reply()).status == 400
        assert turns - before > chunks / PIECES / 2
        nursery.cancel_scope.cancel()


def test_all_requests_together_have_a_limit() -> None:
    memory = Memory(100)
    with memory.account() as one, memory.account() as other:
        one.take(60)
        other.take(40)
        with pytest.raises(Refusal, match=FULL) as refused:
            other.take(1)
        assert refused.value.status == 503
    with memory.account() as one:
        one.take(100)


async def test_bodies_count_while_they_arrive_and_answers_until_they_are_sent(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LIMIT", 0)
    server = replace(unix_server(), access=Access(body_maxbytes=1000))
    async with talking(fake, server) as client:
        assert (await client.get("/ok.html")).status == 200
        body = call_body("supervisor.getAPIVersion")
        assert (await client.post("/RPC2", body + b" " * 500)).status == 200
        assert (await client.post("/RPC2", body + b" " * (999 - len(body)))).status == 503


async def test_memory_of_a_large_request_is_returned_once() -> None:
    trimmed: list[int] = []
    memory = Memory(trim=lambda: trimmed.append(threading.get_ident()))
    await memory.tidy()
    with memory.account() as account:
        account.take(LARGE)
    await memory.tidy()
    await memory.tidy()
    with memory.account() as account:
        account.take(LARGE - 1)
    await memory.tidy()
    assert len(trimmed) == 1
    assert trimmed != [threading.get_ident()]


async def test_much_work_is_done_in_a_thread() -> None:
    here = threading.get_ident()
    assert await work(INLINE, threading.get_ident) == here
    assert await work(INLINE + 1, threading.get_ident) != here


@pytest.mark.parametrize("size", [0, ENCODED_INLINE])
async def test_large_answers_are_made_in_a_thread(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    threads = []
    log = tmp_path / "log"
    log.write_text("x" * size)

    def spy(value: Value) -> bytes:
        threads.append(threading.get_ident())
        return encode_response(value)

    monkeypatch.setattr(xmlrpc, "encode_response", spy)
    monkeypatch.setattr(fake.process("cat").stdout, "logfile", str(log))
    read = (
        "<methodCall><methodName>supervisor.readProcessStdoutLog</methodName><params><param><value>"
        "cat</value></param><param><value><int>0</int></value></param><param><value><int>0</int>"
        "</value></param></params></methodCall>"
    )
    async with talking(fake) as client:
        assert len((await client.post("/RPC2", read.encode())).body) > size
    assert (threads == [threading.get_ident()]) == (size == 0)


async def test_a_large_body_for_the_api_is_read_in_a_thread(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    read: Callable[..., dict[str, object]] = read_fields

    def spy(*arguments: object) -> dict[str, object]:
        threads.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr(routes, "read_fields", spy)
    async with talking(fake) as client:
        for size in (1, INLINE + 1):
            body = b'{"type":"a","data":"%b"}' % (b"x" * size)
            assert (await client.post("/api/v1/events", body, JSON)).status == 200
    assert threads[0] == threading.get_ident()
    assert threads[1] != threading.get_ident()


async def test_a_long_answer_to_a_fast_client_lets_others_run(fake: FakeSupervisor) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async def respond(request: Request) -> Response:
        return Response(200, b"x" * PORTION * 20)

    server = App(unix_server(), fake.real)
    server.respond = respond  # type: ignore[method-assign]  # a double
    wire = MemoryWire([request("/ok.html")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await Connection(wire, server, "").run()
        nursery.cancel_scope.cancel()
    assert wire.sent.endswith(b"x" * PORTION * 20)
    assert turns > 15


class Keeper:
    """A stream's source that looks, when it is asked for more, who still has what it gave."""

    def __init__(self) -> None:
        self.given = b"x" * 1000
        self.references: list[int] = []

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        self.references.append(sys.getrefcount(self.given))
        return self.given if len(self.references) == 1 else b""

    def close(self) -> None:
        pass


async def test_what_a_stream_has_sent_is_forgotten(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand clients may wait for more, each after a snapshot of some hundred kilobytes."""
    keeper = Keeper()

    async def respond(self: App, request: Request) -> StreamResponse:
        return StreamResponse(keeper)

    monkeypatch.setattr(App, "respond", respond)
    async with talking(fake) as client:
        await client.send(request("/live", version="1.0"))
        assert (await client.rest()).endswith(keeper.given)
    first, second = keeper.references
    assert second == first


async def test_what_is_wrong_with_a_large_call_is_said_briefly(fake: FakeSupervisor) -> None:
    value = f"<dateTime.iso8601>{'1' * 100_000}</dateTime.iso8601>"
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body("system.listMethods", value))
        assert reply.status == 400
        assert len(reply.body) < 1000


async def test_a_request_is_forgotten_while_the_next_is_awaited(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection may be idle for hours."""
    requests: list[weakref.ref[Request]] = []
    respond = App.respond

    async def spy(self: App, request: Request) -> Response | StreamResponse:
        requests.append(weakref.ref(request))
        return await respond(self, request)

    monkeypatch.setattr(App, "respond", spy)
    async with talking(fake) as client:
        assert (await client.post("/RPC2", call_body("system.listMethods"))).status == 200
        await wait_all_tasks_blocked()
        assert [request() for request in requests] == [None]
