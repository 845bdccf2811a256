"""The bounded buffer of an event listener pool.

It holds the events that wait for a listener, oldest first, and drops the oldest one when it is
full. Events that were taken out but not delivered go back to the head.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.events import Serials

if TYPE_CHECKING:
    from trio_supervisor.core.events import Event
    from trio_supervisor.runtime.host import Host

#: Seconds without a drop after which an overflow is over.
QUIET = 10.0


@dataclass(slots=True)
class BufferedEvent:
    """An event with its numbers, which it keeps when it is delivered again."""

    event: Event
    serial: int
    poolserial: int


class EventBuffer:
    """At most ``size`` events that wait for a listener of the pool ``name``."""

    def __init__(self, name: str, size: int, host: Host) -> None:
        self.size = size
        self.count = 0
        """Events in the buffer."""
        self.dropped = 0
        """Events lost to overflow since the pool was added."""
        self._name = name
        self._host = host
        self._unreported = 0
        """Events dropped since the line that reported the overflow; 0 while there is none."""
        self._waiting: deque[BufferedEvent] = deque()
        self._returned: deque[BufferedEvent] = deque()
        """Events that were taken out and put back; they come before the waiting ones."""
        self._poolserials = Serials()

    def append(self, event: Event, serial: int) -> bool:
        """Add an event; True if that begins an overflow, see ``wait_for_end_of_overflow``."""
        buffered = BufferedEvent(event, serial, next(self._poolserials))
        begins = self._make_room()
        self._waiting.append(buffered)
        self.count += 1
        return begins

    def put_back(self, buffered: BufferedEvent) -> bool:
        """Put an event back to the head; True if that begins an overflow."""
        begins = self._make_room()
        self._returned.appendleft(buffered)
        self.count += 1
        return begins

    def pop(self) -> BufferedEvent:
        """Take the oldest event out of the buffer, which must not be empty."""
        self.count -= 1
        return (self._returned or self._waiting).popleft()

    @property
    def has_returned(self) -> bool:
        """Whether the next event was taken out before."""
        return bool(self._returned)

    @property
    def is_overflowing(self) -> bool:
        """Whether the end of an overflow has still to be reported."""
        return self._unreported > 0

    def _make_room(self) -> bool:
        """Drop the oldest event if the buffer is full; True if that begins an overflow.

        An overflow has one line in the log when it begins and one when it is over, and a line for
        each event only at level debug: the listeners of a pool may never answer again.
        """
        if self.count < self.size:
            return False
        oldest = self.pop()
        self.dropped += 1
        self._unreported += 1
        begins = self._unreported == 1
        if begins or self._host.daemon.loglevel <= Severity.DEBUG:
            self._host.log(
                Severity.ERROR if begins else Severity.DEBUG,
                f"pool {self._name} event buffer overflowed, discarding event {oldest.serial}",
            )
        return begins

    async def wait_for_end_of_overflow(self) -> None:
        """Log the end of an overflow, after QUIET seconds without a drop."""
        while True:
            before = self.dropped
            await trio.sleep(QUIET)
            if self.dropped == before:
                break
        self.end_overflow()

    def end_overflow(self) -> None:
        """Log how many events were dropped, if an overflow is under way."""
        count, self._unreported = self._unreported, 0
        if count:
            self._host.log(
                Severity.INFO,
                f"pool {self._name} event buffer overflowed no longer, discarded events: {count}",
            )
