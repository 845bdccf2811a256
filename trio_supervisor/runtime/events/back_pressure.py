"""Programs that go more slowly because the reader of their events is slow (``overflow="block"``).

A change of state cannot wait for a reader: it has happened, and a stop must not depend on whether
somebody reads. So a stream that is full takes further events all the same. What waits is the next
step that a program whose events are in it would take by itself: its next automatic start, and, if
its output makes events, the reading of more output. All other programs, and all requests, go on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.events import Event
    from trio_supervisor.core.process.start import Key


class Unread:
    """What waits for the reader of one stream."""

    def __init__(self, room: int, relieve: Callable[[], None]) -> None:
        """``relieve`` is called when there is room again."""
        self._room = room
        self._relieve = relieve
        self._sources: Counter[Key | None] = Counter()
        self._count = 0

    def added(self, event: Event) -> None:
        """Count an event that waits for the reader."""
        self._sources[source(event)] += 1
        self._count += 1

    def taken(self, event: Event) -> None:
        """Count an event that the reader has got."""
        key = source(event)
        self._sources[key] -= 1
        if not self._sources[key]:
            del self._sources[key]
        self._count -= 1
        self._relieve()

    def holds(self, key: Key) -> bool:
        """Whether there is no room, and the process is one of the reasons."""
        return self._count >= self._room and key in self._sources


class BackPressure:
    """The streams of one bus for whose readers programs wait."""

    def __init__(self) -> None:
        self._streams: list[Unread] = []
        self._held: dict[Key, Callable[[], None]] = {}
        """What wakes the processes whose next start waits."""
        self._changed = trio.lowlevel.ParkingLot()

    def open(self, room: int) -> Unread:
        """Make a stream for whose reader programs wait when so many events are in it."""
        stream = Unread(room, self._relieve)
        self._streams.append(stream)
        return stream

    def close(self, stream: Unread) -> None:
        """Let nobody wait for this reader any more."""
        self._streams.remove(stream)
        self._relieve()

    def is_full(self, key: Key) -> bool:
        """Whether a process has to wait for a reader of its events."""
        return any(stream.holds(key) for stream in self._streams)

    def holds(self, key: Key, wake: Callable[[], None]) -> bool:
        """``is_full``; then ``wake`` is called when that may have changed."""
        if not self.is_full(key):
            return False
        self._held[key] = wake
        return True

    async def room(self, key: Key) -> None:
        """Return when the process need not wait."""
        while self.is_full(key):
            await self._changed.park()

    def _relieve(self) -> None:
        self._changed.unpark_all()
        held, self._held = self._held, {}
        for wake in held.values():
            wake()


def source(event: Event) -> Key | None:
    """The process that an event comes from; None if it comes from none."""
    process, group = getattr(event, "process", None), getattr(event, "group", None)
    return (group, process) if isinstance(process, str) and isinstance(group, str) else None
