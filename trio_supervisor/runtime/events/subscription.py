"""Event streams for code in the same process: bounded, to be iterated over.

Like the buffer of a listener pool, a stream drops the oldest event when it is full and counts the
drops.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import StreamOverflow
from trio_supervisor.core.events import EVENT_TYPES, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.events.back_pressure import Unread
    from trio_supervisor.runtime.events.bus import Bus

#: Events that may wait for a slow reader: enough for the start of hundreds of programs.
BUFFER_SIZE = 1000


#: What happens when too many wait: the oldest is dropped and counted, the programs wait that they
#: come from (``back_pressure.py``), or the reader gets StreamOverflow.
EventOverflow = Literal["drop_oldest", "block", "error"]
EVENT_OVERFLOWS = ("drop_oldest", "block", "error")

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Published:
    """An event with its serial number and its time (wall-clock seconds).

    All streams share one object, so that its encoding can be cached for all of them.
    """

    event: Event
    serial: int
    time: float


class EventStream(Generic[E]):
    """An asynchronous iterator over events, which ends when the supervisor has ended.

    It must be closed: ``async with`` closes it at the end of the block.
    """

    def __init__(
        self,
        bus: Bus,
        types: tuple[type[Event], ...],
        buffer_size: int,
        overflow: EventOverflow,
        publish: Callable[[Event, int], Published],
        forget: Callable[[EventStream[Any]], None],
    ) -> None:
        if buffer_size < 1:
            raise ValueError(f"an event stream needs room for an event, not for {buffer_size}")
        if overflow not in EVENT_OVERFLOWS:
            ways = ", ".join(EVENT_OVERFLOWS)
            raise ValueError(f"overflow is one of {ways}, not {overflow!r}")
        self._bus = bus
        self._unread: Unread | None = None
        """None unless programs wait for the reader."""
        if overflow == "block":
            self._unread = bus.throttle().open(buffer_size)
        self._overflow = overflow
        self._overflowed = False
        self.dropped = 0
        """Events lost because too many waited."""
        self._types = types
        self._publish = publish
        self._forget = forget
        room = buffer_size if self._unread is None else math.inf
        self._put, self._take = trio.open_memory_channel[Published](room)
        self._unsubscribe = bus.subscribe(types, self._accept)

    def __repr__(self) -> str:
        names = ", ".join(cls.name for cls in self._types)
        waiting = self._take.statistics().current_buffer_used
        return f"<EventStream of {names}: {waiting} waiting, {self.dropped} dropped>"

    async def __aenter__(self) -> EventStream[E]:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.close()

    def __aiter__(self) -> EventStream[E]:
        return self

    async def __anext__(self) -> E:
        try:
            return cast("E", (await self.receive()).event)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Published:
        """Wait for the next event, with its number and time.

        Raises trio.EndOfChannel, or StreamOverflow behind what waited when it became too much.
        """
        try:
            published = await self._take.receive()
        except trio.EndOfChannel:
            if self._overflowed:
                raise StreamOverflow("more events waited than the stream has room for") from None
            raise
        if self._unread is not None:
            self._unread.taken(published.event)
        return published

    def end(self) -> None:
        """Accept no more events. Those that wait can still be read."""
        self._put.close()

    def close(self) -> None:
        """End the subscription and drop the events that wait."""
        self._forget(self)
        self._unsubscribe()
        if self._unread is not None:
            self._bus.throttle().close(self._unread)
        self._put.close()
        self._take.close()

    def _accept(self, event: Event, serial: int) -> None:
        published = self._publish(event, serial)
        try:
            self._put.send_nowait(published)
            if self._unread is not None:
                self._unread.added(event)
        except trio.WouldBlock:
            if self._overflow == "error":
                self.dropped += 1
                self._overflowed = True
                self.end()
                return
            self._take.receive_nowait()
            self.dropped += 1
            self._put.send_nowait(published)
        except trio.ClosedResourceError:
            return  # published after end()


class EventStreams:
    """The open streams of one bus, which end together."""

    def __init__(self, bus: Bus, wall_clock: Callable[[], float]) -> None:
        self._bus = bus
        self._wall_clock = wall_clock
        self._open: set[EventStream[Any]] = set()
        self._latest: Callable[[], Published | None] = lambda: None
        """Weak reference to the last event, which streams hold until it is read."""
        self._ended = False

    def open(
        self,
        types: tuple[str | type[Event], ...],
        buffer_size: int,
        overflow: EventOverflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Open a stream.

        Raises TypeError for what is no type of event, ValueError for an unknown name or a buffer
        without room.
        """
        stream: EventStream[Any] = EventStream(
            self._bus,
            _event_types(types),
            buffer_size,
            overflow,
            self._published,
            self._open.discard,
        )
        self._open.add(stream)
        if self._ended:
            stream.end()
        return stream

    def _published(self, event: Event, serial: int) -> Published:
        """Return the object of an event that all streams share. They get each event in turn."""
        latest = self._latest()
        if latest is None or latest.event is not event or latest.serial != serial:
            latest = Published(event, serial, self._wall_clock())
            self._latest = weakref.ref(latest)
        return latest

    def end(self) -> None:
        """End all streams."""
        self._ended = True
        for stream in self._open:
            stream.end()


def _event_types(names: tuple[str | type[Event], ...]) -> tuple[type[Event], ...]:
    """Return the classes of these types; without names, that of all events.

    Raises TypeError for what is neither a name nor a class of events, ValueError for an unknown
    name.
    """
    types: list[type[Event]] = []
    for name in names or (Event,):
        if isinstance(name, str):
            if name.upper() not in EVENT_TYPES:
                raise ValueError(f"unknown event type {name!r}; there are {', '.join(EVENT_TYPES)}")
            types.append(EVENT_TYPES[name.upper()])
        elif isinstance(name, type) and issubclass(name, Event):
            types.append(name)
        else:
            raise TypeError(
                f"not a type of events: {name!r}; give a name such as 'PROCESS_STATE_RUNNING', or "
                "a class such as ProcessState"
            )
    return tuple(types)
