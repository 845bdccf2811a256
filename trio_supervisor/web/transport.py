"""Transports: the socket of a connection, with or without TLS."""

from __future__ import annotations

import select
import socket
from typing import Protocol

import trio

from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.system.unix_socket import peer_credentials

#: Most bytes that are read of a process's name, of which the kernel keeps 15.
NAME_SIZE = 64
#: Description of a client on a unix socket whose process is not known.
UNKNOWN_PEER = "a local client"
#: Most bytes of one read.
CHUNK = 64 * 1024


class Transport(Protocol):
    """The operations of a connection's socket. All raise OSError when the peer is gone."""

    async def open(self) -> None:
        """Do what must be done before the first byte."""

    async def receive(self) -> bytes:
        """Wait for some bytes; empty at the end.

        Always a checkpoint, so that other tasks run also while a client floods the server.
        """

    def send(self, data: memoryview | bytes) -> int:
        """Send bytes without waiting; returns their number. Raises BlockingIOError."""

    async def wait_writable(self) -> None: ...

    def end(self) -> None:
        """End the sending: the peer reads to the end of input."""

    def has_left(self) -> bool:
        """Whether the peer has closed its socket."""

    def close(self) -> None: ...

    @property
    def descriptor(self) -> int | None:
        """That of a socket with which another program could go on; None: it could not."""

    def detach(self) -> None:
        """Forget the socket, which stays open."""


def has_left(sock: socket.socket) -> bool:
    """Whether the peer has closed its socket, even if there is unread input.

    A TCP peer that has only ended its sending looks the same, and counts as gone too.
    """
    poll = select.poll()
    poll.register(sock, select.POLLHUP if sock.family == socket.AF_UNIX else select.POLLRDHUP)
    return bool(poll.poll(0))


def origin_of(sock: socket.socket, address: str) -> str:
    """Describe the client of a connection; ``address`` is its IP address, empty on a unix socket.

    On a unix socket, that is the user and the process that connected. The process may have ended
    since, or passed the socket to another one.
    """
    if address:
        return address
    try:
        pid, uid, _ = peer_credentials(sock)
    except OSError:
        return UNKNOWN_PEER
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            name = escaped(file.read(NAME_SIZE).decode(errors="replace").strip()).replace("\n", " ")
    except OSError:  # the process has ended, or runs in another namespace
        return f"uid {uid} (pid {pid} at connect)"
    return f"uid {uid} ({name}, pid {pid} at connect)"


class PlainTransport:
    """A non-blocking socket without TLS."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.send = sock.send

    async def open(self) -> None:
        """Do nothing: the socket is open."""

    async def receive(self) -> bytes:
        while True:
            # Wait first: there is no input yet as a rule, because the client was just answered.
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

    @property
    def descriptor(self) -> int | None:
        return self._sock.fileno()

    def detach(self) -> None:
        self._sock.detach()
