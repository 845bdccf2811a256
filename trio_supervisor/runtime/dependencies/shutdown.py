"""A shutdown where processes depend on others: each stops when its dependents have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dependencies.stop_order import StopOrder, StoppedGroup
from trio_supervisor.core.process.states import STOPPED_STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process


async def stop_in_order(
    groups: Collection[Group],
    graph: Graph,
    cause: Cause,
    drain: Callable[[Group], Awaitable[object]],
) -> None:
    """Stop all processes of the groups, which are in start order; return when all have ended.

    ``drain`` lets a listener pool process its events before it is stopped.
    """
    processes = {process.key: process for group in groups for process in group.processes.values()}
    group_of = {process.key: group for group in groups for process in group.processes.values()}
    order = _order(groups, graph)
    drained: dict[str, trio.Event] = {}

    async def end(process: Process) -> None:
        group = group_of[process.key]
        if group.pool is not None:
            if group.name in drained:
                await drained[group.name].wait()
            else:
                done = drained[group.name] = trio.Event()
                await drain(group)
                done.set()
        process.shut_down(cause)
        await process.waiters.wait_for(*STOPPED_STATES)
        order.ended(process.key)
        begin()

    async with trio.open_nursery() as nursery:

        def begin() -> None:
            for key in order.ready():
                nursery.start_soon(end, processes[key])

        begin()


def stop_turns(groups: Collection[Group], graph: Graph) -> list[list[Process]]:
    """Return what would stop together, turn by turn, if all of a turn ended at once."""
    processes = {process.key: process for group in groups for process in group.processes.values()}
    order = _order(groups, graph)
    for key, process in processes.items():
        if process.state in STOPPED_STATES:
            order.ended(key)
    turns = []
    while keys := order.ready():
        turns.append([processes[key] for key in keys])
        for key in keys:
            order.ended(key)
    return turns


def _order(groups: Collection[Group], graph: Graph) -> StopOrder:
    stopped = [
        StoppedGroup([p.key for p in group.processes.values()], group.pool is not None)
        for group in groups
    ]
    return StopOrder(stopped, graph.dependents())
