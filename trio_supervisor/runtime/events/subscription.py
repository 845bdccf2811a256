"""Events for code in the same process: a bounded stream to iterate over.

Like a listener pool's buffer it drops the oldest event when it is full, and counts what it dropped.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.events import EVENT_TYPES, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.events.bus import Bus

#: Events that may wait for one who is slow: enough for the start of hundreds of programs.
BUFFER_SIZE = 1000


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Published:
    """An event as it was published: its number, and when (wall-clock seconds).

    One object for all streams, so that what is made of it once can serve all of them.
    """

    event: Event
    serial: int
    time: float


class EventStream:
    """An asynchronous iterator over events; it ends when the supervisor has ended.

    To be closed: ``async with`` does it at the end of the block.
    """

    def __init__(
        self,
        bus: Bus,
        types: tuple[type[Event], ...],
        buffer_size: int,
        publish: Callable[[Event, int], Published],
        forget: Callable[[EventStream], None],
    ) -> None:
        if buffer_size < 1:
            raise ValueError(f"an event stream needs room for an event, not for {buffer_size}")
        self.dropped = 0
        """Events lost because too many waited."""
        self._publish = publish
        self._forget = forget
        self._put, self._take = trio.open_memory_channel[Published](buffer_size)
        self._unsubscribe = bus.subscribe(types, self._accept)

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.close()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        try:
            return (await self.receive()).event
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Published:
        """The next event with its number and time. Raises trio.EndOfChannel."""
        return await self._take.receive()

    def end(self) -> None:
        """No more events come; those that wait can still be read."""
        self._put.close()

    def close(self) -> None:
        """Forget what waits, and the subscription."""
        self._forget(self)
        self._unsubscribe()
        self._put.close()
        self._take.close()

    def _accept(self, event: Event, serial: int) -> None:
        published = self._publish(event, serial)
        try:
            self._put.send_nowait(published)
        except trio.WouldBlock:
            self._take.receive_nowait()
            self.dropped += 1
            self._put.send_nowait(published)
        except trio.ClosedResourceError:
            return  # published after the end


class EventStreams:
    """The streams that are open on one bus, to be ended together."""

    def __init__(self, bus: Bus, wall_clock: Callable[[], float]) -> None:
        self._bus = bus
        self._wall_clock = wall_clock
        self._open: set[EventStream] = set()
        self._latest: Callable[[], Published | None] = lambda: None
        """Refers to the last event as long as a stream has it."""
        self._ended = False

    def open(self, types: tuple[str | type[Event], ...], buffer_size: int) -> EventStream:
        """A stream, until it is closed. Raises ValueError."""
        stream = EventStream(
            self._bus, _event_types(types), buffer_size, self._published, self._open.discard
        )
        self._open.add(stream)
        if self._ended:
            stream.end()
        return stream

    def _published(self, event: Event, serial: int) -> Published:
        """The same for all streams: an event is handed to one after the other."""
        latest = self._latest()
        if latest is None or latest.event is not event or latest.serial != serial:
            latest = Published(event, serial, self._wall_clock())
            self._latest = weakref.ref(latest)
        return latest

    def end(self) -> None:
        """No more events come, to any stream."""
        self._ended = True
        for stream in self._open:
            stream.end()


def _event_types(names: tuple[str | type[Event], ...]) -> tuple[type[Event], ...]:
    """The classes of these types; no names: all events. Raises ValueError."""
    types = []
    for name in names or (Event,):
        if isinstance(name, str):
            if name.upper() not in EVENT_TYPES:
                raise ValueError(f"unknown event type {name!r}; there are {', '.join(EVENT_TYPES)}")
            types.append(EVENT_TYPES[name.upper()])
        else:
            types.append(name)
    return tuple(types)
