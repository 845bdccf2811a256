"""One output channel of one process: the pipeline from a pipe to logs, events and subscribers.

1. The source is the channel's reader (``reader.py``).
2. Filters remove ANSI sequences and take captures apart (``core/output.py``). They pass bytes on
   split anywhere, as they were read.
3. ``_deliver_contained`` gives the rest to the log targets (``targets.py``), to memory, subscribers
   and events, and at level debug to the activity log. With a log format a stage in front of the
   targets alone makes records of the bytes (``records.py``).

A flood that only its log file needs goes past all this (``transfer.py``).

An error in one channel ends neither that channel nor another.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core import events
from trio_supervisor.core.config.model import LogFormat, Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.output import AnsiStripper, Capture, Captured, WholeCharacters
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.runtime.logs.drops import reason
from trio_supervisor.runtime.output.pipe import read_rest
from trio_supervisor.runtime.output.reader import PROMPT
from trio_supervisor.runtime.output.subscriptions import Subscriptions
from trio_supervisor.runtime.output.tail_buffer import TailBuffer
from trio_supervisor.runtime.output.targets import ChannelTargets
from trio_supervisor.runtime.output.time_index import TimeIndex

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trio_supervisor.core.config.model import ChannelConfig
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.logs.journald import JournalSink
    from trio_supervisor.runtime.logs.log_opening import LogRequest
    from trio_supervisor.runtime.logs.sinks import Sink, Sinks
    from trio_supervisor.runtime.output.reader import Reader
    from trio_supervisor.runtime.output.records import RecordStage
    from trio_supervisor.runtime.output.transfer import Transfer

_EVENTS = {
    "stdout": (events.ProcessLogStdout, events.ProcessCommunicationStdout),
    "stderr": (events.ProcessLogStderr, events.ProcessCommunicationStderr),
}


class OutputChannel:
    """One output channel of one process, for all its children one after another.

    ``name`` is ``stdout`` or ``stderr``. ``auto_log`` is an automatic log, or makes it
    (``ChannelTargets``). ``reader`` fetches the output; None means the usual one. ``log_format`` is
    how the output is written to its logs, ``program`` the name of the program in them. With
    ``create_log_dirs`` missing directories of the log are made; with ``journald`` the output goes
    to systemd's journal as well.
    """

    __slots__ = (
        "_capture",
        "_capture_maxbytes",
        "_characters",
        "_communication_event",
        "_group",
        "_has_ended",
        "_host",
        "_journal",
        "_log_event",
        "_open_journal",
        "_pid",
        "_process",
        "_reader",
        "_records",
        "_stripper",
        "_subscriptions",
        "name",
        "tail",
        "targets",
        "time_index",
    )

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        *,
        process: str,
        group: str,
        host: Host,
        auto_log: str | Callable[[], str] | None = None,
        reader: Reader | None = None,
        program: str = "",
        log_format: LogFormat = LogFormat.RAW,
        create_log_dirs: bool = False,
        journald: bool = False,
    ) -> None:
        self.name = name
        self._process = process
        self._group = group
        self._host = host
        self._log_event, self._communication_event = _EVENTS[name]
        self._capture_maxbytes = config.capture_maxbytes
        usual: Reader = PROMPT if config.capture_maxbytes else host.gathering
        self._reader: Reader = usual if reader is None else reader
        self.targets = ChannelTargets(
            config.targets,
            host.sinks,
            process=process,
            auto_log=auto_log,
            create_dirs=create_log_dirs,
            report=self._report,
        )
        self._open_journal: Callable[[], JournalSink] | None = None
        if journald:
            self._open_journal = partial(host.sinks.journald, program, group, process, name)
        self._journal: JournalSink | None = None
        self._records: RecordStage | None = None
        if log_format is not LogFormat.RAW:
            origin = program, group, process, name
            self._records = _record_stage(log_format, origin, self.targets, host.wall_clock)
        self._stripper: AnsiStripper | None = None
        self._capture: Capture | None = None
        self._characters = WholeCharacters() if config.events_enabled else None
        """None: no events are made of the output."""
        self._pid = 0
        self._has_ended = False
        """Whether the pipe of the present or last child was read to its end."""
        self._subscriptions: Subscriptions | None = None
        """None before the first one: most output has none."""
        self.tail = TailBuffer()
        self.time_index = TimeIndex()

    @property
    def subscriptions(self) -> Subscriptions:
        """Who reads the output in the same program, made at its first use."""
        if self._subscriptions is None:
            self._subscriptions = Subscriptions()
        return self._subscriptions

    @property
    def logfile(self) -> str | None:
        """Path of the log file; None without one, and while an automatic one could not be made."""
        return self.targets.path

    @property
    def is_in_files(self) -> bool:
        """Whether all of the log is in files, as far as their paths tell."""
        return self._open_journal is None and self.targets.are_files

    @property
    def has_format(self) -> bool:
        """Whether the log has other bytes than the output."""
        return self._records is not None

    def begin(self, *, must: bool = True) -> None:
        """Begin the output of a child, whose log targets are open.

        Raises OSError; they are closed then. ``must``: False means that it goes on without what
        cannot be opened.
        """
        if self._open_journal is not None:
            try:
                self._journal = self._open_journal()
            except OSError as error:  # no thread is left to write to it
                if must:
                    self.targets.close()
                    raise
                text = f"output of {self._label} is not sent to journald: {reason(error)}"
                self._report(Severity.CRITICAL, text)
        self._stripper = AnsiStripper() if self._host.daemon.strip_ansi else None
        maxbytes = self._capture_maxbytes
        self._capture = Capture(maxbytes) if maxbytes > 0 else None

    def drain(self, fd: int, pid: int) -> Awaitable[None]:
        """Return what takes the output of a child as it arrives, until the end of its pipe.

        That is the coroutine of the reader: one around it would be memory for each program.
        """
        self._pid = pid
        self._has_ended = False
        if self._records is None:
            return self._reader.drain(fd, self)
        return self._records.during(self._reader.drain(fd, self), pid)

    def pipe_ended(self, fd: int) -> None:
        """Take note that all programs have closed the pipe, and log it."""
        self._has_ended = True
        if self._host.daemon.loglevel <= Severity.DEBUG:
            self._report(Severity.DEBUG, f"fd {fd} closed, stopped monitoring <{self._label}>")

    def transfer(self, fd: int) -> Transfer | None:
        """Start what moves output from the pipe to the log; None if it is needed elsewhere too."""
        sink = self.targets.only_file
        if sink is None or not self._is_plain:
            return None
        from trio_supervisor.runtime.output.transfer import Transfer  # most programs never flood

        transfer = self.subscriptions.bypass = Transfer(fd, sink, self.tail, self.time_index)
        try:
            transfer.start()
        except OSError:  # no descriptor or thread is left: the event loop reads the pipe
            return None
        return transfer

    def drain_rest(self, fd: int) -> None:
        """Take exactly what a dead child has left in its pipe."""
        if self._has_ended:
            return
        for data in read_rest(fd):
            self._reader.take(data, self)

    def finish(self) -> None:
        """End the output of one child: write what was held back, and close the log targets."""
        self._reader.finish(self)
        if self._stripper is not None:
            self._feed_capture(self._stripper.finish())
        if self._capture is not None:
            self.deliver(self._capture.finish())
        if self._records is not None:
            self._records.finish(self._pid)
        if self._characters is not None:
            self._publish_text(self._characters.finish())
        self._stripper = self._capture = None
        if self._subscriptions is not None:
            self._subscriptions.child_ended()
        self.targets.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def settled(self) -> None:
        """Return when all is in the log, or when its disk hangs."""
        await self.targets.settled()

    @property
    def backlogged(self) -> bool:
        """Whether a log target or a reader is too slow for more output."""
        is_full = self._subscriptions is not None and self._subscriptions.full
        return self.targets.backlogged or is_full or self._is_held_back

    async def room(self) -> None:
        """Return when neither a log target nor a reader is too slow for more output."""
        await self.targets.room()  # returns also for a target that hangs, which then drops
        if self._subscriptions is not None:
            await self._subscriptions.room()
        if (pressure := self._host.bus.back_pressure) is not None and self._characters is not None:
            await pressure.room((self._group, self._process))

    @property
    def _is_held_back(self) -> bool:
        """Whether a reader is too slow for the events that the output makes."""
        pressure = self._host.bus.back_pressure
        if pressure is None or self._characters is None:
            return False
        return pressure.is_full((self._group, self._process))

    def write_to_log(self, data: bytes) -> None:
        """Append to the log what is not the child's: no event and no subscriber gets it."""
        try:
            self._write_to_log(data)
        except Exception as error:  # must end neither this channel nor the daemon
            self._report(
                Severity.CRITICAL, f"output of {self._label} could not be handled: {error!r}"
            )

    async def reopen(self) -> None:
        """Open the log by its name again. Raises OSError."""
        await self.targets.reopen()

    def written_since(self, seconds: float) -> int:
        """Return how many bytes were written in the last so many seconds.

        Rather too many than too few, but none from before the daemon's start, whose times are not
        known.
        """
        before = self.time_index.before(trio.current_time() - seconds)
        return 0 if before is None else self.tail.count - before

    def stretches_since(self, offset: int) -> list[tuple[int, float, float]]:
        """Return stretches of output that reach beyond an offset, in bytes since the start.

        Of each: the offset, and the times of its first and last bytes in seconds since the epoch.
        There is none for what was written before the daemon's start.
        """
        to_wall = self._host.wall_clock() - trio.current_time()
        return [
            (begin, first + to_wall, last + to_wall)
            for begin, first, last in self.time_index.since(offset)
        ]

    @property
    def written_to_log(self) -> int:
        """Bytes of output that are in the log, since the daemon's start."""
        return self.tail.count - self.targets.backlog

    async def clear(self) -> None:
        """Empty the current log file. Raises OSError."""
        self.time_index.forget()
        await self.targets.clear()

    def feed(self, data: bytes) -> None:
        """Process output of the child: through the filters to everything that is to have it."""
        self._feed_capture(data if self._stripper is None else self._stripper.feed(data))

    def _report(self, severity: Severity, text: str) -> None:
        """Log a line about the logs of this output."""
        name = full_name(self._process, self._group)
        self._host.log(severity, ProcessLine(text, name, self._pid, None))

    @property
    def _is_plain(self) -> bool:
        """Whether the bytes of the output go to its log as they are, and nowhere else."""
        return not (
            self._characters is not None
            or self._records is not None
            or self._stripper is not None
            or self._capture is not None
            or self._journal is not None
            or self._subscriptions
            or self._host.daemon.loglevel <= Severity.DEBUG
        )

    @property
    def _label(self) -> str:
        return f"{self._process} {self.name}"

    def _feed_capture(self, data: bytes) -> None:
        if self._capture is None:
            self.deliver(data)
            return
        for item in self._capture.feed(data):
            if isinstance(item, Captured):
                self._publish_communication(item.data)
            else:
                self.deliver(item.data)

    def deliver(self, data: bytes) -> None:
        """Give everything that is to have it what is behind the filters; an error is logged."""
        if not data:
            return
        try:
            self._write_to_log(data)
            if self._subscriptions is not None:
                self._subscriptions.feed(data)
            if self._characters is not None:
                self._publish_text(self._characters.feed(data))
            if self._host.daemon.loglevel <= Severity.DEBUG:
                self._host.log(
                    Severity.DEBUG, f"'{self._process}' {self.name} output:\n{events.as_text(data)}"
                )
        except Exception as error:  # must end neither this channel nor the daemon
            self._report(
                Severity.CRITICAL, f"output of {self._label} could not be handled: {error!r}"
            )

    def _write_to_log(self, data: bytes) -> None:
        if self._records is None:
            self.targets.write(data)
        else:
            self._records.write(data, self._pid)
        if self._journal is not None:
            self._journal.write(data)
        self.time_index.note(trio.current_time(), self.tail.count)
        self.tail.feed(data)

    def _publish_text(self, data: bytes) -> None:
        if data:
            self._host.publish(self._log_event(self._process, self._group, self._pid, data))

    def _publish_communication(self, data: bytes) -> None:
        if self._characters is not None:
            self._publish_text(self._characters.finish())  # no character reaches across a token
            self._publish_text(data)  # captured output is a log event too
        self._host.publish(self._communication_event(self._process, self._group, self._pid, data))
        self._host.log(Severity.DEBUG, f"'{self._process}' {self.name} emitted a comm event")


def _record_stage(
    log_format: LogFormat,
    origin: tuple[str, str, str, str],
    targets: ChannelTargets,
    wall_clock: Callable[[], float],
) -> RecordStage:
    from trio_supervisor.core.line_records import Origin  # most programs log raw bytes
    from trio_supervisor.runtime.output.records import RecordStage

    return RecordStage(log_format, Origin(*origin), targets, wall_clock)


async def log_requests(channels: Iterable[OutputChannel]) -> tuple[LogRequest, ...]:
    """Return what files are to be opened for a new child, when what was logged before is written.

    Raises OSError.
    """
    for channel in channels:
        await channel.settled()
    return tuple([request for channel in channels for request in channel.targets.requests()])


async def open_channels(channels: Iterable[OutputChannel], sinks: Sinks) -> None:
    """Open the logs for a new child, when what was logged before is written.

    Raises OSError. What is open then, ``finish`` closes.
    """
    begin_channels(channels, await sinks.open_files(await log_requests(channels)))


def begin_channels(channels: Iterable[OutputChannel], opened: Iterable[Sink]) -> None:
    """Begin the output of a child with the sinks of its logs, in the order of ``log_requests``.

    Raises OSError. What is open then, ``finish`` closes.
    """
    files = iter(opened)
    try:
        for channel in channels:
            channel.targets.take(files)
            channel.begin()
    except BaseException:
        for sink in files:
            sink.close()
        raise
