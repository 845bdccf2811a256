"""Accepting connections: real sockets, many of them, and errors that stay where they happen."""

from __future__ import annotations

import errno
import os
import socket
import xmlrpc.client
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fake_supervisor import BOB, FakeSupervisor
from tests.kit.web import Client, call_body, request
from trio_supervisor.core.config.model import InetServer, Server, UnixServer
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.web import connection_set
from trio_supervisor.web.api import processes
from trio_supervisor.web.app import App
from trio_supervisor.web.connection_set import (
    ANSWER_TIME,
    EPISODE_PAUSE,
    FOR_UNIX,
    LOOK,
    ConnectionSet,
)
from trio_supervisor.web.server import serve
from trio_supervisor.web.sockets import bind, unbind

GOOD = f"Authorization: Basic {b64encode(b'bob:p:w').decode()}"


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat")


@asynccontextmanager
async def serving(
    fake: FakeSupervisor, *servers: Server
) -> AsyncIterator[tuple[socket.socket, ...]]:
    listeners = tuple(map(bind, servers))
    connections = ConnectionSet(fake.log, lambda: len(fake.processes()))
    try:
        async with trio.open_nursery() as nursery:
            for server, listener in zip(servers, listeners, strict=True):
                await nursery.start(serve, listener, App(server, fake.real), connections)
            yield listeners
            nursery.cancel_scope.cancel()
    finally:
        for server, listener in zip(servers, listeners, strict=True):
            unbind(server, listener)


@asynccontextmanager
async def connected(listener: socket.socket, path: str | None = None) -> AsyncIterator[Client]:
    sock = trio.socket.socket(listener.family)
    with sock:
        await sock.connect(path or listener.getsockname())
        yield Client(sock, lambda: None)


async def test_tcp_with_credentials(fake: FakeSupervisor) -> None:
    server = InetServer("inet_http_server", "127.0.0.1", 0, BOB)
    async with serving(fake, server) as (listener,):
        port = listener.getsockname()[1]

        def call() -> object:
            with xmlrpc.client.ServerProxy(f"http://bob:p%3Aw@127.0.0.1:{port}/RPC2") as proxy:
                return proxy.supervisor.getState()

        answer = await trio.to_thread.run_sync(call)
        assert answer == {"statecode": 1, "statename": "RUNNING"}
        async with connected(listener) as client:
            assert (await client.get("/ok.html")).status == 401


async def test_a_unix_socket(fake: FakeSupervisor, tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    async with (
        serving(fake, UnixServer("unix_http_server", path)) as (listener,),
        connected(listener, path) as client,
        connected(listener, path) as probe,
    ):
        assert (await client.get("/ok.html")).body == b"OK"
        # What another daemon sends that is about to start.
        await probe.send(b"GET / HTTP/1.0\r\n\r\n")
        assert await probe.exactly(1) == b"H"
    assert not (tmp_path / "s.sock").exists()


async def test_one_waiting_call_holds_up_nobody(fake: FakeSupervisor, tmp_path: Path) -> None:
    gate = fake.process("cat").gate = trio.Event()
    path = str(tmp_path / "s.sock")
    async with (
        serving(fake, UnixServer("unix_http_server", path)) as (listener,),
        connected(listener, path) as waiting,
        connected(listener, path) as other,
    ):
        start = call_body("supervisor.startProcess", "cat")
        await waiting.send(request("/RPC2", body=start, method="POST"))
        await wait_all_tasks_blocked()
        for _ in range(3):
            assert (await other.get("/ok.html")).status == 200
        assert waiting.nothing_came()
        gate.set()
        assert (await waiting.reply()).status == 200


async def test_a_crash_in_one_connection_closes_only_that(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = App.admit

    def fail(app: App, request: object) -> NoReturn:
        raise RuntimeError("a bug")

    path = str(tmp_path / "s.sock")
    async with (
        serving(fake, UnixServer("unix_http_server", path)) as (listener,),
        connected(listener, path) as good,
        connected(listener, path) as bad,
    ):
        assert (await good.get("/ok.html")).status == 200
        monkeypatch.setattr(App, "admit", fail)
        await bad.send(request("/ok.html"))
        assert await bad.rest() == b""
        monkeypatch.setattr(App, "admit", admit)
        assert (await good.get("/ok.html")).status == 200
    (line,) = fake.lines
    assert line.startswith("ERROR error in an HTTP connection:\n")
    assert "RuntimeError: a bug" in line


async def test_the_longest_idle_makes_room(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an idle one the newcomer is turned away."""
    monkeypatch.setattr(connection_set, "CONNECTIONS", 2)
    gate = fake.process("cat").gate = trio.Event()
    stop = request("/RPC2", body=call_body("supervisor.stopProcess", "cat"), method="POST")
    start = request("/RPC2", body=call_body("supervisor.startProcess", "cat"), method="POST")
    path = str(tmp_path / "s.sock")
    async with (
        serving(fake, UnixServer("unix_http_server", path)) as (listener,),
        connected(listener, path) as first,
        connected(listener, path) as second,
    ):
        await first.get("/ok.html")
        await second.get("/ok.html")
        await first.get("/ok.html")  # now the second has been idle for longer
        async with connected(listener, path) as third:
            assert (await third.get("/ok.html")).status == 200
            assert await second.rest() == b""
            await first.send(start)
            await wait_all_tasks_blocked()
            await third.send(stop)
            await wait_all_tasks_blocked()
            async with connected(listener, path) as fourth:
                assert await fourth.rest() == b""
            gate.set()
            for busy in (first, third):
                assert (await busy.reply()).status == 200
    assert fake.lines == []


async def test_strangers_make_room_first(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that only connect, or never end their request, drive out nobody."""
    monkeypatch.setattr(connection_set, "CONNECTIONS", 4)
    async with (
        serving(fake, InetServer("inet_http_server", "127.0.0.1", 0, BOB)) as (listener,),
        connected(listener) as good,
        AsyncExitStack() as stack,
    ):
        assert (await good.get("/ok.html", GOOD)).status == 200
        strangers = [await stack.enter_async_context(connected(listener)) for _ in range(12)]
        for stranger in strangers:
            await stranger.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        await wait_all_tasks_blocked()
        assert (await good.get("/ok.html", GOOD)).status == 200
        for stranger in strangers[:-3]:
            assert b"200" not in await ended(stranger)
    assert fake.lines == []


async def ended(client: Client) -> bytes:
    """What comes until the server has closed; it need not be polite."""
    try:
        return await client.rest()
    except OSError:
        return b""


class Exhausted:
    """A listener that runs out of file descriptors a few times."""

    def __init__(self, listener: socket.socket, failures: list[int]) -> None:
        self._listener = listener
        self._failures = failures

    def fileno(self) -> int:
        return self._listener.fileno()

    def accept(self) -> object:
        if self._failures:
            number = self._failures.pop(0)
            raise OSError(number, f"error {number}")
        return self._listener.accept()


async def test_running_out_of_file_descriptors(
    fake: FakeSupervisor, tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = str(tmp_path / "s.sock")
    server = UnixServer("unix_http_server", path)
    listener = bind(server)
    failures = [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]
    exhausted = Exhausted(listener, failures)
    async with trio.open_nursery() as nursery:
        connections = ConnectionSet(fake.log, lambda: 1)
        await nursery.start(serve, exhausted, App(server, fake.real), connections)
        async with connected(listener, path) as client:
            assert (await client.get("/ok.html")).status == 200
        # Said once, and again after it had been good for a while.
        assert fake.lines == [f"ERROR cannot accept an HTTP connection: error {errno.EMFILE}"]
        await trio.sleep(EPISODE_PAUSE)
        failures.append(errno.EMFILE)
        async with connected(listener, path) as client:
            assert (await client.get("/ok.html")).status == 200
        nursery.cancel_scope.cancel()
    unbind(server, listener)
    assert fake.lines == [f"ERROR cannot accept an HTTP connection: error {errno.EMFILE}"] * 2


async def test_clients_without_a_descriptor_left_for_them_make_room(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of TCP never take what is kept for the unix socket."""
    monkeypatch.setattr(
        connection_set, "descriptors_for_connections", lambda limit, processes: FOR_UNIX + 3
    )
    path = str(tmp_path / "s.sock")
    tcp, unix = InetServer("inet_http_server", "127.0.0.1", 0), UnixServer("unix_http_server", path)
    async with (
        serving(fake, tcp, unix) as (listener, unix_listener),
        AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(connected(listener)) for _ in range(9)]
        for client in silent[:6]:
            assert await ended(client) == b""
        for _ in range(FOR_UNIX + 2):  # the last two at the cost of silent ones of TCP
            client = await stack.enter_async_context(connected(unix_listener, path))
            assert (await client.get("/ok.html")).status == 200
        assert await ended(silent[6]) == await ended(silent[7]) == b""
        assert (await silent[8].get("/ok.html")).status == 200
        newest = await stack.enter_async_context(connected(unix_listener, path))
        assert (await newest.get("/ok.html")).status == 200
        assert await ended(silent[8]) == b""
        newest = await stack.enter_async_context(connected(unix_listener, path))
        assert (await newest.get("/ok.html")).status == 200
    (line,) = fake.lines
    assert line.startswith("WARN 3 HTTP connections are as many as ")
    assert "open files allow beside 1 processes" in line
    assert "minfds" in line


async def test_a_log_that_is_followed_counts_too(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        connection_set, "descriptors_for_connections", lambda limit, processes: FOR_UNIX + 3
    )
    log = tmp_path / "log"
    log.write_text("hello\n")
    monkeypatch.setattr(fake.process("cat").stdout, "logfile", str(log))
    tcp = InetServer("inet_http_server", "127.0.0.1", 0)
    async with (
        serving(fake, tcp) as (listener,),
        connected(listener) as first,
        connected(listener) as second,
    ):
        await first.send(request("/logtail/cat"))
        assert (await first.head())[0] == "HTTP/1.1 200 OK"
        assert (await second.get("/logtail/cat")).status == 503
        assert await ended(second) == b""


async def test_an_answer_for_which_no_descriptor_is_left(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, no traceback; the client may try again."""

    async def fail(*arguments: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(processes, "details", fail)
    path = str(tmp_path / "s.sock")
    async with (
        serving(fake, UnixServer("unix_http_server", path)) as (listener,),
        connected(listener, path) as client,
    ):
        reply = await client.get("/api/v1/processes")
        assert reply.status == 503
        assert b'"message":"not possible at this time: Too many open files"' in reply.body
    assert fake.lines == ["ERROR cannot answer GET '/api/v1/processes': Too many open files"]


async def test_without_descriptors_a_silent_client_is_closed(
    fake: FakeSupervisor, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The rest may have been taken by anything."""
    server = InetServer("inet_http_server", "127.0.0.1", 0)
    listener = bind(server)
    failures: list[int] = []
    async with trio.open_nursery() as nursery:
        connections = ConnectionSet(fake.log, lambda: 1)
        exhausted = Exhausted(listener, failures)
        await nursery.start(serve, exhausted, App(server, fake.real), connections)
        async with connected(listener) as silent:
            await wait_all_tasks_blocked()
            failures.append(errno.EMFILE)
            async with connected(listener) as client:
                assert (await client.get("/ok.html")).status == 200
            begun = trio.current_time()
            assert await ended(silent) == b""
            assert trio.current_time() - begun < 1
        nursery.cancel_scope.cancel()
    unbind(server, listener)


@asynccontextmanager
async def asked(
    fake: FakeSupervisor, path: str, monkeypatch: pytest.MonkeyPatch, until: trio.Event
) -> AsyncIterator[tuple[ConnectionSet, Client]]:
    """A client whose request has begun, and is answered when the event is set."""
    begun = trio.Event()

    async def start(*, wait: bool = True) -> None:
        begun.set()
        await until.wait()

    monkeypatch.setattr(fake.process("cat"), "start_once", start)
    server = UnixServer("unix_http_server", path)
    listener = bind(server)
    connections = ConnectionSet(fake.log, lambda: 1)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, listener, App(server, fake.real), connections)
        async with connected(listener, path) as client:
            body = call_body("supervisor.startProcess", "cat")
            head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            await client.send(head.encode() + body)
            await begun.wait()
            yield connections, client
        nursery.cancel_scope.cancel()
    unbind(server, listener)


@pytest.mark.behaviour("http.md#answers-at-the-end")
async def test_the_end_waits_for_answers(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = trio.Event()
    async with (
        asked(fake, str(tmp_path / "s"), monkeypatch, until) as (connections, client),
        trio.open_nursery() as nursery,
    ):
        finished = trio.Event()

        async def finish() -> None:
            await connections.finish()
            finished.set()

        nursery.start_soon(finish)
        await trio.sleep(2 * LOOK)
        assert not finished.is_set()
        until.set()
        assert (await client.reply()).status == 200
        await finished.wait()


@pytest.mark.behaviour("http.md#answers-at-the-end")
async def test_the_end_does_not_wait_for_long(
    fake: FakeSupervisor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    never = trio.Event()
    async with asked(fake, str(tmp_path / "s"), monkeypatch, never) as (connections, _):
        before = trio.current_time()
        await connections.finish()
        assert trio.current_time() - before == pytest.approx(ANSWER_TIME)
        assert connections.busy()


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


async def test_a_request_carries_who_asks(
    fake: FakeSupervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and address of HTTP; of a unix socket the user and process that connected."""
    seen: list[Cause] = []

    async def start(*, wait: bool = True) -> None:
        seen.append(cause_of_request())

    monkeypatch.setattr(fake.process("cat"), "start_once", start)
    body = call_body("supervisor.startProcess", "cat")
    path = str(tmp_path / "s.sock")
    with_users = InetServer("inet", "127.0.0.1", 0, credentials=BOB)
    without = InetServer("inet", "127.0.0.1", 0)
    async with serving(fake, with_users, without, UnixServer("unix", path)) as listeners:
        for listener, address in zip(listeners, (None, None, path), strict=True):
            async with connected(listener, address) as client:
                for _ in range(2):  # the second request of a connection too
                    assert (await client.post("/RPC2", body, GOOD)).status == 200
    local = f"uid {os.getuid()} ({own_name()}, pid {os.getpid()} at connect)"
    expected = ["bob from 127.0.0.1", "127.0.0.1", local]
    assert seen == [Cause(CauseKind.REQUEST, who) for who in expected for _ in range(2)]
