"""Evaluate the states of processes: which count as unhealthy, and waits for states.

Nothing here changes or checks a process; the checks of ``health`` are in ``runtime/probes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.process.reasons import ill_health
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.describe import flapping, reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from trio_supervisor.runtime.process.process import Process

#: Seconds that one request may wait. A client that wants to wait longer asks again, so that the
#: wait of a client that is gone ends.
LONGEST_WAIT = 60


async def wait_for_states(
    processes: Collection[Process], states: Collection[State], within: float
) -> None:
    """Wait until all processes are in one of the states at the same time.

    Return after ``within`` seconds, and after LONGEST_WAIT seconds, in any case.
    """
    with trio.move_on_after(min(within, LONGEST_WAIT)):
        while (other := next((p for p in processes if p.state not in states), None)) is not None:
            await other.waiters.wait_for(*states)


def unhealthy_processes(
    processes: Iterable[Process], *, asked: bool, strict: bool = False
) -> list[tuple[Process, str]]:
    """Return the processes that are not healthy, each with the reason.

    A process is healthy while it is RUNNING and, if its health is checked, was found healthy, and
    when it has exited as expected. A process that was
    not started because its ``autostart`` is off is healthy too, unless the caller ``asked`` for it
    by name. A flapping process is healthy unless the caller is ``strict``.
    """
    found = (
        (process, (flapping(process) if strict else "") or _problem(process, asked=asked))
        for process in processes
    )
    return [(process, problem) for process, problem in found if problem]


def _problem(process: Process, *, asked: bool) -> str:
    """Explain why a process is not healthy; empty if it is."""
    if process.state is State.RUNNING:
        return ill_health(process.config, process.record)
    if process.state is State.EXITED:
        last = process.record.last_exit
        if last is None or last.expected(process.config.exitcodes):
            return ""
    if process.state is State.STOPPED and not process.config.autostart and not asked:
        return ""
    return reason(process) or f"is {process.state.name}"
