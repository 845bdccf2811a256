"""The activity log, the daemon's own: to a file or to syslog, with a copy on stdout.

Records that follow each other quickly, as at a start of many programs, are written together: each
handing over to the threads that write costs more than the record. The first is written at once.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import ConfigError, Failed, NoFile
from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.logs.drops import reason
from trio_supervisor.runtime.logs.filesink import FileSink
from trio_supervisor.runtime.logs.logfile import is_regular, open_log
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT
from trio_supervisor.runtime.system.opening import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import DaemonConfig
    from trio_supervisor.runtime.logs.sinks import Sink

#: How each level is shown in a record.
LABELS = {
    Severity.CRITICAL: "CRIT",
    Severity.ERROR: "ERRO",
    Severity.WARN: "WARN",
    Severity.INFO: "INFO",
    Severity.DEBUG: "DEBG",
    Severity.TRACE: "TRAC",
    Severity.BLATHER: "BLAT",
}
STDOUT = "/dev/stdout"
SYSLOG = "syslog"
#: Seconds that ``close`` waits for a reader that takes nothing, so that the daemon exits promptly.
CLOSE_TIMEOUT = 0.5
#: Seconds that a response to a client is delayed until its log records are written; usually it
#: takes about 0.0001 s.
FLUSH_TIMEOUT = 0.1
#: Seconds in which records gather after one was written; no reader of a log sees a difference.
GATHER = 0.02
#: Bytes of records from which on they gather no longer.
MOST_GATHERED = 64 * 1024


class ActivityLog:
    """Writes each record to every target. An error of one target does not affect the others."""

    def __init__(
        self,
        level: Severity,
        *,
        path: str | None = None,
        wall_clock: Callable[[], float] = time.time,
        sinks: Sinks | None = None,
    ) -> None:
        self.level = level
        self.path = path
        """Path of the log file; None means syslog."""
        self.sinks = Sinks(self.log) if sinks is None else sinks
        self._wall_clock = wall_clock
        self._target: Sink | None = None
        self._copy: Sink | None = None
        self._dropped = 0
        self._late = False
        """True after ``settled`` timed out."""
        self._early: list[tuple[Severity, str]] = []
        """Records that were logged before the targets were open."""
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._gathering = False
        """Whether a task will write what is gathered."""
        self._written_at = -math.inf
        self._second: int | None = None
        """Of the last record, by the system clock."""
        self._stamp = ""
        """The same as text."""

    def open(self, *, maxbytes: int, backups: int, copy: str | None = None) -> None:
        """Open the log, and a copy unless the log itself goes to the same target.

        Raises OSError.
        """
        if self.path is None:
            self._target = self.sinks.syslog()
        else:
            self._target = self.sinks.file(self.path, maxbytes=maxbytes, backups=backups)
        if copy is not None and not _same_target(self.path, copy):
            self._copy = self.sinks.file(copy, maxbytes=0, backups=0)
        early, self._early = self._early, []
        for severity, text in early:
            self.log(severity, text)

    def log(self, severity: Severity, text: str) -> None:
        """Write one record if its level is high enough.

        Never raises, and never waits: neither for a disk nor for a reader (``settled`` does).
        """
        if severity < self.level:
            return
        if self._target is None:
            self._early.append((severity, text))
            return
        record = self._record(severity, text)
        self._gathered.append(record)
        self._gathered_bytes += len(record)
        if not self._may_gather() or self._gathered_bytes >= MOST_GATHERED:
            self._write_gathered()

    async def settled(self) -> None:
        """Wait until all records are in the log file, at most FLUSH_TIMEOUT seconds.

        After a timeout a target is not waited for again until its backlog is empty.
        """
        self._write_gathered()
        for sink in (self._target, self._copy):
            if sink is None or (self._late and sink.backlog):
                continue
            with trio.move_on_after(FLUSH_TIMEOUT) as scope:
                await sink.settled()
            self._late = scope.cancelled_caught

    async def reopen(self) -> None:
        """Open the file by its name again. Raises OSError."""
        self._write_gathered()
        if self._target is not None:
            await self._target.reopen()

    async def clear(self) -> None:
        """Replace the file by a new one. Raises NoFile, Failed."""
        if self.path is None:
            raise NoFile("")
        try:
            if not await self.sinks.outcome(is_regular, self.path):
                raise NoFile(self.path)
            await self.sinks.outcome(remove, self.path)
            await self.reopen()
        except OSError as error:
            raise Failed(f"{self.path}: {reason(error)}") from error
        self.log(Severity.INFO, "reopening log file")

    def close(self) -> None:
        """Close all targets; wait for slow disks and readers, but only for a moment."""
        self._write_gathered()
        self.sinks.settle(CLOSE_TIMEOUT)  # while it can be reported what they leave
        self._write_gathered()
        self._close_copy()
        target, self._target = self._target, None
        if target is not None:
            target.close()
        self.sinks.settle(CLOSE_TIMEOUT)

    def _record(self, severity: Severity, text: str) -> bytes:
        now = self._wall_clock()
        second = int(now // 1)
        if second != self._second:  # many records are of the same
            self._second = second
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        milliseconds = int(now % 1 * 1000)
        line = f"{self._stamp},{milliseconds:03d} {LABELS[severity]} {escaped(text)}\n"
        return line.encode(errors="replace")

    def _may_gather(self) -> bool:
        """Whether the record may wait, because one was just written; a task writes it soon."""
        if self._gathering:
            return True
        try:
            now = trio.current_time()
        except RuntimeError:  # no loop
            return False
        if now - self._written_at >= GATHER:
            self._written_at = now
            return False
        self._gathering = True
        trio.lowlevel.spawn_system_task(self._write_later)
        return True

    async def _write_later(self) -> None:
        try:
            await trio.sleep(GATHER)
        finally:
            self._gathering = False
            self._written_at = trio.current_time()
            self._write_gathered()

    def _write_gathered(self) -> None:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if not gathered:
            return
        self._forget_vanished_reader()
        if self._dropped and not self._backlog():
            dropped, self._dropped = self._dropped, 0
            text = f"{dropped} log records were dropped for a slow reader"
            gathered.insert(0, self._record(Severity.WARN, text))
        joined = b"".join(gathered)  # each write wakes a thread
        for sink in (self._target, self._copy):
            if sink is None:
                continue
            # A file drops and counts by itself, much later: its disk is seldom slow, readers often.
            if sink.backlog >= BACKLOG_LIMIT and not isinstance(sink, FileSink):
                self._dropped += len(gathered)
            else:
                sink.write(joined)

    def _backlog(self) -> int:
        return sum(sink.backlog for sink in (self._target, self._copy) if sink is not None)

    def _forget_vanished_reader(self) -> None:
        """Close a copy whose reader is gone, so that its writes fail no more."""
        if self._copy is not None and self._copy.broken:
            self._close_copy()

    def _close_copy(self) -> None:
        copy, self._copy = self._copy, None  # first: what closing has to report comes back here
        if copy is not None:
            copy.close()


def open_activity_log(daemon: DaemonConfig, *, foreground: bool) -> ActivityLog:
    """Open the log that the configuration names. Raises ConfigError."""
    path = None if daemon.logfile == SYSLOG else daemon.logfile
    activity = ActivityLog(daemon.loglevel, path=path)
    try:
        activity.open(
            maxbytes=daemon.logfile_maxbytes,
            backups=daemon.logfile_backups,
            copy=STDOUT if foreground and not daemon.silent else None,
        )
    except OSError as error:
        activity.close()
        raise _not_opened(daemon, error) from error
    return activity


def try_activity_log(daemon: DaemonConfig) -> None:
    """Raise ConfigError if the log that the configuration names cannot be opened."""
    try:
        if daemon.logfile != SYSLOG:
            os.close(open_log(daemon.logfile))
    except OSError as error:
        raise _not_opened(daemon, error) from error


def _not_opened(daemon: DaemonConfig, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot open the log {daemon.logfile}: {reason(error)}",
        section="supervisord",
        option="logfile",
    )


def _same_target(path: str | None, copy: str) -> bool:
    """Return whether the log and its copy are the same file or device."""
    try:
        return path is not None and os.path.samestat(os.stat(path), os.stat(copy))
    except OSError:
        return False
