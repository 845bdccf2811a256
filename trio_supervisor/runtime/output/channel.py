"""One output channel of one process.

A channel takes bytes from a pipe through the filters of ``core/output.py`` to the log, the events
and, at level debug, the activity log. Trouble with one channel stays in that channel (P-211).
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core import events
from trio_supervisor.core.config.model import ChannelConfig, Severity
from trio_supervisor.core.output import AnsiStripper, Capture, Captured, WholeCharacters
from trio_supervisor.runtime.logs.logfile import clear_log
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT
from trio_supervisor.runtime.output.subscriptions import Subscriptions
from trio_supervisor.runtime.output.tail_buffer import TailBuffer
from trio_supervisor.runtime.output.time_index import TimeIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.logs.sinks import Sink

#: Most bytes taken from a pipe by one read (P-204); also how far a log may exceed maxbytes (P-233).
CHUNK = 128 * 1024
#: Reads of one channel before others get their turn (P-212).
READS_PER_TURN = 4
#: A pipe that filled a whole default pipe buffer is enlarged to this: fewer, larger reads. Never by
#: default, since an unprivileged user has only 1024 large pipes (design/technique.md 1).
HOT_PIPE_SIZE = 256 * 1024
DEFAULT_PIPE_SIZE = 64 * 1024
#: After short reads in quick succession: seconds to let output gather. Each wake-up costs more than
#: the bytes it fetches; 20 ms cannot be seen in a log (design/technique.md 2).
GATHER = 0.02

_EVENTS = {
    "stdout": (events.ProcessLogStdout, events.ProcessCommunicationStdout),
    "stderr": (events.ProcessLogStderr, events.ProcessCommunicationStderr),
}


class Channel:
    """One output channel of one process, for all its children after one another.

    ``name`` is ``stdout`` or ``stderr``; ``logfile`` the path of its log, or None. A function makes
    the log and returns its path, or raises OSError; then the next child's start tries again.
    """

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        *,
        process: str,
        group: str,
        host: Host,
        logfile: str | Callable[[], str] | None,
    ) -> None:
        self.name = name
        self.config = config
        self.logfile: str | None = None
        self._make_log: Callable[[], str] | None = None
        if callable(logfile):
            self._make_log = logfile
            with suppress(OSError):
                self._provide_log()
        else:
            self.logfile = logfile
        self._process = process
        self._group = group
        self._host = host
        self._log_event, self._communication_event = _EVENTS[name]
        self._sinks: tuple[Sink, ...] = ()
        self._closed: tuple[Sink, ...] = ()
        self._stripper: AnsiStripper | None = None
        self._capture: Capture | None = None
        self._characters = WholeCharacters()
        self._pid = 0
        self.outputs = Subscriptions()
        self.recent = TailBuffer()
        self.marks = TimeIndex()
        self._publishes = config.events_enabled
        self._capture_maxbytes = config.capture_maxbytes

    async def open(self) -> None:
        """Open the log targets for a new child (P-040). Raises OSError; nothing is open then."""
        await self.settled()  # two that rotate one file would get in each other's way (P-231)
        sinks: list[Sink] = []
        self._provide_log()
        if self.logfile is not None:
            sinks.append(
                await self._host.sinks.open_file(
                    self.logfile, maxbytes=self.config.maxbytes, backups=self.config.backups
                )
            )
        if self.config.syslog:
            sinks.append(self._host.sinks.syslog(self._process))
        self._sinks = tuple(sinks)
        self._stripper = AnsiStripper() if self._host.daemon.strip_ansi else None
        maxbytes = self._capture_maxbytes
        self._capture = Capture(maxbytes) if maxbytes > 0 else None

    def _provide_log(self) -> None:
        if self._make_log is not None:
            self.logfile = self._make_log()
            self._make_log = None

    async def drain(self, fd: int, pid: int) -> None:
        """Take the pipe's output as it arrives, until its end (P-204)."""
        self._pid = pid
        await self._drain(fd)
        self._host.log(Severity.DEBUG, f"fd {fd} closed, stopped monitoring <{self._label}>")

    async def _drain(self, fd: int) -> None:
        gather = not self._capture_maxbytes
        last_read = -GATHER
        while True:
            await trio.lowlevel.wait_readable(fd)
            now = trio.current_time()
            if gather and now - last_read < GATHER:
                await trio.sleep(GATHER)
            last_read = trio.current_time()
            for _ in range(READS_PER_TURN):
                taken = self._read(fd, CHUNK)
                if taken is None:
                    return
                if taken < DEFAULT_PIPE_SIZE:
                    break
                last_read = -GATHER  # a full pipe is read again at once
                if taken == DEFAULT_PIPE_SIZE:
                    _enlarge(fd)
            await self._room()

    async def _room(self) -> None:
        """Read no more while a log target is slow (P-256)."""
        for sink in self._sinks:
            if sink.backlog >= BACKLOG_LIMIT:
                await sink.room()

    def drain_rest(self, fd: int) -> None:
        """Take exactly what is in the pipe now: the child is gone, but a descendant may hold the
        pipe and write for ever (P-208, P-209)."""
        (waiting,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))
        while waiting > 0 and (taken := self._read(fd, min(waiting, CHUNK))):
            waiting -= taken

    def finish(self) -> None:
        """End of the child's output: what filters withheld is written, the log closed (P-273)."""
        if self._stripper is not None:
            self._feed_capture(self._stripper.finish())
        if self._capture is not None:
            self._deliver_contained(self._capture.finish())
        self._publish_text(self._characters.finish())
        self._stripper = self._capture = None
        for sink in self._sinks:
            sink.close()
        self._closed, self._sinks = self._sinks, ()

    async def settled(self) -> None:
        """Return when all is in the log, or when its disk hangs."""
        for sink in self._closed:
            await sink.settled()

    def write_note(self, text: str) -> None:
        """Append words of ours to the log: why a child was not spawned (P-070 to P-075)."""
        self._deliver_contained(text.encode())

    def reopen(self) -> None:
        """Open the log by name again (USR2); OSError if that fails."""
        for sink in self._sinks:
            sink.reopen()

    def written_since(self, seconds: float) -> int:
        """How many bytes were written in the last so many seconds; rather too many than too few,
        but none of those before the supervisor's start, whose times nobody knows.
        """
        before = self.marks.before(trio.current_time() - seconds)
        return 0 if before is None else self.recent.count - before

    def clear(self) -> None:
        """Empty the current log file (P-251 to P-254); OSError if that fails."""
        self.marks.forget()
        if self._sinks:
            for sink in self._sinks:
                sink.clear()
        elif self.logfile is not None:
            self._host.sinks.do(clear_log, self.logfile)

    @property
    def _label(self) -> str:
        return f"{self._process} {self.name}"

    def _read(self, fd: int, size: int) -> int | None:
        """Feed one read; number of bytes (0: nothing there now), None at the end of the pipe."""
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return 0
        if not data:
            return None
        self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        self._feed_capture(data if self._stripper is None else self._stripper.feed(data))

    def _feed_capture(self, data: bytes) -> None:
        if self._capture is None:
            self._deliver_contained(data)
            return
        for item in self._capture.feed(data):
            if isinstance(item, Captured):
                self._publish_communication(item.data)
            else:
                self._deliver_contained(item.data)

    def _deliver_contained(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._write(data)
        except Exception as error:  # a channel never dies of an error, and nobody else does (P-211)
            self._host.log(
                Severity.CRITICAL, f"output of {self._label} could not be handled: {error!r}"
            )

    def _write(self, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(data)
        self.marks.note(trio.current_time(), self.recent.count)
        self.recent.feed(data)
        self.outputs.feed(data)
        if self._publishes:
            self._publish_text(self._characters.feed(data))
        if self._host.daemon.loglevel <= Severity.DEBUG:
            self._host.log(
                Severity.DEBUG, f"'{self._process}' {self.name} output:\n{events.as_text(data)}"
            )

    def _publish_text(self, data: bytes) -> None:
        if data and self._publishes:
            self._host.publish(self._log_event(self._process, self._group, self._pid, data))

    def _publish_communication(self, data: bytes) -> None:
        self._publish_text(self._characters.finish())  # no character reaches across a token
        self._publish_text(data)  # P-279
        self._host.publish(self._communication_event(self._process, self._group, self._pid, data))
        self._host.log(Severity.DEBUG, f"'{self._process}' {self.name} emitted a comm event")


def _enlarge(fd: int) -> None:
    try:
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < HOT_PIPE_SIZE:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, HOT_PIPE_SIZE)
    except OSError:
        return  # over the user's limit: a small pipe works too
