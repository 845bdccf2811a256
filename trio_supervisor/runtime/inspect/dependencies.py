"""The graph of the dependencies between processes, for clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.dependencies.condition import Prospect, condition_of, outlook

if TYPE_CHECKING:
    from trio_supervisor.core.config.depends_on import Dependency
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

    Struct = dict[str, Value]


def dependencies(supervisor: Supervisor) -> list[Struct]:
    """Return a struct for each process, in the order of starting.

    Members: ``name``, ``group``, ``full_name``, ``statename``, ``waiting`` (what it waits for;
    empty if it does not), ``depends_on`` (structs of what is written, its condition, whether it is
    soft, whether it is met, the full names of its processes and of those that do not meet it),
    ``on_dependency_stop`` and ``needed_by``, the full names of the processes that depend on it.
    """
    return [
        _described(process)
        | {
            "depends_on": [
                _need(need, targets, is_known=bool(targets) or need.name in supervisor.groups)
                for need, targets in needs
            ],
            "on_dependency_stop": process.config.dependencies.on_stop.value,
            "needed_by": [other.full_name for other in needed_by],
        }
        for process, needs, needed_by in _rows(supervisor)
    ]


def dependency_graph(supervisor: Supervisor) -> Struct:
    """Return ``nodes``, the processes in the order of starting, and ``edges`` between them.

    Each edge goes from a process (``from``) to one that it depends on (``to``). A soft dependency
    that does not exist has an edge to its name.
    """
    nodes: list[Value] = []
    edges: list[Value] = []
    for process, needs, _ in _rows(supervisor):
        on_stop = process.config.dependencies.on_stop.value
        nodes.append({**_described(process), "on_dependency_stop": on_stop})
        for need, targets in needs:
            ends = [(p.full_name, _condition(need, p), _is_met(need, p)) for p in targets]
            if not targets and need.name not in supervisor.groups:
                ends = [(need.name, _condition(need, None), False)]
            edges += [
                {
                    "from": process.full_name,
                    "to": name,
                    "condition": condition,
                    "soft": need.soft,
                    "met": met,
                }
                for name, condition, met in ends
            ]
    return {"nodes": nodes, "edges": edges}


def _rows(
    supervisor: Supervisor,
) -> list[tuple[Process, list[tuple[Dependency, list[Process]]], list[Process]]]:
    """Return each process in the order of starting, with what it needs and those that need it."""
    graph = supervisor.active.dependencies.graph
    processes = {process.key: process for process in supervisor.processes()}
    if graph is None or not processes:
        return [(process, [], []) for process in processes.values()]
    coordination = next(iter(processes.values())).coordination
    dependents = graph.dependents()
    return [
        (
            processes[key],
            [(need, [processes[k] for k in graph.targets[need.name]]) for need in graph.needs(key)],
            [processes[other] for other in dependents.get(key, ())],
        )
        for key in (processes if coordination is None else coordination.in_start_order(processes))
    ]


def _described(process: Process) -> Struct:
    return {
        "name": process.name,
        "group": process.group,
        "full_name": process.full_name,
        "statename": process.state.name,
        "waiting": process.waiting,
    }


def _need(need: Dependency, processes: list[Process], *, is_known: bool) -> Value:
    unmet = [process.full_name for process in processes if not _is_met(need, process)]
    return {
        "written": str(need),
        "condition": _condition(need, processes[0] if processes else None),
        "soft": need.soft,
        "met": is_known and not unmet,
        "processes": [process.full_name for process in processes],
        "unmet": [*unmet],
    }


def _condition(need: Dependency, process: Process | None) -> str:
    """Return the condition for a process; None: for one that does not exist."""
    if process is None:
        return "running" if need.condition is None else need.condition.value
    return condition_of(need.condition, process.config).value


def _is_met(need: Dependency, process: Process) -> bool:
    condition = condition_of(need.condition, process.config)
    return outlook(condition, process.record).prospect is Prospect.MET
