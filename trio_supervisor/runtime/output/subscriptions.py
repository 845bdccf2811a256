"""Subscriptions to the output of a channel, for code in the same program: bytes or lines.

A slow reader does not delay the process: when too much waits the oldest is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that may wait for a slow reader.
BUFFER_BYTES = 1024 * 1024


class OutputStream:
    """An asynchronous iterator over chunks of bytes, across restarts of the process.

    It ends when the process is removed or the supervisor has ended.
    """

    def __init__(self, buffer_bytes: int) -> None:
        if buffer_bytes < 1:
            raise ValueError(f"an output stream needs room for a byte, not for {buffer_bytes}")
        self.dropped = 0
        """Bytes lost because too many waited."""
        self.buffer_bytes = buffer_bytes
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._over = False
        self._news = trio.lowlevel.ParkingLot()

    def __repr__(self) -> str:
        return f"<OutputStream: {self._waiting} bytes waiting, {self.dropped} dropped>"

    def __aiter__(self) -> OutputStream:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._chunks:
            if self._over:
                raise StopAsyncIteration
            await self._news.park()
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        return chunk

    def lines(self) -> Lines:
        """Return the output as lines of text without their ends; invalid UTF-8 is replaced."""
        return Lines(self)

    def feed(self, data: bytes) -> None:
        """Add output of the process."""
        data, excess = data[-self.buffer_bytes :], len(data) - self.buffer_bytes
        self.dropped += max(0, excess)
        self._chunks.append(data)
        self._waiting += len(data)
        while self._waiting > self.buffer_bytes:
            lost = len(self._chunks.popleft())
            self._waiting -= lost
            self.dropped += lost
        self._news.unpark_all()

    def end(self) -> None:
        """End the stream; output that waits can still be read."""
        self._over = True
        self._news.unpark_all()


class Lines:
    """An asynchronous iterator over lines. A generator would have to be closed when left early."""

    def __init__(self, chunks: OutputStream) -> None:
        self._chunks = chunks
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                if not self._rest:
                    raise
                chunk = b"\n"  # the end of the last line
            first, *more = chunk.split(b"\n")
            self._rest += first
            for piece in more:
                self._lines.append(bytes(self._rest))
                self._rest = bytearray(piece)
            if len(self._rest) > self._chunks.buffer_bytes:  # a line without end is cut
                self._lines.append(bytes(self._rest))
                self._rest.clear()
        return self._lines.popleft().removesuffix(b"\r").decode(errors="replace")


class Subscriptions:
    """The open streams of one channel."""

    __slots__ = ("_open", "_over")

    def __init__(self) -> None:
        self._open: list[OutputStream] = []
        self._over = False

    @contextmanager
    def open(self, buffer_bytes: int) -> Iterator[OutputStream]:
        """Open a stream for the length of the block. Raises ValueError if it has no room."""
        stream = OutputStream(buffer_bytes)
        self._open.append(stream)
        if self._over:
            stream.end()
        try:
            yield stream
        finally:
            self._open.remove(stream)

    def feed(self, data: bytes) -> None:
        for stream in self._open:
            stream.feed(data)

    def end(self) -> None:
        """End all streams, also those that are opened later."""
        self._over = True
        for stream in self._open:
            stream.end()
