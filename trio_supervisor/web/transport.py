"""The socket of one connection: bytes in, bytes out, without knowing what they mean."""

from __future__ import annotations

import select
import socket
from typing import Protocol

import trio

#: Bytes taken from the socket by one read.
CHUNK = 64 * 1024


class Transport(Protocol):
    """What a connection needs of its socket. All methods raise OSError when the peer is gone."""

    async def open(self) -> None:
        """Whatever must be done before the first byte."""

    async def receive(self) -> bytes:
        """Some bytes; none at the end. Always a checkpoint, so that a flood starves nobody."""

    def send(self, data: memoryview | bytes) -> int:
        """Hand over some bytes now; how many. Raises BlockingIOError."""

    async def wait_writable(self) -> None: ...

    def end(self) -> None:
        """Say that no more will come."""

    def has_left(self) -> bool:
        """Whether the peer has closed its socket."""

    def close(self) -> None: ...


def has_left(sock: socket.socket) -> bool:
    """Whether the peer has closed its socket; unread input does not matter.

    A TCP peer that has only ended its sending looks the same, so it counts as gone too.
    """
    look = select.poll()
    look.register(sock, select.POLLHUP if sock.family == socket.AF_UNIX else select.POLLRDHUP)
    return bool(look.poll(0))


class PlainTransport:
    """A non-blocking socket as it is."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.send = sock.send

    async def open(self) -> None:
        """Nothing: it is open."""

    async def receive(self) -> bytes:
        while True:
            # Nothing is there yet as a rule: the client has just been answered.
            await trio.lowlevel.wait_readable(self._sock)
            try:
                return self._sock.recv(CHUNK)
            except BlockingIOError:
                continue

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._sock)

    def end(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def has_left(self) -> bool:
        return has_left(self._sock)

    def close(self) -> None:
        self._sock.close()
