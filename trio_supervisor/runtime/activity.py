"""The daemon's own log (process.md 13): one record format, a file or syslog, a copy on stdout."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.sinks import Sinks, StreamSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config import DaemonConfig
    from trio_supervisor.runtime.sinks import Sink

#: How each level is shown (P-283).
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
#: Seconds the end waits for readers of stdout that sleep.
SETTLE = 1.0


class ActivityLog:
    """Writes each record to every target; trouble with one leaves the others alone (P-295)."""

    def __init__(
        self, level: Severity, *, path: str | None, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.level = level
        self.path = path
        """Of the log file; None when there is none to read (syslog)."""
        self.sinks = Sinks(self.log)
        self._wall_clock = wall_clock
        self._targets: list[Sink] = []
        self._dropped = 0

    def add(self, target: Sink) -> None:
        self._targets.append(target)

    def log(self, severity: Severity, text: str) -> None:
        """Write one record if its level is high enough (P-284). Never blocks (P-293)."""
        if severity < self.level:
            return
        now = self._wall_clock()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        record = f"{stamp},{int(now % 1 * 1000):03d} {LABELS[severity]} {text}\n".encode(
            errors="replace"
        )
        for target in self._targets:
            if isinstance(target, StreamSink) and target.full:
                self._dropped += 1
                continue
            target.write(record)
        if self._dropped and not any(
            isinstance(target, StreamSink) and target.backlog for target in self._targets
        ):
            dropped, self._dropped = self._dropped, 0
            self.log(Severity.WARN, f"{dropped} log records were dropped for a slow reader")

    def reopen(self) -> None:
        """Open the file by name again (P-247). Raises OSError."""
        for target in self._targets:
            target.reopen()

    def clear(self) -> None:
        """Replace the file by a new one (P-255). Raises OSError."""
        if self.path is not None:
            os.remove(self.path)
            self.reopen()
            self.log(Severity.INFO, "reopening log file")

    def close(self) -> None:
        for target in self._targets:
            target.close()
        self._targets.clear()
        self.sinks.settle(SETTLE)


def open_activity_log(daemon: DaemonConfig, *, foreground: bool) -> ActivityLog:
    """Open what the configuration names. Raises ConfigError (P-292, Q-70)."""
    to_syslog = daemon.logfile == "syslog"
    activity = ActivityLog(daemon.loglevel, path=None if to_syslog else daemon.logfile)
    try:
        target = (
            activity.sinks.syslog()
            if to_syslog
            else activity.sinks.file(
                daemon.logfile,
                maxbytes=daemon.logfile_maxbytes,
                backups=daemon.logfile_backups,
            )
        )
    except OSError as error:
        raise ConfigError(
            f"cannot open the log {daemon.logfile}: {error.strerror}",
            section="supervisord",
            option="logfile",
        ) from error
    activity.add(target)
    if foreground and not daemon.silent and not _is_stdout(daemon.logfile):
        activity.add(activity.sinks.file(STDOUT, maxbytes=0, backups=0))
    return activity


def _is_stdout(path: str) -> bool:
    """Whether the log file and our stdout are the same open target (P-288, Q-39)."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:
        return False
