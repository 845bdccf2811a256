"""Talking HTTP to our server in raw bytes, over a socket pair."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tests.kit.fake_supervisor import FakeSupervisor
from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.web.app import App
from trio_supervisor.web.connection_set import ConnectionSet

if TYPE_CHECKING:
    from trio_supervisor.core.config.access import Credentials
    from trio_supervisor.core.config.model import Server

#: Seconds of the test's clock that anything may take; real time is the watchdog's matter.
PATIENCE = 3600
#: Where TCP clients say they are.
PEER = "192.0.2.1"


@dataclass(frozen=True)
class Reply:
    """One parsed response."""

    head: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(" ", 2)[1])


class Client:
    """The other end of one connection."""

    def __init__(self, sock: trio.socket.SocketType, end_server: Callable[[], None]) -> None:
        self.sock = sock
        self.end_server = end_server
        self._inbox = b""

    async def send(self, data: bytes) -> None:
        while data:
            data = data[await self.sock.send(data) :]

    async def get(self, target: str, *headers: str, method: str = "GET") -> Reply:
        await self.send(request(target, *headers, method=method))
        return await self.reply(bare=method == "HEAD")

    async def post(self, target: str, body: bytes, *headers: str) -> Reply:
        await self.send(request(target, *headers, body=body, method="POST"))
        return await self.reply()

    async def reply(self, *, bare: bool = False) -> Reply:
        """The next response, by its Content-Length; without a body if ``bare``."""
        head, headers = await self.head()
        size = 0 if bare else int(headers.get("content-length", "0"))
        return Reply(head, headers, await self.exactly(size))

    async def head(self) -> tuple[str, dict[str, str]]:
        raw = await self.until(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return first, {name.lower(): value for name, value in pairs}

    async def until(self, end: bytes) -> bytes:
        while end not in self._inbox:
            await self._more()
        data, _, self._inbox = self._inbox.partition(end)
        return data + end

    async def exactly(self, size: int) -> bytes:
        while len(self._inbox) < size:
            await self._more()
        data, self._inbox = self._inbox[:size], self._inbox[size:]
        return data

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body."""
        size = int(await self.until(b"\r\n"), 16)
        data = await self.exactly(size)
        assert await self.exactly(2) == b"\r\n"
        return data

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        with trio.fail_after(PATIENCE):
            while data := await self.sock.recv(65536):
                self._inbox += data
        data, self._inbox = self._inbox, b""
        return data

    def nothing_came(self) -> bool:
        """Whether no byte is there to be read; ask after ``wait_all_tasks_blocked``."""
        try:
            return not self._inbox and not self._peek()
        except BlockingIOError:
            return True

    def _peek(self) -> bytes:
        with socket.socket(fileno=socket.dup(self.sock.fileno())) as copy:
            return copy.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)

    async def _more(self) -> None:
        with trio.fail_after(PATIENCE):
            data = await self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed after {self._inbox!r}")
        self._inbox += data


def request(
    target: str,
    *headers: str,
    body: bytes | None = None,
    method: str = "GET",
    version: str = "1.1",
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + (body or b"")


def call_body(method: str, *strings: str) -> bytes:
    params = "".join(f"<param><value>{text}</value></param>" for text in strings)
    return (
        f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    ).encode()


def unix_server(credentials: Credentials | None = None) -> UnixServer:
    return UnixServer("unix_http_server", "/never/opened.sock", credentials=credentials)


def inet_server(credentials: Credentials | None = None) -> InetServer:
    return InetServer("inet_http_server", "127.0.0.1", 9001, credentials=credentials)


@asynccontextmanager
async def talking(
    fake: FakeSupervisor, server: Server | None = None, app: App | None = None
) -> AsyncIterator[Client]:
    """A connection to a server with this supervisor behind it."""
    server = unix_server() if server is None else server
    app = app or App(server, fake.real)
    crowd = ConnectionSet(fake.log, lambda: len(fake.processes()))
    peer = "" if isinstance(server, UnixServer) else PEER
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with trio.socket.from_stdlib_socket(ours) as sock:
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def serve() -> None:
                with scope:
                    await crowd.serve(theirs, peer, app)

            nursery.start_soon(serve)
            yield Client(sock, scope.cancel)
            scope.cancel()
