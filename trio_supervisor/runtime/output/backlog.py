"""Bounded queue for a reader in the same program, with a choice of what happens when it is full."""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, TypeVar

import trio

from trio_supervisor.core.errors import StreamOverflow

T = TypeVar("T")

#: What happens when too much waits: the oldest is dropped and counted, the program waits that
#: writes, or the reader gets StreamOverflow.
Overflow = Literal["drop_oldest", "block", "error"]
OVERFLOWS = ("drop_oldest", "block", "error")


class Backlog(Generic[T]):
    """Items in their order, each of some size, for one reader."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        if overflow not in OVERFLOWS:
            raise ValueError(f"overflow is one of {', '.join(OVERFLOWS)}, not {overflow!r}")
        self.dropped = 0
        """Sum of the sizes of what is lost."""
        self.capacity = capacity
        self.overflow = overflow
        self.size = 0
        """Sum of the sizes of what waits."""
        self._items: deque[tuple[T, int]] = deque()
        self._is_over = False
        self._overflowed = False
        self._news = trio.lowlevel.ParkingLot()
        self._taken = trio.lowlevel.ParkingLot()

    def put(self, item: T, size: int) -> None:
        """Add an item; what does not fit is dropped unless its writer can wait."""
        if self._overflowed:
            self.dropped += size
            return
        if self.overflow == "error" and self._items and self.size + size > self.capacity:
            self._overflowed = True
            self.dropped += size
        else:
            self._items.append((item, size))
            self.size += size
            while self.overflow == "drop_oldest" and self.size > self.capacity:
                _, lost = self._items.popleft()
                self.size -= lost
                self.dropped += lost
        self._news.unpark_all()

    async def get(self) -> T:
        """Return the next item. Raises StopAsyncIteration at the end, and StreamOverflow."""
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._overflowed:
                raise StreamOverflow(f"more than {self.capacity} bytes waited for the reader")
            if self._is_over:
                raise StopAsyncIteration
            await self._news.park()
        item, size = self._items.popleft()
        self.size -= size
        self._taken.unpark_all()
        return item

    def waiting(self) -> list[T]:
        """Return what waits, and leave it there."""
        return [item for item, _ in self._items]

    def take_all(self) -> list[T]:
        """Return all that waits."""
        items = [item for item, _ in self._items]
        self._items.clear()
        self.size = 0
        self._taken.unpark_all()
        return items

    @property
    def full(self) -> bool:
        """Whether the writer is to wait."""
        return self.overflow == "block" and self.size >= self.capacity and not self._is_over

    async def room(self) -> None:
        """Return when the writer need not wait."""
        while self.full:
            await self._taken.park()

    def end(self) -> None:
        """Nothing more comes; what waits can still be read."""
        self._is_over = True
        self._news.unpark_all()
        self._taken.unpark_all()
