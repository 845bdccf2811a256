"""Where the API takes a log from: a file with its backups, or what a channel remembers.

Bytes as they are; files are read in threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.runtime.logs.logread import (
    ANSWER_LIMIT,
    last_bytes,
    last_lines,
    start_of_last,
)
from trio_supervisor.runtime.logs.readers import readers
from trio_supervisor.runtime.logs.rotated import End, Place, is_log
from trio_supervisor.web.api.output_tail import OutputTail
from trio_supervisor.web.logtail import HEADERS, following
from trio_supervisor.web.message import StreamResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.output.channel import OutputChannel

#: Lines that are sent unless something else is asked for.
LINES = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of the end: what all of these allow; LINES if none is given."""

    lines: int | None = None
    size: int | None = None
    seconds: int | None = None
    """Written in the last so many."""

    def of(self, end: End) -> End:
        """The part by lines and size."""
        if self.lines is not None:
            end = end.since(start_of_last(self.lines, end.data) or 0)
        if self.size is not None:
            end = end.since(max(0, len(end.data) - self.size))
        return end


class Log(Protocol):
    """A log that can be read. Both methods raise NoFile or Failed."""

    async def end(self, wanted: Wanted) -> bytes:
        """The end of it."""

    async def follow(self, wanted: Wanted, after: Place | None) -> StreamResponse:
        """What comes after a place, or the end, and what is added to it."""


class FileLog:
    """``written_since`` tells how many bytes were written in the last so many seconds."""

    def __init__(
        self, path: str, written_since: Callable[[float], int] = lambda seconds: ANSWER_LIMIT
    ) -> None:
        self._path = path
        self._written_since = written_since

    async def end(self, wanted: Wanted) -> bytes:
        return (await self._end(wanted)).data

    async def follow(self, wanted: Wanted, after: Place | None) -> StreamResponse:
        # A place, because the file may grow and be rotated between the look and the stream.
        return await following(self._path, after or (await self._end(wanted)).place)

    async def _end(self, wanted: Wanted) -> End:
        if wanted.seconds is not None:
            written = self._written_since(wanted.seconds)
            # With the byte before, which shows whether the first line is whole.
            end = await _read(last_bytes, self._path, min(written + 1, ANSWER_LIMIT))
            if len(end.data) > written:
                end = end.since(end.data.find(b"\n") + 1 or len(end.data))
        elif wanted.lines is None and wanted.size is not None:
            end = await _read(last_bytes, self._path, wanted.size)
        else:
            lines = LINES if wanted.lines is None else wanted.lines
            end = await _read(last_lines, self._path, lines)
        return wanted.of(end)


class MemoryLog:
    """For a channel whose output goes to no file, or to one that cannot be read."""

    def __init__(self, channel: OutputChannel) -> None:
        self._channel = channel

    async def end(self, wanted: Wanted) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._end(wanted)

    async def follow(self, wanted: Wanted, after: Place | None) -> StreamResponse:
        """A place means nothing here: it was one in a file."""
        await trio.lowlevel.checkpoint()
        return StreamResponse(OutputTail(self._channel, self._end(wanted)), headers=HEADERS)

    def _end(self, wanted: Wanted) -> bytes:
        data = self._channel.tail.data
        if wanted.seconds is not None:
            written = self._channel.written_since(wanted.seconds)
            data = data[max(0, len(data) - written) :]
        return wanted.of(End(data, Place(0, 0, 0))).data


async def log_of(channel: OutputChannel) -> Log:
    """The log of a channel, in whatever form there is one."""
    path = channel.logfile
    if path is None or not await readers.run(is_log, path):
        return MemoryLog(channel)
    return FileLog(path, channel.written_since)


async def _read(read: Callable[[str, int], End], path: str, amount: int) -> End:
    return await readers.run(read, path, amount)
