"""The output of several processes as one stream of lines, in the order of their arrival."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.output.backlog import Backlog
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, LineAssembler

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from contextlib import AbstractContextManager

    from trio_supervisor.runtime.output.backlog import Overflow
    from trio_supervisor.runtime.output.subscriptions import Subscriptions

#: Bytes by which an empty line counts too: what the objects around it take, roughly.
LINE_OVERHEAD = 100


class Subscribable(Protocol):
    """An output channel, as far as its lines are concerned."""

    name: str

    @property
    def subscriptions(self) -> Subscriptions:
        """Who reads it in the same program."""


class OutputOwner(Protocol):
    """A process, as far as its output is concerned."""

    full_name: str
    group: str

    @property
    def stdout(self) -> Subscribable:
        """Its stdout."""

    @property
    def stderr(self) -> Subscribable:
        """Its stderr."""


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line that a process has written."""

    process: str
    """Its full name."""
    channel: str
    """``stdout`` or ``stderr``."""
    time: float
    """When it was read, in wall-clock seconds since the epoch."""
    text: str
    """Without its end; invalid UTF-8 is replaced."""

    def __str__(self) -> str:
        return f"{self.process}: {self.text}"


class MergedOutput:
    """An asynchronous iterator over the lines of several processes, across their restarts.

    It ends when all of them were removed, or the supervisor has ended. Raises StreamOverflow as
    ``OutputStream`` does.
    """

    def __init__(
        self,
        buffer_bytes: int,
        overflow: Overflow,
        wall_clock: Callable[[], float],
        groups: Collection[str] | None,
    ) -> None:
        """``groups``: those whose processes it follows, also later ones; None means all groups."""
        self.backlog: Backlog[OutputLine] = Backlog(buffer_bytes, overflow)
        self._groups = groups
        self._wall_clock = wall_clock
        self._sources: list[_Source] = []

    def __repr__(self) -> str:
        return f"<MergedOutput: {self.backlog.size} bytes waiting, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Bytes lost because too many waited; each line counts 100 more."""
        return self.backlog.dropped

    def __aiter__(self) -> MergedOutput:
        return self

    async def __anext__(self) -> OutputLine:
        return await self.backlog.get()

    def wants(self, process: OutputOwner) -> bool:
        """Whether it follows a process that was added since it was opened."""
        return self._groups is None or process.group in self._groups

    def follow(self, process: OutputOwner) -> None:
        """Add the lines that a process writes from now on."""
        for channel in (process.stdout, process.stderr):
            source = _Source(self, process.full_name, channel)
            self._sources.append(source)
            channel.subscriptions.add(source)

    def take(self, source: _Source, lines: Iterable[str]) -> None:
        """Add lines of a source."""
        now = self._wall_clock()
        for text in lines:
            line = OutputLine(source.process, source.channel.name, now, text)
            self.backlog.put(line, len(text) + LINE_OVERHEAD)

    def lost(self, source: _Source) -> None:
        """Hear that no more comes from a source."""
        self._sources = [each for each in self._sources if each is not source]
        if not self._sources and self._groups is not None:
            self.backlog.end()

    def end(self) -> None:
        """End the stream; lines that wait can still be read."""
        self.backlog.end()

    def close(self) -> None:
        """End all its subscriptions."""
        self.backlog.end()
        for source in self._sources:
            source.channel.subscriptions.remove(source)


class _Source:
    """One channel of one process."""

    def __init__(self, merged: MergedOutput, process: str, channel: Subscribable) -> None:
        self.process = process
        self.channel = channel
        self.backlog = merged.backlog
        self._merged = merged
        self._splitter = LineAssembler(BUFFER_BYTES)

    def feed(self, data: bytes) -> None:
        self._merged.take(self, self._splitter.feed(data))

    def child_ended(self) -> None:
        self._merged.take(self, self._splitter.finish())

    def end(self) -> None:
        self.child_ended()
        self._merged.lost(self)


class MergedOutputs:
    """The open streams of several processes' output, which end with the supervisor."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._open: list[MergedOutput] = []
        self._ended = False

    def open(
        self,
        processes: Iterable[OutputOwner],
        buffer_bytes: int,
        overflow: Overflow,
        *,
        groups: Collection[str] | None = (),
    ) -> AbstractContextManager[MergedOutput]:
        """Return a stream for the length of a block.

        ``groups``: it gets the lines of processes that are added to them later too; None means all.
        Raises ValueError for an unknown way to overflow.
        """
        merged = MergedOutput(buffer_bytes, overflow, self._wall_clock, groups)
        return self._during(merged, processes)

    @contextmanager
    def _during(
        self, merged: MergedOutput, processes: Iterable[OutputOwner]
    ) -> Iterator[MergedOutput]:
        for process in processes:
            merged.follow(process)
        self._open.append(merged)
        if self._ended:
            merged.end()
        try:
            yield merged
        finally:
            self._open.remove(merged)
            merged.close()

    def added(self, processes: Iterable[OutputOwner]) -> None:
        """Hear of processes that were added."""
        for merged in self._open:
            for process in filter(merged.wants, processes):
                merged.follow(process)

    def end(self) -> None:
        """End all streams."""
        self._ended = True
        for merged in self._open:
            merged.end()
