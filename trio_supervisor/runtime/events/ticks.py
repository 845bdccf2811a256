"""TICK events, which follow the wall clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.events import TICKS

if TYPE_CHECKING:
    from trio_supervisor.runtime.host import Host


#: Longest pause in seconds between two readings of the clock, which may be set, or go on while the
#: machine sleeps.
PAUSE = 1.0


async def tick(host: Host) -> None:
    """Publish a tick whenever the clock has entered a new period, until cancelled.

    Periods are counted from the epoch. There is no tick for the period at the start, nor for
    periods that were missed. If the clock is set back, the next tick has a smaller ``when``.
    """
    finest = min(cls.period for cls in TICKS)
    seen = {cls: int(host.wall_clock()) // cls.period for cls in TICKS}
    while True:
        await trio.sleep(min(PAUSE, finest - host.wall_clock() % finest))
        now = int(host.wall_clock())
        for cls in TICKS:
            current = now // cls.period
            if current != seen[cls]:
                seen[cls] = current
                host.publish(cls(when=current * cls.period))
