"""Whether processes are as they should be, and waiting for them to be. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.describe import reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from trio_supervisor.runtime.process.lifecycle import Process

#: Seconds one request may wait. Whoever wants to wait longer asks again; a request that nobody
#: waits for any more ends.
LONGEST_WAIT = 60


async def reach(processes: Collection[Process], states: Collection[State], within: float) -> None:
    """Return when all processes are in one of the states at the same time, or ``within`` is over.

    ``within`` is in seconds; at most LONGEST_WAIT of them count.
    """
    with trio.move_on_after(min(within, LONGEST_WAIT)):
        while (other := next((p for p in processes if p.state not in states), None)) is not None:
            await other.wait_for(*states)


def ailments(processes: Iterable[Process], *, asked: bool) -> list[tuple[Process, str]]:
    """Those that are not as they should be, each with why.

    A process is healthy while it is RUNNING, and when it has ended as expected. One that was not
    started because its ``autostart`` is off is healthy too, unless it was ``asked`` for by name.
    """
    found = ((process, _ailment(process, asked=asked)) for process in processes)
    return [(process, ailment) for process, ailment in found if ailment]


def _ailment(process: Process, *, asked: bool) -> str:
    """Why it is not as it should be; empty if it is."""
    if process.state is State.RUNNING:
        return ""
    if process.state is State.EXITED:
        last = process.history.last_exit
        if last is None or last.expected(process.config.exitcodes):
            return ""
    if process.state is State.STOPPED and not process.config.autostart and not asked:
        return ""
    return reason(process) or f"is {process.state.name}"
