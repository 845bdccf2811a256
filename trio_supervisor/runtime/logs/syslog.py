"""Log lines to the local syslog daemon, over its datagram socket.

The C library's ``syslog`` waits while that daemon is busy and would block the event loop, so a
writer thread sends the lines.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.logs import writer

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.writer import Writer

SOCKET = "/dev/log"
#: Facility USER, severity INFO, whatever the line.
PRIORITY = 1 * 8 + 6
#: ``Nov  4 16:20:00`` within ``Tue Nov  4 16:20:00 2026``: the month's name is English everywhere.
_STAMP = slice(4, 19)


class SyslogSocket:
    """The socket; connected when needed, and anew when the syslog daemon was restarted."""

    def __init__(self, address: str = SOCKET) -> None:
        self.address = address
        self._socket: socket.socket | None = None

    def write(self, data: memoryview) -> int:
        if self._socket is not None:
            try:
                return self._socket.send(data)
            except OSError:
                self.close()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(self.address)
            return self._socket.send(data)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class SyslogSink:
    """Each line of each chunk as one message, ``<process> <line>``."""

    broken = False

    def __init__(self, shared: Writer, *, tag: str, prefix: str = "") -> None:
        self._writer = shared
        self._tag = tag
        self._prefix = prefix

    @property
    def backlog(self) -> int:
        return self._writer.backlog

    def write(self, data: bytes) -> None:
        head = f"<{PRIORITY}>{time.asctime()[_STAMP]} {self._tag}: {self._prefix}"
        for line in data.splitlines():
            self._writer.put((head + line.decode(errors="replace")).encode())

    async def room(self) -> None:
        """Return when little is waiting, or when the syslog daemon hangs.

        All programs share its socket, and may have log files besides: while it takes nothing, what
        is too much is dropped and counted; no caller waits.
        """
        while not self._writer.hangs:
            with trio.move_on_after(writer.HANGING):
                await self._writer.room()
                return

    async def settled(self) -> None:
        """The syslog daemon is not waited for."""

    async def reopen(self) -> None:
        """There is no name that a rotation could have moved."""

    async def clear(self) -> None:
        """Does nothing: what was sent cannot be taken back."""

    def close(self) -> None:
        self._writer.release()
