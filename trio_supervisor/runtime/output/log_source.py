"""Logs by address, for all interfaces: which log is meant, how it is read and how it is followed.

XML-RPC, the API, the pages and ``/logtail`` render what they find here. Files are read in threads,
so that a disk that hangs holds up only the client that asked for its log.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import NoFile
from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.runtime.logs.logread import (
    ANSWER_LIMIT,
    last_bytes,
    last_lines,
    read_log,
    start_of_last,
    tail_log,
)
from trio_supervisor.runtime.logs.readers import Closable, InThreads, readers
from trio_supervisor.runtime.logs.rotated import Position, Tail, is_log
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.logs.growth import LogWrites
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.supervisor import Supervisor

STDOUT = "stdout"
STDERR = "stderr"
#: Names of the channels of a process.
CHANNELS = (STDOUT, STDERR)
#: Lines of an end of a log unless something else is asked for.
LINES = 100

Result = TypeVar("Result")


Resource = TypeVar("Resource", bound=Closable)


@dataclass(frozen=True, slots=True)
class LogAddress:
    """Which log is meant: that of a channel of a process, or without a process the daemon's own."""

    process: str | None = None
    """The full name: ``group:process``, or ``process`` for a group of the same name."""
    channel: str = STDOUT
    """One of CHANNELS."""


#: The daemon's own log.
ACTIVITY_LOG = LogAddress()


@dataclass(frozen=True, slots=True)
class EndOfLog:
    """How much of the end of a log is wanted: what all of these allow; LINES if none is given."""

    lines: int | None = None
    size: int | None = None
    """Bytes."""
    seconds: int | None = None
    """Written in the last so many seconds."""

    def of(self, tail: Tail) -> Tail:
        """Return the part by lines and size."""
        if self.lines is not None:
            tail = tail.since(start_of_last(self.lines, tail.data) or 0)
        if self.size is not None:
            tail = tail.since(max(0, len(tail.data) - self.size))
        return tail


class LogStream(Protocol):
    """Bytes of a log as it grows."""

    backlog: int
    """How many of its first bytes were written before it was opened; 0 if that is not known."""

    async def read(self) -> bytes:
        """Return the next bytes, as soon as there are some; ``b""`` at the end."""

    def close(self) -> None: ...


def find_log(supervisor: Supervisor, address: LogAddress) -> LogSource:
    """Return the log of an address. Raises BadName."""
    if address.process is None:
        activity = supervisor.activity
        path = None if activity is None else activity.path
        return LogSource("supervisor", path, supervisor.log_writes)
    process = supervisor.process(address.process)
    channel = process.stderr if address.channel == STDERR else process.stdout
    return LogSource(channel.name, channel.logfile, supervisor.log_writes, channel)


class LogSource:
    """A log file with its backups, and what is remembered of a channel that has no file.

    ``path`` is None without a file: then methods that need one raise NoFile. They raise Failed if
    it cannot be read.
    """

    def __init__(
        self,
        name: str,
        path: str | None,
        writes: LogWrites,
        channel: OutputChannel | None = None,
    ) -> None:
        self.name = name
        """``stdout``, ``stderr`` or ``supervisor``."""
        self.path = path
        self._writes = writes
        self._channel = channel

    @property
    def channel(self) -> OutputChannel | None:
        """The channel that writes it; None for the daemon's own log."""
        return self._channel

    @property
    def is_shared(self) -> bool:
        """Whether several outputs are written to this file."""
        return self.path is not None and self._writes.count(self.path) > 1

    @property
    def remembered(self) -> str:
        """The last output of the channel, from memory; empty for the daemon's own log."""
        return "" if self._channel is None else self._channel.tail.text

    async def read(self, offset: int, length: int, limit: int) -> str:
        """Return a part of the file as text (``read_log``)."""
        return await self.run(read_log, offset, length, limit)

    async def tail(self, offset: int, length: int, limit: int) -> tuple[str, int, bool]:
        """Return the newest part of the file (``tail_log``); an empty one without a file."""
        if self.path is None:
            return "", 0, False
        return await self.run(tail_log, offset, length, limit)

    async def end(self, wanted: EndOfLog) -> bytes:
        """Return the end of the log, from memory if there is no file."""
        if await self._is_file():
            return (await self._end_of_file(wanted)).data
        return self._end_of_memory(wanted)

    async def follow_end(self, wanted: EndOfLog, after: Position | None = None) -> LogStream:
        """Follow the log from a position on, or from its end; from memory if there is no file.

        A position means nothing then: it is one in a file.
        """
        if not await self._is_file():
            assert self._channel is not None
            return RememberedOutput(self._channel, self._end_of_memory(wanted))
        if after is not None:
            return await self.follow(after)
        # A position, because the file may grow and be rotated between reading and following.
        tail = await self._end_of_file(wanted)
        stream = await self.follow(tail.position)
        stream.backlog = len(tail.data)
        return stream

    def times_of_last(self, size: int) -> list[tuple[int, float]]:
        """Return when the last bytes were written: pairs of an offset in them and a time.

        A time is that of the last byte of its stretch, in seconds since the epoch. Empty if that is
        not known: of the daemon's own log, and of logs with a format.
        """
        channel = self._channel
        if channel is None or channel.has_format:
            return []
        start = channel.tail.count - size
        found = channel.stretches_since(start)
        return [(max(0, begin - start), last) for begin, _, last in found]

    async def follow(self, position: Position | None = None) -> FollowedLog:
        """Follow the file from a position on, or from the last bytes of it."""
        follower = await self.run(_follower, position, undo=LogFollower.close)
        return FollowedLog(follower, self.watch(follower))

    async def run(
        self,
        function: Callable[..., Result],
        *arguments: object,
        undo: Callable[[Result], object] = id,
    ) -> Result:
        """Call ``function(path, *arguments)`` in a thread (``Readers.run``)."""
        if self.path is None:
            raise NoFile
        return await readers.run(function, self.path, *arguments, undo=undo)

    def watch(self, resource: Resource) -> Watched[Resource]:
        """Use something that reads the file again whenever the file may have grown."""
        assert self.path is not None
        return Watched(resource, self.path, self._writes)

    async def _is_file(self) -> bool:
        """Whether the log is to be taken from a file. Without a channel there is nothing else."""
        if self.path is None:
            return self._channel is None
        return self._channel is None or await self.run(is_log)

    async def _end_of_file(self, wanted: EndOfLog) -> Tail:
        if wanted.seconds is not None:
            written = self._written_since(wanted.seconds)
            # With the byte before, which shows whether the first line is whole.
            tail = await self.run(last_bytes, min(written + 1, ANSWER_LIMIT))
            if len(tail.data) > written:
                tail = tail.since(tail.data.find(b"\n") + 1 or len(tail.data))
        elif wanted.lines is None and wanted.size is not None:
            tail = await self.run(last_bytes, wanted.size)
        else:
            lines = LINES if wanted.lines is None else wanted.lines
            tail = await self.run(last_lines, lines)
        return wanted.of(tail)

    def _end_of_memory(self, wanted: EndOfLog) -> bytes:
        assert self._channel is not None
        data = self._channel.tail.data
        if wanted.seconds is not None:
            written = self._channel.written_since(wanted.seconds)
            data = data[max(0, len(data) - written) :]
        return wanted.of(Tail(data, Position(0, 0, 0))).data

    def _written_since(self, seconds: float) -> int:
        """Bytes of the last so many seconds. The daemon's own log has no index of times."""
        return ANSWER_LIMIT if self._channel is None else self._channel.written_since(seconds)


class Watched(Generic[Resource]):
    """Something that reads a growing file, used in threads."""

    def __init__(self, resource: Resource, path: str, writes: LogWrites) -> None:
        self._reader = InThreads(resource)
        self._growth = writes.follow(path)

    async def next(
        self, look: Callable[[Resource], bytes], *, seconds: float = float("inf")
    ) -> bytes:
        """Return what a look finds, as soon as it finds something; ``b""`` after some seconds."""
        deadline = trio.current_time() + seconds
        while not (data := await self._reader.use(look)):
            left = deadline - trio.current_time()
            if left <= 0:
                return b""
            await self._growth.wait(at_most=left)
        self._growth.found()
        return data

    def close(self) -> None:
        self._growth.close()
        self._reader.close()


class FollowedLog:
    """The bytes of a log file from a position on, as they are written."""

    def __init__(self, follower: LogFollower, watched: Watched[LogFollower]) -> None:
        self.modified = follower.modified
        """When the file was last written before; seconds since the epoch."""
        self.start = follower.start
        """Where the first bytes come from."""
        self.backlog = 0
        self._watched = watched

    async def read(self) -> bytes:
        return await self._watched.next(LogFollower.poll)

    def close(self) -> None:
        self._watched.close()


class RememberedOutput:
    """What a channel remembers, then its output as it is written. A slow reader loses the oldest.

    ``first`` are the bytes to begin with. It ends when the process is removed.
    """

    def __init__(self, channel: OutputChannel, first: bytes) -> None:
        self._first = first
        self.backlog = len(first)
        self._open = ExitStack()
        self._stream = self._open.enter_context(channel.subscriptions.open(BUFFER_BYTES))

    async def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return await anext(self._stream, b"")

    def close(self) -> None:
        self._open.close()


def _follower(path: str, position: Position | None) -> LogFollower:
    return LogFollower(path, position=position)
