"""Where log bytes go: regular files, our own descriptors, devices, FIFOs, syslog.

``Sinks`` belongs to one supervisor; it shares one writer among all who write to the same blocking
target, so that their bytes keep their order.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.config import Severity
from trio_supervisor.runtime.logfile import CREATE_MODE, OPEN_FLAGS, LogFile
from trio_supervisor.runtime.writer import BACKLOG_LIMIT, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[Severity, str], None]

#: Names of our own descriptors; opening the path would fail for a socket or another user's file.
_OWN_DESCRIPTOR = re.compile(r"/dev/(?:std(in|out|err)|fd/(\d+))|/proc/self/fd/(\d+)")
_STANDARD = {"in": 0, "out": 1, "err": 2}
#: Facility USER, severity INFO (P-227).
SYSLOG_PRIORITY = 1 * 8 + 6
SYSLOG_SOCKET = "/dev/log"


class Sink(Protocol):
    """One log target, open."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for a slow target; its channel is not read at 1 MiB (P-256)."""

    def write(self, data: bytes) -> None:
        """Take bytes. Never raises and never blocks."""

    async def room(self) -> None:
        """Return when the backlog is small."""

    def reopen(self) -> None:
        """Open the target by name again (P-247). Raises OSError; the old one stays in use."""

    def clear(self) -> None:
        """Empty a regular file; leave anything else alone (P-254). Raises OSError."""

    def close(self) -> None:
        """End the use of this target."""


class StreamSink:
    """A target that is not a regular file: never rotated, truncated or removed (P-243)."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def backlog(self) -> int:
        return self._writer.backlog

    @property
    def full(self) -> bool:
        """Whether a writer that may drop should do so now."""
        return self._writer.backlog >= BACKLOG_LIMIT

    def write(self, data: bytes) -> None:
        self._writer.put(data)

    async def room(self) -> None:
        await self._writer.room()

    def reopen(self) -> None:
        """It has no name that could have moved."""

    def clear(self) -> None:
        """Q-48: clearing must not remove a device's link."""

    def close(self) -> None:
        """Others may be writing to it: the writer stays until ``Sinks.settle``."""


class SyslogSink:
    """Each line of each chunk as one message ``<process> <line>`` (P-227 to P-230)."""

    backlog = 0

    def __init__(self, tag: str, prefix: str = "") -> None:
        self._tag = tag
        self._prefix = prefix
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def write(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            stamp = time.strftime("%b %e %H:%M:%S")
            message = f"<{SYSLOG_PRIORITY}>{stamp} {self._tag}: {self._prefix}{line}"
            try:
                self._socket.sendto(message.encode(), SYSLOG_SOCKET)
            except OSError:
                return  # nobody listens, or slowly; syslog gives no promise either

    async def room(self) -> None:
        """There always is."""

    def reopen(self) -> None:
        """Each message is sent by name anyway."""

    def clear(self) -> None:
        """Succeeds and does nothing (P-253)."""

    def close(self) -> None:
        self._socket.close()


class Sinks:
    """Opens log targets. ``report`` writes to the activity log."""

    def __init__(self, report: Report, *, tag: str = "tsupervisord") -> None:
        self._report = report
        self._tag = tag
        self._writers: dict[str, Writer] = {}
        self._warned: set[str] = set()

    def file(self, path: str, *, maxbytes: int, backups: int) -> Sink:
        """Open a log by its configured name. Raises OSError (ENXIO: a FIFO without a reader)."""
        own = _OWN_DESCRIPTOR.fullmatch(path)
        if own is not None:
            number = _STANDARD[own[1]] if own[1] else int(own[2] or own[3])
            self._warn_rotation(path, maxbytes)
            return StreamSink(self._writer(f"fd {number}", lambda: os.dup(number)))
        fd = os.open(path, OPEN_FLAGS, CREATE_MODE)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return LogFile(path, maxbytes=maxbytes, backups=backups, report=self._report)
            os.set_blocking(fd, True)
            if path != os.devnull:
                self._warn_rotation(path, maxbytes)
            return StreamSink(self._writer(path, lambda: os.dup(fd)))
        finally:
            os.close(fd)

    def syslog(self, process: str | None = None) -> Sink:
        """Open syslog for the lines of one process, or for our own."""
        return SyslogSink(self._tag, f"{process} " if process is not None else "")

    def settle(self, timeout: float) -> None:
        """End all writers; those whose reader sleeps are given ``timeout`` seconds in all."""
        deadline = time.monotonic() + timeout
        for writer in self._writers.values():
            writer.close()
        for writer in self._writers.values():
            writer.join(max(0.0, deadline - time.monotonic()))
        self._writers.clear()

    def _writer(self, key: str, open_fd: Callable[[], int]) -> Writer:
        writer = self._writers.get(key)
        if writer is None or writer.broken:
            writer = self._writers[key] = Writer(open_fd())
        return writer

    def _warn_rotation(self, path: str, maxbytes: int) -> None:
        """Once per start (P-243, Q-40)."""
        if maxbytes > 0 and path not in self._warned:
            self._warned.add(path)
            self._report(
                Severity.WARN,
                f"{path} is not a regular file: it is not rotated although maxbytes asks for it",
            )
