"""TICK events: the one thing here that goes by the wall clock (interfaces.md 1.4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.events import TICKS

if TYPE_CHECKING:
    from trio_supervisor.runtime.host import Host


#: Seconds between two looks at the clock, at most: it may be set, the machine may sleep (1.4.5).
LOOK = 1.0


async def tick(host: Host) -> None:
    """Publish a tick whenever the clock has entered a new slice, until cancelled.

    Slices are counted from the epoch. The first look only records the slices; missed ones are not
    replayed; a clock set back publishes a tick with a smaller ``when``.
    """
    finest = min(cls.period for cls in TICKS)
    seen = {cls: int(host.wall_clock()) // cls.period for cls in TICKS}
    while True:
        await trio.sleep(min(LOOK, finest - host.wall_clock() % finest))
        now = int(host.wall_clock())
        for cls in TICKS:
            current = now // cls.period
            if current != seen[cls]:
                seen[cls] = current
                host.publish(cls(when=current * cls.period))
