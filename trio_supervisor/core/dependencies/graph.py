"""The graph of ``depends_on``: what the names mean, what is wrong with it, the order of starting.

A name means all processes of a program or of a group, or one process. Names are nodes of their own
between the processes, so that 300 processes that need a group of 300 make 600 edges and not 90,000.
Nothing here recurses: chains may be longer than Python's stack.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import field
from typing import TYPE_CHECKING, TypeVar

from trio_supervisor.core.config.depends_on import Condition
from trio_supervisor.core.config.names import full_name as name_of
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.dependencies.condition import condition_of, is_checked
from trio_supervisor.core.process.start import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from trio_supervisor.core.config.depends_on import Dependency
    from trio_supervisor.core.config.model import GroupConfig, ProcessConfig

#: A process, or the name of a dependency.
Node = Key | str

N = TypeVar("N", bound=Hashable)

#: Members of a cycle that a message shows; the rest is counted.
MOST_SHOWN = 12
LEAVE_OUT = "leave one of these out of depends_on"


@dataclass(frozen=True, slots=True)
class DependencyProblem:
    """Mistake in a dependency of a process."""

    process: ProcessConfig
    text: str
    hint: str | None
    is_unknown_name: bool = False
    """Whether it could come from an error elsewhere in the file."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Processes in start order, and what they need."""

    processes: Mapping[Key, ProcessConfig]
    targets: Mapping[str, tuple[Key, ...]]
    """The processes that each name in a ``depends_on`` means; empty: there are none."""
    problems: tuple[DependencyProblem, ...] = field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether no process needs another one."""
        return not self.targets

    def needs(self, key: Key) -> tuple[Dependency, ...]:
        """Return the dependencies of a process."""
        return self.processes[key].dependencies.needs

    def needed(self, key: Key) -> list[Key]:
        """The processes that a process needs, each once."""
        return list(dict.fromkeys(k for need in self.needs(key) for k in self.targets[need.name]))

    def dependents(self) -> dict[Key, list[Key]]:
        """Return the dependents of each process that has any, in start order."""
        found: dict[Key, dict[Key, None]] = defaultdict(dict)
        for key in self.processes:
            for need in self.needs(key):
                for target in self.targets[need.name]:
                    found[target][key] = None
        return {key: list(others) for key, others in found.items()}

    def successors(self, node: Node) -> Iterable[Node]:
        """Return the successors of a node: names for a process, processes for a name."""
        if isinstance(node, str):
            return self.targets[node]
        return [need.name for need in self.needs(node)]


def full_name(key: Key) -> str:
    """The name under which clients know a process."""
    return name_of(key[1], key[0])


def make_graph(groups: Iterable[GroupConfig]) -> Graph:
    """The graph of some groups, in start order; of groups with equal names the first counts."""
    by_name: dict[str, GroupConfig] = {}
    for group in groups:
        by_name.setdefault(group.name, group)
    processes = {
        (group.name, process.name): process
        for group in by_name.values()
        for process in sorted(group.processes, key=lambda process: process.priority)
    }
    if all(not process.dependencies.needs for process in processes.values()):
        return Graph(processes, {})
    names = _Names(by_name)
    targets: dict[str, tuple[Key, ...]] = {}
    problems: list[DependencyProblem] = []
    for process in processes.values():
        for need in process.dependencies.needs:
            if need.name not in targets:
                targets[need.name] = names.meant(need.name)
            problems += names.problems(process, need, targets[need.name], processes)
    graph = Graph(processes, targets)
    problems += [
        DependencyProblem(processes[cycle[0]], _shown(cycle), LEAVE_OUT) for cycle in cycles(graph)
    ]
    return Graph(processes, targets, tuple(problems))


class _Names:
    """Resolution of names among some groups."""

    def __init__(self, groups: Mapping[str, GroupConfig]) -> None:
        self._groups = groups
        self._programs: dict[str, list[Key]] = defaultdict(list)
        """The processes of each program, in all groups that have it."""
        self._homes: dict[str, set[str]] = defaultdict(set)
        """The groups that have a program of a name."""
        for group in groups.values():
            for program in group.programs:
                self._homes[program.name].add(group.name)
                self._programs[program.name] += [
                    (group.name, process.name)
                    for process in group.processes
                    if process.section == program.section
                ]

    def meant(self, name: str) -> tuple[Key, ...]:
        """The processes that a name means; none if it is unknown."""
        group, colon, process = name.partition(":")
        if colon:
            members = self._groups[group].processes if group in self._groups else ()
            return tuple((group, each.name) for each in members if each.name == process)
        if group in self._groups:
            return tuple((group, each.name) for each in self._groups[group].processes)
        return tuple(self._programs.get(name, ()))

    def problems(
        self,
        process: ProcessConfig,
        need: Dependency,
        targets: tuple[Key, ...],
        processes: Mapping[Key, ProcessConfig],
    ) -> Iterable[DependencyProblem]:
        """Return the mistakes in one dependency of a process."""
        homes = self._homes.get(need.name, set()) - {need.name}
        if homes and need.name in self._groups:
            text = f"{need.name} is a group, and also a program of the group {min(homes)}"
            hint = f"rename one of them, or write {min(homes)}:PROCESS for a process of the program"
            yield DependencyProblem(process, text, hint)
        if not targets and not need.soft and need.name not in self._groups:
            text = f"there is no program, group or process {need.name}"
            yield DependencyProblem(process, text, self._hint(need), is_unknown_name=True)
        for target in targets:
            if (wrong := _wrong_condition(need, full_name(target), processes[target])) is not None:
                yield DependencyProblem(process, *wrong)
                break

    def _hint(self, need: Dependency) -> str:
        group, colon, last = need.name.partition(":")
        known = {*self._groups, *self._programs}
        if colon and group in known:
            members = self._groups[group].processes if group in self._groups else ()
            words = (*(process.name for process in members), *(each.value for each in Condition))
            meant = suggestion(last, words)
            meant = None if meant is None else f"{group}:{meant}"
        else:
            meant = suggestion(need.name, known)
        if meant is not None:
            return f"did you mean {meant}?"
        return f"add it, or write {need}? if it may be missing"


def _wrong_condition(need: Dependency, name: str, process: ProcessConfig) -> tuple[str, str] | None:
    """Return the mistake in the condition for one process of a dependency, and its fix."""
    condition = condition_of(need.condition, process)
    if condition is Condition.DONE and not process.oneshot:
        text = f"{name} can never be done: it is no oneshot"
        return text, f"write oneshot = true for {name}, or {need.name}:running"
    if condition is not Condition.DONE and process.oneshot:
        text = f"{name} is a oneshot, which is done and not {condition.value}"
        return text, f"write {need.name}:done"
    if condition is Condition.HEALTHY and not is_checked(process):
        return f"{name} has no health check", f"give {name} a health option, or write {need.name}"
    return None


def start_order(graph: Graph) -> list[Key]:
    """All processes: each behind those that it needs, else in the order of the graph.

    What belongs to a cycle comes last.
    """
    nodes: list[Node] = [*graph.targets, *graph.processes]
    ordered = _behind_successors(nodes, graph.successors)
    return [node for node in ordered if not isinstance(node, str)]


def group_order(graph: Graph, names: Iterable[str]) -> list[str]:
    """Some groups: each behind those that its processes need, else in the order given.

    Groups whose processes need each other come last.
    """
    needed: dict[str, dict[str, None]] = defaultdict(dict)
    for key in graph.processes:
        for group, _ in graph.needed(key):
            if group != key[0]:
                needed[key[0]][group] = None
    names = list(names)
    groups = [*names, *dict.fromkeys(group for group, _ in graph.processes if group not in names)]
    ordered = _behind_successors(groups, lambda group: needed[group])
    return [group for group in ordered if group in names]


def _behind_successors(nodes: list[N], successors: Callable[[N], Iterable[N]]) -> list[N]:
    """The nodes in their order, but each behind its successors; those in cycles come last."""
    rank = {node: index for index, node in enumerate(nodes)}
    waiting: dict[N, int] = {}
    before: dict[N, list[N]] = defaultdict(list)
    for node in nodes:
        behind = [successor for successor in successors(node) if successor in rank]
        waiting[node] = len(behind)
        for successor in behind:
            before[successor].append(node)
    ready = [rank[node] for node, count in waiting.items() if not count]
    heapq.heapify(ready)
    ordered: dict[N, None] = {}
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered[node] = None
        for predecessor in before[node]:
            waiting[predecessor] -= 1
            if not waiting[predecessor]:
                heapq.heappush(ready, rank[predecessor])
    return [*ordered, *(node for node in nodes if node not in ordered)]


def cycles(graph: Graph) -> list[list[Key]]:
    """Cycles of processes, at least one of every part of the graph that has any.

    Of several processes of one section only the first found is shown.
    """
    found: dict[tuple[str | None, ...], list[Key]] = {}
    done: set[Node] = set()
    for root in graph.processes:
        path: dict[Node, None] = {}
        stack: list[tuple[Node, Iterator[Node]]] = []
        if root not in done:
            stack.append((root, iter(graph.successors(root))))
            path[root] = None
        while stack:
            node, successors = stack[-1]
            following = next(successors, None)
            if following is None:
                stack.pop()
                del path[node]
                done.add(node)
            elif following in path:
                nodes = list(path)
                cycle = [n for n in nodes[nodes.index(following) :] if not isinstance(n, str)]
                sections = tuple(graph.processes[key].section or full_name(key) for key in cycle)
                found.setdefault(sections, cycle)
            elif following not in done:
                path[following] = None
                stack.append((following, iter(graph.successors(following))))
    return list(found.values())


def _shown(cycle: list[Key]) -> str:
    names = [full_name(key) for key in cycle]
    if len(names) > MOST_SHOWN:
        names = [*names[:MOST_SHOWN], f"... {len(names) - MOST_SHOWN} more"]
    return f"depends_on makes a cycle: {' -> '.join([*names, names[0]])}"
