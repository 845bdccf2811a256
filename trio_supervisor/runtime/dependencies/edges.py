"""The dependencies between the active groups, with the outlook of each, kept up to date.

A process that has an edge calls ``touch`` at every change of its record; that only notes its name.
``refresh`` updates what depends on it. Nothing here starts or stops anything.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition, OnDependencyStop
from trio_supervisor.core.dependencies.condition import (
    WAITS_FOR,
    Outlook,
    Prospect,
    condition_of,
    outlook,
)
from trio_supervisor.core.dependencies.graph import Graph, full_name, make_graph
from trio_supervisor.core.dependencies.watch import Watch
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_supervisor.core.config.depends_on import Dependency
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process

    #: Name and condition; None: the default condition of each process.
    WatchKey = tuple[str, Condition | None]

#: Dependencies that the description of a waiting process names; the others are counted.
MOST_NAMED = 3


class Edges:
    """Graph, processes and watches of the active groups."""

    def __init__(
        self, groups: Callable[[], Mapping[str, Group]], touched: Callable[[], None]
    ) -> None:
        """``touched`` is called when there is something to refresh."""
        self._groups = groups
        self._on_touch = touched
        self._is_current = False
        self.graph = Graph({}, {})
        self.processes: dict[Key, Process] = {}
        self.dependents: dict[Key, list[Key]] = {}
        """Of each process those that need it."""
        self.acting: dict[Key, list[Key]] = {}
        """Of each process the dependents that do not run without it."""
        self.left: list[Key] = []
        """Processes with such dependents that have left RUNNING; the coordinator empties it."""
        self._running: set[Key] = set()
        self._touched: dict[Key, None] = {}
        self._watches: dict[WatchKey, Watch] = {}
        self._watches_of: dict[Key, list[WatchKey]] = {}
        """Those that each process is part of."""
        self._waiters: dict[WatchKey, list[Key]] = {}
        """The processes that need what a watch is about."""

    def groups_changed(self) -> None:
        """Take note that a group or a process was added or removed."""
        self._is_current = False
        self._on_touch()

    def touch(self, key: Key) -> None:
        """Take note that the record of a process has changed."""
        self._touched[key] = None
        if key in self._running and self.processes[key].state is not State.RUNNING:
            self._running.discard(key)
            self.left.append(key)
        self._on_touch()

    def refresh(self) -> None:
        """Bring the watches up to date, and wake the dependents of those that have changed."""
        if not self._is_current:
            self._rebuild()
        while self._touched:
            touched, self._touched = self._touched, {}
            changed: dict[WatchKey, None] = {}
            for key in touched:
                process = self.processes.get(key)
                if process is None:
                    continue
                if key in self.acting and process.state is State.RUNNING:
                    self._running.add(key)
                for watch in self._watches_of.get(key, ()):
                    if self._watches[watch].update(key, _outlook(watch[1], process)):
                        changed[watch] = None
            self._wake(changed)

    def prospect(self, need: Dependency) -> Prospect:
        """Return the prospect of a dependency."""
        return self._watches[need.name, need.condition].prospect

    def description(self, needs: list[Dependency]) -> tuple[str, str]:
        """Return in words what a process with these unmet needs waits for.

        And if that is in vain, the dependency at the end of the chain with the reason, else "".
        """
        for need in needs:
            key, found = self._watches[need.name, need.condition].hopeless()
            if found.prospect is Prospect.HOPELESS:
                name = need.name if key is None else full_name(key)
                text = f"{name}, which {found.why}"
                is_chain = found.why.startswith(WAITS_FOR)
                root = found.why.removeprefix(WAITS_FOR) if is_chain else text
                return f"waiting for {text}", root
        named = ", ".join(f"{n.name} ({self._condition(n).value})" for n in needs[:MOST_NAMED])
        more = len(needs) - MOST_NAMED
        return f"waiting for {named}{f' and {more} more' if more > 0 else ''}", ""

    def members(self, need: Dependency) -> Iterable[tuple[Process, Condition]]:
        """The processes of a dependency, each with the condition that it must meet."""
        for key in self.graph.targets[need.name]:
            process = self.processes[key]
            yield process, condition_of(need.condition, process.config)

    def _condition(self, need: Dependency) -> Condition:
        conditions = [condition for _, condition in self.members(need)]
        return conditions[0] if conditions else need.condition or Condition.RUNNING

    def _wake(self, watches: Iterable[WatchKey]) -> None:
        for key in {waiter: None for watch in watches for waiter in self._waiters[watch]}:
            if self.processes[key].waiting:
                self.processes[key].waiters.wake()

    def _rebuild(self) -> None:
        """Make all anew from the active groups."""
        self._is_current = True
        for process in self.processes.values():
            process.waiters.observer = None
        groups = self._groups()
        graph = self.graph = make_graph(group.config for group in groups.values())
        self.processes = {p.key: p for group in groups.values() for p in group.processes.values()}
        self.dependents = graph.dependents()
        self._watches, self._waiters = {}, defaultdict(list)
        watches_of: dict[Key, dict[WatchKey, None]] = defaultdict(dict)
        acting: dict[Key, dict[Key, None]] = defaultdict(dict)
        for key, config in graph.processes.items():
            for need in config.dependencies.needs:
                watch = need.name, need.condition
                targets = graph.targets[need.name]
                if watch not in self._watches:
                    is_known = bool(targets) or need.name in groups
                    self._watches[watch] = Watch(targets, is_known=is_known)
                    for target in targets:
                        watches_of[target][watch] = None
                self._waiters[watch].append(key)
                if config.dependencies.on_stop is not OnDependencyStop.KEEP:
                    for process, condition in self.members(need):
                        if condition is not Condition.DONE:
                            acting[process.key][key] = None
        self._watches_of = {key: list(watches) for key, watches in watches_of.items()}
        self.acting = {key: list(dependents) for key, dependents in acting.items()}
        self._running = {k for k in self.acting if self.processes[k].state is State.RUNNING}
        needing = [key for key, config in graph.processes.items() if config.dependencies.needs]
        for key in {*watches_of, *needing}:
            self.processes[key].waiters.observer = partial(self.touch, key)
            self._touched[key] = None
        self._wake(self._watches)  # a name may mean other processes now


def _outlook(written: Condition | None, process: Process) -> Outlook:
    attempt = process.attempt
    root = "" if attempt.wait is None or not attempt.waits_in_vain else attempt.wait.root
    return outlook(
        condition_of(written, process.config),
        process.record,
        restarting=process.pending_restarts > 0,
        blocked_by=root,
    )
