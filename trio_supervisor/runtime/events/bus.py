"""The event bus of a supervisor: calls every subscriber of an event's type, at once and in order.

The bus has no buffer. A subscriber must not block, and decides itself what to do with too many
events.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from trio_supervisor.core import events
from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.events import Extended, subscribes

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.events import Event, Serials
    from trio_supervisor.runtime.events.back_pressure import BackPressure

    Accept = Callable[[Event, int], None]


class Bus:
    """Delivers events to subscribers.

    ``serials`` yields the serial numbers. A daemon passes the same iterator to each of its buses,
    so that numbers go on after a reload. ``report`` writes to the activity log: an exception of a
    subscriber is logged, and does not reach the publisher or the other subscribers.
    """

    def __init__(
        self, report: Callable[[Severity, str], None], serials: Serials | None = None
    ) -> None:
        self._report = report
        self._serials = events.Serials() if serials is None else serials
        self._subscribers: list[tuple[tuple[type[Event], ...], Accept]] = []
        self._observers: list[Callable[[Event], None]] = []
        self.back_pressure: BackPressure | None = None
        """None: no program waits for a reader of its events."""

    def throttle(self) -> BackPressure:
        """Return what lets programs wait for readers; the first call makes it."""
        if self.back_pressure is None:
            from trio_supervisor.runtime.events.back_pressure import BackPressure

            self.back_pressure = BackPressure()
        return self.back_pressure

    def subscribe(self, types: tuple[type[Event], ...], accept: Accept) -> Callable[[], None]:
        """Call ``accept(event, serial)`` for every event of these types.

        It is called once for each event, however many of the types the event belongs to. Returns
        the function that ends the subscription.
        """
        subscriber = (types, accept)
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def observe(self, see: Callable[[Event], None]) -> None:
        """Call ``see`` for every event, without end. It must not raise.

        An observer gets no serial number, so that it does not change those that listeners see.
        """
        self._observers.append(see)

    def publish(self, event: Event) -> None:
        """Deliver an event. It takes a serial number only if there is a subscriber."""
        for see in self._observers:
            see(event)
        if not self._subscribers:
            return
        serial: int | None = None
        extended = isinstance(event, Extended)
        for types, accept in tuple(self._subscribers):
            if isinstance(event, types) and (not extended or subscribes(types, event)):
                if serial is None:
                    serial = next(self._serials)
                try:
                    accept(event, serial)
                except Exception:
                    self._report(
                        Severity.CRITICAL, f"event {event.name} lost:\n{traceback.format_exc()}"
                    )
