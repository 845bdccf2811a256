"""The ordered stop of everything within ``stop_timeout``, for those who kill the daemon after that.

Groups stop one after the other, or processes as their dependencies require. Each turn gets a share
of the time: at its end SIGKILL is sent to what is left of it, and the next turn begins. Shortly
before the time is over SIGKILL is sent to all, and at its end what does not end even so is let go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.plan import stop_order, turn_ends
from trio_supervisor.core.process.states import STOPPED_STATES, State
from trio_supervisor.core.process.stop import StopSequence
from trio_supervisor.runtime.groups.operations import DRAIN_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process

#: Seconds at the end for the programs that are killed, and at most half of the time.
RESERVE = 0.5
#: Seconds that the killed programs of a turn get to be recorded as ended before the next begins.
GRACE = 0.2


async def stop_within(
    seconds: float,
    groups: Collection[Group],
    graph: Graph | None,
    cause: Cause,
    stop: Callable[[], Awaitable[object]],
) -> bool:
    """Let ``stop`` stop the groups, which are in start order, for so many seconds.

    Return whether all has ended.
    """
    began = trio.current_time()
    kill_at = began + seconds - min(RESERVE, seconds / 2)
    turns = _turns(groups, graph)
    ends = [began + end for end in turn_ends([*map(_patience, turns)], kill_at - began)]
    processes = [process for group in groups for process in group.processes.values()]
    for process in processes:
        process.record.stop_by = kill_at
    for turn, end in zip(turns, ends, strict=True):
        for process in turn:
            process.record.stop_by = end
            if process.state is State.STOPPING:
                process.driver.stop()

    async def keep_time() -> None:
        for end, following in zip(ends, turns[1:], strict=False):
            await trio.sleep_until(end + GRACE)
            _begin(following, cause)
        await trio.sleep_until(kill_at)
        for process in stop_order(processes):
            process.record.stop_by = kill_at
            if process.state is State.STOPPING:
                process.driver.stop()
        _begin(stop_order(processes), cause)

    with trio.move_on_at(began + seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_time)
            await stop()
            nursery.cancel_scope.cancel()
        return True
    return False


def _turns(groups: Collection[Group], graph: Graph | None) -> list[list[Process]]:
    """What is up of the groups, in the order in which they stop: what stops together is a turn."""
    if graph is None or graph.is_empty:
        turns = [[*group.processes.values()] for group in stop_order(groups)]
        up = ([p for p in turn if p.state not in STOPPED_STATES] for turn in turns)
        return [turn for turn in up if turn]
    # Imported here because few configurations have dependencies.
    from trio_supervisor.runtime.dependencies.shutdown import stop_turns

    return stop_turns(groups, graph)


def _patience(turn: Sequence[Process]) -> float:
    """How long the programs may take, which all stop together."""
    drain = DRAIN_TIMEOUT if any(process.kind is GroupKind.POOL for process in turn) else 0
    return drain + max(StopSequence.of(process.config).patience for process in turn)


def _begin(processes: Iterable[Process], cause: Cause) -> None:
    """Stop those whose stop has not begun."""
    for process in processes:
        if process.state not in STOPPED_STATES and not process.stopping:
            process.shut_down(cause)
