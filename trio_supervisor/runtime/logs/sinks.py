"""Sinks, which are open log targets: regular files, devices, FIFOs, own descriptors, syslog.

``Sinks`` belongs to one supervisor; it shares one writer among all logs with the same blocking
target, so that their bytes keep their order.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.compression import Compressor
from trio_supervisor.runtime.logs.drops import WHOLE
from trio_supervisor.runtime.logs.filesink import (
    BLOCK_TIMEOUT,
    START_TIMEOUT,
    DiskCall,
    FileSink,
)
from trio_supervisor.runtime.logs.growth import LogWrites
from trio_supervisor.runtime.logs.log_opening import LogOpening, LogRequest
from trio_supervisor.runtime.logs.logfile import LogFile
from trio_supervisor.runtime.logs.reports import ReportQueue
from trio_supervisor.runtime.logs.rotation import Rotations, RotationScheme
from trio_supervisor.runtime.logs.syslog import SOCKET, SyslogSink, SyslogSocket
from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.logs.writer import Descriptor, Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from contextlib import AbstractContextManager

    from trio_supervisor.runtime.logs.journald import JournalSink
    from trio_supervisor.runtime.logs.log_opening import OpenLog
    from trio_supervisor.runtime.logs.writer import Device

    Report = Callable[[Severity, str], None]


T = TypeVar("T")


#: Where systemd's journal takes entries.
JOURNALD_SOCKET = "/run/systemd/journal/socket"
#: Seconds for which the end of the daemon may wait for readers that are slow, and for one write to
#: a disk: a journal takes some thousand entries a second, a busy disk may take seconds for a write,
#: and a container is killed ten seconds after it was told to stop.
LONGEST_SETTLE = 5.0


class Sink(Protocol):
    """Open log target."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for a slow target. Its channel is read no further at 1 MiB."""

    @property
    def broken(self) -> bool:
        """Whether the reader at the other end of a pipe is gone."""

    def write(self, data: bytes) -> None:
        """Take bytes. Never raises and never blocks; dropped bytes are reported."""

    async def room(self) -> None:
        """Return when the backlog is small."""

    async def settled(self) -> None:
        """Return when a regular file has all, or when its disk hangs.

        A reader, which may sleep, is not waited for.
        """

    async def reopen(self) -> None:
        """Open the target by its name again. Raises OSError; the old one stays in use."""

    async def clear(self) -> None:
        """Empty a regular file; leave anything else alone. Raises OSError."""

    def close(self) -> None:
        """End the use of this target; what is waiting is still written."""


class StreamSink:
    """A target that is not a regular file: never rotated, truncated or removed.

    ``reopen`` opens it by name again.
    """

    def __init__(self, writer: Writer, *, reopen: Callable[[], Awaitable[Writer]]) -> None:
        self._writer = writer
        self._open_again = reopen
        self._last_line = WHOLE

    @property
    def backlog(self) -> int:
        return self._writer.backlog

    @property
    def broken(self) -> bool:
        return self._writer.broken

    def write(self, data: bytes) -> None:
        if self._writer.put(data, self._last_line.prefix):
            self._last_line = self._last_line.written(data)
        else:
            self._last_line = self._last_line.lost()

    async def room(self) -> None:
        await self._writer.room()

    async def settled(self) -> None:
        """A reader is not waited for."""

    async def reopen(self) -> None:
        fresh = await self._open_again()
        self._writer.release()
        self._writer = fresh

    async def clear(self) -> None:
        """Does nothing: clearing must not remove the link of a device."""

    def close(self) -> None:
        self._writer.release()


class Sinks:
    """Opens log targets. ``report`` writes to the activity log, ``tag`` names us in syslog."""

    def __init__(
        self, report: Report, *, tag: str = "tsupervisord", syslog_socket: str = SOCKET
    ) -> None:
        self.report = report
        self._tag = tag
        self._syslog_socket = syslog_socket
        self._writers: dict[Hashable, Writer] = {}
        self._worker = DiskWorker()
        self._reports = ReportQueue()
        self.writes = LogWrites()
        """What is written to regular files; followers are woken by it."""
        self._warned: set[str] = set()
        self._rotations = Rotations()
        self._compressor = Compressor(self._rotations)
        self.journald_socket = JOURNALD_SOCKET

    def file(self, path: str, *, maxbytes: int, backups: int) -> Sink:
        """Open a log of the daemon itself, at its start, by its configured name.

        Raises OSError (ENXIO: a FIFO without a reader).
        """
        request = LogRequest(path, RotationScheme(maxbytes, backups))
        opening = LogOpening((request,), self._rotations)
        self._call(opening).wait(START_TIMEOUT)
        return self._sink(*opening.opened)

    async def open_files(self, requests: tuple[LogRequest, ...]) -> list[Sink]:
        """Open the logs of a child; a slow disk holds up only the calling task. Raises OSError."""
        if not requests:
            return []
        opening = self.opening(requests)
        try:
            await self._call(opening).outcome()
        except TimeoutError:
            raise opening.unanswered() from None
        return self.opened(opening)

    def opening(self, requests: tuple[LogRequest, ...]) -> LogOpening:
        """Return what opens logs in any thread; ``opened`` makes sinks of them."""
        return LogOpening(requests, self._rotations)

    def opened(self, opening: LogOpening) -> list[Sink]:
        """Return the sinks of logs that have been opened.

        Raises OSError; they are closed then.
        """
        sinks: list[Sink] = []
        try:
            while opening.opened:
                sinks.append(self._sink(opening.opened.pop(0)))
        except BaseException:  # there is no thread for a stream
            opening.close()
            for sink in sinks:
                sink.close()
            raise
        return sinks

    def _call(self, opening: LogOpening) -> DiskCall[None]:
        def run(path: str) -> None:
            opening.run()

        return DiskCall(self._worker, run, opening.first, lambda result: opening.close())

    def syslog(self, process: str | None = None) -> Sink:
        """Open syslog for the lines of one process, or for our own."""
        address = self._syslog_socket
        writer = self._writer(("syslog", address), "syslog", lambda: SyslogSocket(address))
        return SyslogSink(writer, tag=self._tag, prefix="" if process is None else f"{process} ")

    def journald(self, program: str, group: str, process: str, stream: str) -> JournalSink:
        """Open systemd's journal for one output of one process."""
        # Imported here because most programs do not log there.
        from trio_supervisor.runtime.logs.journald import PRIORITIES, JournalSink, JournalSocket

        address = self.journald_socket
        writer = self._writer(("journald", address), "journald", lambda: JournalSocket(address))
        fields = {
            "PRIORITY": str(PRIORITIES[stream]),
            "SYSLOG_IDENTIFIER": process,
            "TSUPERVISOR_PROGRAM": program,
            "TSUPERVISOR_GROUP": group,
            "TSUPERVISOR_STREAM": stream,
        }
        return JournalSink(writer, fields)

    def batch(self) -> AbstractContextManager[None]:
        """Return a context that has files written at its end, see ``DiskWorker.batch``."""
        return self._worker.batch()

    def settle(self, seconds: float) -> None:
        """Wait until everything is written; what makes no progress for so long is left behind.

        A reader that is slow but takes something is waited for up to ``LONGEST_SETTLE`` seconds,
        and a disk until it has done nothing for so long, since a child that has ended writes its
        output to no other place. What is not written then is reported.
        """
        self._worker.settle(max(seconds, LONGEST_SETTLE))
        for path, count in self._worker.left():
            self.report(
                Severity.ERROR,
                f"log {path}: {count} bytes are not written before the end, because its disk does"
                " not answer",
            )
        began = time.monotonic()
        for writer in self._writers.values():
            writer.settle(seconds, max(seconds, LONGEST_SETTLE), began)

    def hanging(self) -> str:
        """Tell which log takes no bytes; empty if all do."""
        if self._worker.hangs:
            return "the disk of a log does not answer"
        stuck = [writer.name for writer in self._writers.values() if writer.hangs]
        return f"the reader of the log {stuck[0]} takes nothing" if stuck else ""

    def unwritten(self) -> str:
        """Tell which log has not got all; empty if all have."""
        # The log with the most first: the daemon's own has still to get what it tells of that.
        slowest = max(self._writers.values(), key=lambda writer: writer.backlog, default=None)
        if slowest is not None and slowest.backlog:
            return f"the reader of the log {slowest.name} is too slow"
        return "the disk of a log does not answer" if self._worker.is_busy else ""

    def do(
        self,
        action: Callable[[str], T],
        path: str,
        *,
        undo: Callable[[T], object] = id,
        timeout: float = BLOCK_TIMEOUT,
    ) -> T:
        """Do something with a file without waiting long for its disk. Raises OSError.

        ``undo`` takes back what comes of it after that.
        """
        return DiskCall(self._worker, action, path, undo).wait(timeout)

    async def outcome(self, action: Callable[[str], T], path: str) -> T:
        """Do something with a file; a slow disk holds up only the calling task. Raises OSError."""
        return await DiskCall(self._worker, action, path, id).outcome()

    def _sink(self, log: OpenLog) -> Sink:
        """Return the sink of an open file. Raises OSError; it is closed then."""
        request = log.request
        path, rotation = request.path, request.rotation
        if log.size is not None:
            report = request.report or self.report
            self._reports.attach()
            file = LogFile(
                path,
                log.fd,
                size=log.size,
                rotation=rotation,
                report=report,
                reports=self._reports,
                creation=request.creation,
                compressor=self._compressor if rotation.compressed else None,
                rotations=self._rotations,
                rotated=log.rotated,
            )
            return FileSink(file, self._worker, self.writes, report, self._reports)
        sink = StreamSink(
            self._stream_writer(path, log.fd),
            reopen=lambda: self._reopened(path),
        )
        if rotation.maxbytes > 0 and path != os.devnull and path not in self._warned:
            self._warned.add(path)  # once per start
            self.report(
                Severity.WARN,
                f"{path} is no regular file and not rotated; maxbytes=0 for it ends this warning",
            )
        return sink

    async def _reopened(self, path: str) -> Writer:
        """Open a stream by its name again. Raises OSError."""
        opening = LogOpening((LogRequest(path, RotationScheme()),), self._rotations)
        await self._call(opening).outcome()
        [log] = opening.opened
        return self._stream_writer(path, log.fd)

    def _stream_writer(self, path: str, fd: int) -> Writer:
        """The writer of an open stream, whatever names lead to it; takes over ``fd``."""
        status = os.fstat(fd)
        opened = Descriptor(fd)
        writer = self._writer((status.st_dev, status.st_ino), path, lambda: opened)
        if not writer.writes_to(opened):
            opened.close()
        return writer

    def _writer(self, key: Hashable, name: str, target: Callable[[], Device]) -> Writer:
        """The writer for a target, with one more user."""
        writer = self._writers.get(key)
        if writer is None or not writer.retain():
            writer = self._writers[key] = Writer(name, target(), report=self.report)
        return writer
