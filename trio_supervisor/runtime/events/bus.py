"""The event bus: hands each event to every subscriber of its type, at once and in order.

Belongs to one supervisor. Knows nothing of buffers or listeners: a subscriber must not block and
owns its overflow rule.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from trio_supervisor.core import events
from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.core.events import Event

    Accept = Callable[[Event, int], None]


class Bus:
    """``serials`` numbers the events; a daemon passes one iterator for its whole life, because
    numbers survive a restart in place (interfaces.md 1.3).

    ``report`` writes to the activity log what a broken subscriber raised: whoever publishes, and
    the other subscribers, never notice.
    """

    def __init__(
        self, report: Callable[[Severity, str], None], serials: Iterator[int] | None = None
    ) -> None:
        self._report = report
        self._serials = events.serials() if serials is None else serials
        self._subscribers: list[tuple[tuple[type[Event], ...], Accept]] = []
        self._observers: list[Callable[[Event], None]] = []

    def subscribe(self, types: tuple[type[Event], ...], accept: Accept) -> Callable[[], None]:
        """Call ``accept(event, serial)`` for every event of these types; returns the cancellation.

        Each event arrives once, however many of the types it belongs to (Q4 of interfaces.md).
        """
        subscriber = (types, accept)
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def observe(self, see: Callable[[Event], None]) -> None:
        """Call ``see`` for every event, for good. It takes no number and must not raise."""
        self._observers.append(see)

    def publish(self, event: Event) -> None:
        """A serial number is only taken for an event that somebody receives (1.3)."""
        for see in self._observers:
            see(event)
        serial: int | None = None
        for types, accept in tuple(self._subscribers):
            if isinstance(event, types):
                if serial is None:
                    serial = next(self._serials)
                try:
                    accept(event, serial)
                except Exception:
                    self._report(
                        Severity.CRITICAL, f"event {event.name} lost:\n{traceback.format_exc()}"
                    )
