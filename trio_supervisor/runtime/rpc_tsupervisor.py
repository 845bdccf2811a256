"""The table of the ``tsupervisor.*`` methods: what the reference cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.runtime.details import details
from trio_supervisor.runtime.rpc_info import by_name
from trio_supervisor.runtime.rpc_method import NAME, Method

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.pool import Pool
    from trio_supervisor.runtime.supervisor import Supervisor


async def pool_info(supervisor: Supervisor) -> Value:
    """Tell how the event listener pools keep up.

    @return array  one struct for each pool: its name, the size of its buffer, how many events wait
                   in it and how many were dropped, and the protocol state of each listener
    """
    return [_pool(group.pool) for group in supervisor.groups.values() if group.pool is not None]


def _pool(pool: Pool) -> Value:
    listeners: list[Value] = [
        {"name": process.name, "pid": process.pid, "state": int(state), "statename": state.name}
        for process, state in pool.listeners
    ]
    return {
        "name": pool.name,
        "buffer_size": pool.buffer_size,
        "buffered": pool.buffered,
        "dropped": pool.dropped,
        "listeners": listeners,
    }


async def process_details(supervisor: Supervisor, name: str) -> Value:
    """Tell all there is to tell of one process, also why it does not run and what it uses.

    @param string name  the process, as group:name unless both are the same
    @return struct      what getProcessInfo returns, and more
    """
    return (await details(supervisor, [supervisor.process(name)]))[0]


async def all_process_details(supervisor: Supervisor) -> Value:
    """Tell all there is to tell of every process.

    @return array  one struct for each process, by group name, then process name
    """
    return [*await details(supervisor, by_name(supervisor))]


METHODS = (
    Method("getAllProcessDetails", "array", (), all_process_details, reads=True),
    Method("getPoolInfo", "array", (), pool_info, always=True, reads=True),
    Method("getProcessDetails", "struct", (NAME,), process_details, reads=True),
)
