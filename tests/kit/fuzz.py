"""Throws bytes at the HTTP doors without sockets, and tells whether anything went wrong.

Also the harness of ``atheris`` runs outside CI (docs/security.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

from tests.kit.fake_supervisor import BOB, FakeActivity, FakeSupervisor
from tests.kit.web import inet_server
from trio_supervisor.core.config.access import Access
from trio_supervisor.core.config.model import InetServer
from trio_supervisor.web.app import App
from trio_supervisor.web.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable

PEER = "192.0.2.66"
#: Small, so that bodies beyond it are met often.
SERVER = InetServer("inet_http_server", "127.0.0.1", 1, access=Access(body_maxbytes=4096))
LOCKED = inet_server(BOB)
#: Bytes that one connection may be answered for each byte it sent, and in any case: no short
#: request makes us write or keep megabytes.
AMPLIFICATION = 2000
#: Also 501 for a Transfer-Encoding that is unknown, 503 while the supervisor is shutting down.
GOOD = {100, *range(200, 500), 501, 503}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ", re.ASCII)


@dataclass
class MemoryWire:
    """The socket of one connection: gives these pieces, then the end; keeps what is sent."""

    pieces: list[bytes]
    sent: bytearray = field(default_factory=bytearray)
    closed: bool = False

    async def open(self) -> None:
        pass

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else b""

    def send(self, data: memoryview | bytes) -> int:
        self.sent += data
        return len(data)

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def end(self) -> None:
        pass

    def has_left(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    @property
    def descriptor(self) -> int | None:
        return None

    def detach(self) -> None:
        """There is no socket."""


class Door:
    """One server with a supervisor behind it that has a bit of everything."""

    def __init__(self, log: str, server: InetServer = SERVER) -> None:
        self.fake = FakeSupervisor("cat", "grp:ga", "grp:gb", "off")
        self.fake.process("cat").run()
        for process in self.fake.processes():
            process.stdout.logfile = log
        self.fake.activity = FakeActivity(None)
        self._app = App(server, self.fake.real)

    async def converse(self, pieces: Iterable[bytes]) -> bytes:
        """What one connection is answered to these pieces. Raises AssertionError."""
        wire = MemoryWire([piece for piece in pieces if piece])
        size = sum(map(len, wire.pieces))
        await Connection(wire, self._app, PEER).run()
        assert wire.closed
        statuses = {int(status) for status in _STATUS_LINE.findall(wire.sent)}
        assert statuses <= GOOD, (statuses, self.fake.lines)
        assert len(wire.sent) <= (size + 1) * AMPLIFICATION
        assert not [line for line in self.fake.lines if "Traceback" in line or "error in" in line]
        assert all(line.isprintable() for line in self.fake.lines)
        self.fake.lines.clear()
        return bytes(wire.sent)


def run(log: str, pieces: Iterable[bytes], server: InetServer = SERVER) -> bytes:
    """One connection by itself, in a new event loop; time jumps over all delays."""
    clock = MockClock(autojump_threshold=0)
    return trio.run(Door(log, server).converse, pieces, clock=clock)
