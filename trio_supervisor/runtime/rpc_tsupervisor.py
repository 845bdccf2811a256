"""The table of the ``tsupervisor.*`` methods: what the reference cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.runtime.rpc_method import Method

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


METHODS = (Method("getPoolInfo", "array", (), pool_info, always=True),)
