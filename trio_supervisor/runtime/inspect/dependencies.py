"""The graph of the dependencies between processes, for clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor


def dependencies(supervisor: Supervisor) -> list[Value]:
    """Return a struct for each process, in the order of starting.

    Members: ``name``, ``group``, ``full_name``, ``statename``, ``waiting`` (what it waits for;
    empty if it does not), ``depends_on`` (structs of what is written,
    whether it is soft, and the full names of its processes), ``on_dependency_stop`` and
    ``needed_by``, the full names of the processes that depend on it.
    """
    graph = supervisor.active.dependencies.graph
    processes = {process.key: process for process in supervisor.processes()}
    keys = list(processes)
    if graph is None:
        return [_struct(process, [], []) for process in processes.values()]
    coordination = processes[keys[0]].coordination if keys else None
    dependents = graph.dependents()
    return [
        _struct(
            processes[key],
            [
                _need(str(need), need.soft, [processes[t] for t in graph.targets[need.name]])
                for need in graph.needs(key)
            ],
            [processes[other].full_name for other in dependents.get(key, ())],
        )
        for key in (keys if coordination is None else coordination.in_start_order(keys))
    ]


def _struct(process: Process, needs: list[Value], needed_by: list[str]) -> Value:
    return {
        "name": process.name,
        "group": process.group,
        "full_name": process.full_name,
        "statename": process.state.name,
        "waiting": process.waiting,
        "depends_on": needs,
        "on_dependency_stop": process.config.dependencies.on_stop.value,
        "needed_by": [*needed_by],
    }


def _need(written: str, soft: bool, processes: list[Process]) -> Value:
    return {
        "written": written,
        "soft": soft,
        "processes": [process.full_name for process in processes],
    }
