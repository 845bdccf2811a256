"""The log targets of one output channel: opened for each child, written to, cleared, reopened."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import AUTO, Compression, FileTarget
from trio_supervisor.runtime.logs.filesink import FileSink
from trio_supervisor.runtime.logs.log_opening import LogRequest
from trio_supervisor.runtime.logs.logfile import USUAL, LogCreation, clear_log
from trio_supervisor.runtime.logs.rotation import RotationScheme
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.core.config.model import Severity, Target
    from trio_supervisor.runtime.logs.missing import MissingLog
    from trio_supervisor.runtime.logs.sinks import Sink, Sinks


class ChannelTargets:
    """The configured targets of a channel, and the sinks that are open for them.

    ``auto_log`` is the path of an automatic log, or what makes its file and returns that, or raises
    OSError; then the start of the next child tries again. ``path`` is that of the log file, None
    without one.
    """

    __slots__ = (
        "_closed",
        "_create_dirs",
        "_make_auto_log",
        "_open",
        "_process",
        "_report",
        "_sinks",
        "_stand_ins",
        "_targets",
        "path",
    )

    def __init__(
        self,
        targets: tuple[Target, ...],
        sinks: Sinks,
        *,
        process: str,
        auto_log: str | Callable[[], str] | None,
        create_dirs: bool = False,
        report: Callable[[Severity, str], None] | None = None,
    ) -> None:
        self._report = sinks.report if report is None else report
        self._targets = targets
        self._sinks = sinks
        self._process = process
        self._create_dirs = create_dirs
        self._open: tuple[Sink, ...] = ()
        self._closed: tuple[Sink, ...] = ()
        self._stand_ins: tuple[MissingLog, ...] = ()
        """Those of the living child, or of an earlier one."""
        self.path = auto_log if isinstance(auto_log, str) else None
        self._make_auto_log = None if isinstance(auto_log, str) else auto_log
        with suppress(OSError):
            for target in targets:
                if isinstance(target, FileTarget):
                    self.path = self._path_of(target)

    @property
    def auto_log(self) -> str | None:
        """Path of the automatic log; None if there is none, or if it could not be made yet."""
        is_automatic = any(
            isinstance(one, FileTarget) and one.path is AUTO for one in self._targets
        )
        return self.path if is_automatic else None

    @property
    def are_files(self) -> bool:
        """Whether all targets have a path."""
        return all(isinstance(target, FileTarget) for target in self._targets)

    def requests(self) -> tuple[LogRequest, ...]:
        """Return what files are to be opened for a new child. Raises OSError."""
        targets = (target for target in self._targets if isinstance(target, FileTarget))
        return tuple([self._request(target) for target in targets])

    def take(self, files: Iterator[Sink]) -> None:
        """Write to these, in the order of ``requests``, and to syslog from now on.

        Raises OSError; nothing is open then.
        """
        opened: list[Sink] = []
        try:
            for target in self._targets:
                is_file = isinstance(target, FileTarget)
                opened.append(next(files) if is_file else self._sinks.syslog(self._process))
        except BaseException:
            for sink in opened:
                sink.close()
            raise
        self._take_turns(opened)

    async def resume(self) -> None:
        """Open all targets for a living child; something stands in for what cannot be opened."""
        await self.settled()
        self._stand_ins = ()
        opened: list[Sink] = []
        try:
            for target in self._targets:
                try:
                    sink = await self._open_target(target)
                except OSError as error:
                    sink = self._stand_in(target, error)
                opened.append(sink)
        except BaseException:
            for sink in opened:
                sink.close()
            raise
        self._take_turns(opened)

    def _take_turns(self, opened: list[Sink]) -> None:
        """Let sinks follow those of the child before."""
        for sink, earlier in zip(opened, self._closed, strict=False):  # none are closed at first
            if isinstance(sink, FileSink) and isinstance(earlier, FileSink):
                sink.follow(earlier)
        self._open = tuple(opened)

    @property
    def missing(self) -> list[MissingLog]:
        """What stands in for targets that could not be opened."""
        return [sink for sink in self._stand_ins if sink in self._open]

    @property
    def only_file(self) -> FileSink | None:
        """The sink of the log file, if there is no other target."""
        if len(self._open) != 1:
            return None
        (sink,) = self._open
        return sink if isinstance(sink, FileSink) else None

    def write(self, data: bytes) -> None:
        for sink in self._open:
            sink.write(data)

    @property
    def backlog(self) -> int:
        """Bytes that wait for the disk."""
        files = (sink for sink in (*self._open, *self._closed) if isinstance(sink, FileSink))
        return max((sink.backlog for sink in files), default=0)

    @property
    def backlogged(self) -> bool:
        """Whether more waits for some target than it should: the child is read no further then."""
        return any(sink.backlog >= BACKLOG_LIMIT for sink in self._open)

    async def room(self) -> None:
        """Return when no target is backlogged any more."""
        for sink in self._open:
            if sink.backlog >= BACKLOG_LIMIT:
                await sink.room()

    async def settled(self) -> None:
        """Return when all that was written before ``close`` is in the log, or its disk hangs."""
        for sink in self._closed:
            if sink.backlog:  # seldom
                await sink.settled()

    async def reopen(self) -> None:
        """Open what is open by its name again. Raises OSError."""
        for sink in self._open:
            await sink.reopen()

    async def clear(self) -> None:
        """Empty the current log file. Raises OSError."""
        if self._open:
            for sink in self._open:
                await sink.clear()
        elif self.path is not None:
            await self._sinks.outcome(clear_log, self.path)

    def close(self) -> None:
        """The child is gone; what is waiting is still written."""
        for sink in self._open:
            sink.close()
        self._closed, self._open = self._open, ()

    def _stand_in(self, target: Target, error: OSError) -> MissingLog:
        from trio_supervisor.runtime.logs.missing import MissingLog  # few daemons ever miss a log

        def opened(sink: Sink) -> None:
            self._open = tuple(sink if each is missing else each for each in self._open)
            self._closed = tuple(sink if each is missing else each for each in self._closed)

        name = self.path or "auto" if isinstance(target, FileTarget) else "syslog"
        again = partial(self._open_target, target)
        missing = MissingLog(name, error, open_again=again, opened=opened, report=self._report)
        self._stand_ins = (*self._stand_ins, missing)
        return missing

    async def _open_target(self, target: Target) -> Sink:
        if not isinstance(target, FileTarget):
            return self._sinks.syslog(self._process)
        [sink] = await self._sinks.open_files((self._request(target),))
        return sink

    def _request(self, target: FileTarget) -> LogRequest:
        self.path = self._path_of(target)
        compressed = target.compress is Compression.GZ
        rotation = _rotation(target.maxbytes, target.backups, compressed)
        return LogRequest(self.path, rotation, self._creation(target), self._report)

    def _creation(self, target: FileTarget) -> LogCreation:
        if target.mode is None and not self._create_dirs:
            return USUAL
        return LogCreation(target.mode, self._create_dirs)

    def _path_of(self, target: FileTarget) -> str:
        """Return the path of a log file; an automatic one is made first. Raises OSError."""
        if target.path is not AUTO:
            return target.path
        if self.path is None:
            assert self._make_auto_log is not None
            self.path = self._make_auto_log()
            self._make_auto_log = None  # it is made once, and is memory for each program
        return self.path


@cache
def _rotation(maxbytes: int, backups: int, compressed: bool) -> RotationScheme:
    """Return the same object for all logs with equal options: few differ."""
    return RotationScheme(maxbytes, backups, compressed)
