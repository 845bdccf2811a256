"""Subscriptions to the output of a channel, for code in the same program: bytes or lines.

A slow reader does not delay the process: when too much waits the oldest is dropped and counted. A
reader may ask for another way (``Overflow``).
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.runtime.output.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from trio_supervisor.runtime.output.backlog import Overflow
    from trio_supervisor.runtime.output.transfer import Transfer

#: Bytes that may wait for a slow reader.
BUFFER_BYTES = 1024 * 1024


class OutputStream:
    """An asynchronous iterator over chunks of bytes, across restarts of the process.

    It ends when the process is removed or the supervisor has ended; with ``until_exit`` when the
    child has ended whose output it has. Raises StreamOverflow if it was
    opened with ``overflow="error"`` and too much waited.
    """

    def __init__(
        self,
        buffer_bytes: int,
        overflow: Overflow = "drop_oldest",
        *,
        until_exit: bool = False,
    ) -> None:
        if buffer_bytes < 1:
            raise ValueError(f"an output stream needs room for a byte, not for {buffer_bytes}")
        self.buffer_bytes = buffer_bytes
        self.backlog: Backlog[bytes] = Backlog(buffer_bytes, overflow)
        self._until_exit = until_exit
        self._has_ended = False

    def __repr__(self) -> str:
        return f"<OutputStream: {self.backlog.size} bytes waiting, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Bytes lost because too many waited."""
        return self.backlog.dropped

    def __aiter__(self) -> OutputStream:
        return self

    async def __anext__(self) -> bytes:
        return await self.backlog.get()

    def lines(self) -> Lines:
        """Return the output as lines of text without their ends; invalid UTF-8 is replaced."""
        return Lines(self)

    def feed(self, data: bytes) -> None:
        """Add output of the process."""
        if self._has_ended:
            return
        if self.backlog.overflow == "drop_oldest":
            excess = len(data) - self.buffer_bytes
            self.backlog.dropped += max(0, excess)
            data = data[-self.buffer_bytes :]
        self.backlog.put(data, len(data))

    def child_ended(self) -> None:
        """End the stream, if it is that of one child."""
        if self._until_exit:
            self._has_ended = True
            self.end()

    def end(self) -> None:
        """End the stream; output that waits can still be read."""
        self.backlog.end()


class LineAssembler:
    """Makes lines of output that is split anywhere. A line longer than ``limit`` bytes is cut."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that end in ``data``."""
        lines: list[str] = []
        first, *more = data.split(b"\n")
        self._rest += first
        for piece in more:
            lines.append(self._line())
            self._rest += piece
        if len(self._rest) > self._limit:
            lines.append(self._line())
        return lines

    def finish(self) -> list[str]:
        """Return the last line if it has no end."""
        return [self._line()] if self._rest else []

    def _line(self) -> str:
        line = bytes(self._rest)
        self._rest.clear()
        return line.removesuffix(b"\r").decode(errors="replace")


class Lines:
    """An asynchronous iterator over lines. A generator would have to be closed when left early."""

    def __init__(self, chunks: OutputStream) -> None:
        self._chunks = chunks
        self._lines: deque[str] = deque()
        self._splitter = LineAssembler(chunks.buffer_bytes)

    def __repr__(self) -> str:
        return f"<Lines of {self._chunks!r}>"

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            try:
                self._lines += self._splitter.feed(await anext(self._chunks))
            except StopAsyncIteration:
                self._lines += self._splitter.finish()
                if not self._lines:
                    raise
        return self._lines.popleft()


class Waiting(Protocol):
    """Queue of a reader, as its writer sees it."""

    @property
    def full(self) -> bool:
        """Whether the writer is to wait."""

    async def room(self) -> None:
        """Return when the writer need not wait."""


class Subscriber(Protocol):
    """Receiver of the output of a channel."""

    @property
    def backlog(self) -> Waiting:
        """Queue for its reader."""

    def feed(self, data: bytes) -> None:
        """Take output of the process."""

    def child_ended(self) -> None:
        """The present child writes no more."""

    def end(self) -> None:
        """No more output comes."""


class Subscriptions:
    """The subscribers of one channel."""

    __slots__ = ("_over", "_subscribers", "bypass")

    def __init__(self) -> None:
        self.bypass: Transfer | None = None
        """The last transfer of output to the log alone, which a subscriber ends."""
        self._subscribers: tuple[Subscriber, ...] = ()
        self._over = False

    def open(
        self,
        buffer_bytes: int,
        overflow: Overflow = "drop_oldest",
        *,
        until_exit: bool = False,
    ) -> AbstractContextManager[OutputStream]:
        """Return a stream for the length of a block.

        Raises ValueError if it has no room, or for an unknown way to overflow.
        """
        return self._during(OutputStream(buffer_bytes, overflow, until_exit=until_exit))

    @contextmanager
    def _during(self, stream: OutputStream) -> Iterator[OutputStream]:
        self.add(stream)
        try:
            yield stream
        finally:
            self.remove(stream)

    def add(self, subscriber: Subscriber) -> None:
        """Let a subscriber hear of the output until it is removed."""
        if self.bypass is not None:
            self.bypass.stop()
        self._subscribers = (*self._subscribers, subscriber)
        if self._over:
            subscriber.end()

    def remove(self, subscriber: Subscriber) -> None:
        """End a subscription; a process that waits for its reader goes on."""
        self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)
        subscriber.end()

    def __bool__(self) -> bool:
        return bool(self._subscribers)

    def feed(self, data: bytes) -> None:
        for subscriber in self._subscribers:
            subscriber.feed(data)

    def child_ended(self) -> None:
        for subscriber in self._subscribers:
            subscriber.child_ended()

    @property
    def full(self) -> bool:
        """Whether the process is to wait for a reader."""
        return any(subscriber.backlog.full for subscriber in self._subscribers)

    async def room(self) -> None:
        """Return when the process need not wait for any reader."""
        for subscriber in self._subscribers:
            await subscriber.backlog.room()

    def end(self) -> None:
        """End all subscriptions, also those that are made later."""
        self._over = True
        for subscriber in self._subscribers:
            subscriber.end()
