"""The ordered end of everything that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.process.states import STOPPED_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_supervisor.runtime.group import Group

#: Seconds a listener pool gets to work off its events before it is stopped (interfaces.md 1.6).
DRAIN_PATIENCE = 1
#: Seconds between two "waiting for x to die" lines (P-174).
DIE_REMINDER = 3


async def stop_groups(groups: Sequence[Group], log: Callable[[Severity, str], None]) -> None:
    """Stop groups strictly one after the other in reverse order (P-156 to P-158, P-174)."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_announce_waiting, groups, log)
        for group in reversed(groups):
            if group.pool is not None:
                with trio.move_on_after(DRAIN_PATIENCE):
                    await group.pool.drained()
            for process in reversed(list(group.processes.values())):
                process.shut_down()
            for process in group.processes.values():
                await process.wait_for(*STOPPED_STATES)
        nursery.cancel_scope.cancel()


async def _announce_waiting(groups: Sequence[Group], log: Callable[[Severity, str], None]) -> None:
    while True:
        processes = (p for group in groups for p in group.processes.values())
        alive = [p.name for p in processes if p.state not in STOPPED_STATES]
        if alive:
            log(Severity.INFO, f"waiting for {', '.join(alive)} to die")
        await trio.sleep(DIE_REMINDER)
