"""Makes processes wait for those that they depend on, and stops them in the opposite order.

Theory of operation
-------------------
A process that depends on others is started as any other: its state is STARTING. Before its driver
spawns, it asks ``may_start``; if that says no, the driver parks, with the reason in the ``Wait`` of
the start attempt, until somebody wakes the process.

That is done here, by one task for all processes. Each process that has an edge notes at every
change of its record that there is something new (``Edges.touch``), which wakes the task. The task,
or whoever needs a result sooner, brings the watches up to date and wakes the dependents of those
that have changed. Nothing is looked at in intervals, and a process without edges calls nothing.

A stop of a process whose running dependents stop with it is *held*: the intent is DOWN, so the
process counts as stopping, and the signal is sent when the dependents have ended. Requests to stop
several processes at once are held in the same way. Dependents are asked to stop by the task, one
after the other, so a chain of any length takes no stack.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.depends_on import OnDependencyStop
from trio_supervisor.core.dependencies.condition import Prospect, may_start
from trio_supervisor.core.dependencies.graph import Graph, full_name, start_order
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.start import Starts
from trio_supervisor.core.process.states import STOPPED_STATES, State
from trio_supervisor.runtime.dependencies.edges import Edges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_supervisor.core.config.depends_on import Dependency
    from trio_supervisor.core.process.start import Key, Wait
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process

#: Causes of stops that are no outage for the dependents.
_NO_OUTAGE = (CauseKind.SHUTDOWN, CauseKind.CONFIGURATION)


class Coordinator:
    """Starts and stops in the order of the dependencies between the active groups."""

    def __init__(
        self, groups: Callable[[], Mapping[str, Group]], accepting: Callable[[], bool]
    ) -> None:
        """``accepting`` is false in a shutdown, which triggers no ``on_dependency_stop``."""
        self._accepting = accepting
        self._wakeup = trio.Event()
        self._edges = Edges(groups, self._wake)
        self._to_stop: deque[tuple[Key, Cause]] = deque()
        self._held: dict[Key, set[Key]] = {}
        """Processes whose stop is held, each with those that have to end before."""
        self._restarting: dict[Key, tuple[Process, int, Cause]] = {}
        """Dependents that are stopped to be started again, with their ``stops`` at that time."""

    @property
    def graph(self) -> Graph:
        """The graph of the active groups."""
        self._edges.refresh()
        return self._edges.graph

    @property
    def is_settled(self) -> bool:
        """Whether everything has followed from the last changes."""
        return not (self._wakeup.is_set() or self._to_stop or self._edges.left)

    def groups_changed(self) -> None:
        """Take note that a group or a process was added or removed."""
        self._edges.groups_changed()

    async def run(self) -> None:
        """Wake who waits, and stop who stops with others, until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup = trio.Event()
            self._edges.refresh()
            self._note_outages()
            self._stop_dependents()
            self._start_again()
            self._release()

    def may_start(self, wait: Wait) -> bool:
        """Whether all that a process needs is as it must be; else ``wait`` says what is missing.

        Dependencies that the start may start are started.
        """
        edges = self._edges
        edges.refresh()
        if wait.starts is Starts.IGNORED or wait.key not in edges.graph.processes:
            return True
        needs = edges.graph.needs(wait.key)
        if wait.starts is not Starts.NONE and self._accepting():
            for need in needs:
                if not need.soft:
                    self._start(need, wait)
            edges.refresh()
        unmet = [need for need in needs if self._holds_up(need)]
        if not unmet:
            return True
        text, root = edges.description(unmet)
        if (text, bool(root)) != (wait.text, wait.hopeless):
            wait.text, wait.root, wait.hopeless = text, root, bool(root)
            edges.touch(wait.key)
        return False

    def holds_stop(self, key: Key, cause: Cause, among: frozenset[Key]) -> bool:
        """Whether others must end before a process is sent its stop signal (see ``Host``)."""
        if not self._accepting():
            return False
        self._edges.refresh()
        first: set[Key] = set()
        if cause.kind not in _NO_OUTAGE:
            for dependent in self._edges.acting.get(key, ()):
                if self._is_up(dependent):
                    if not self._has_ended(dependent):
                        first.add(dependent)
                    why = Cause(
                        CauseKind.DEPENDENCY, f"{full_name(key)} is about to stop", cause.entry
                    )
                    self._to_stop.append((dependent, why))
        if among:
            dependents = self._edges.dependents.get(key, ())
            first.update(d for d in dependents if d in among and not self._has_ended(d))
        first = {dependent for dependent in first if not self._waits_for(dependent, key)}
        if first:
            self._held[key] = first
            self._edges.touch(key)  # it counts as stopping from now on
        return bool(first)

    def stop_held_by(self, key: Key) -> list[str]:
        """Return the full names of those that must end before a process is told to stop."""
        return [full_name(other) for other in self._held.get(key, ())]

    def in_start_order(self, keys: Iterable[Key]) -> list[Key]:
        """Each behind those that it needs, else in the order given."""
        given = list(keys)
        graph = self.graph
        if graph.is_empty:
            return given
        known = {key: graph.processes[key] for key in given if key in graph.processes}
        ordered = start_order(Graph({**known, **graph.processes}, graph.targets))
        return [key for key in ordered if key in known] + [key for key in given if key not in known]

    def _wake(self) -> None:
        self._wakeup.set()

    def _start(self, need: Dependency, wait: Wait) -> None:
        """Start what is down of a dependency, as far as the start may do that."""
        for process, condition in self._edges.members(need):
            # One that is on its way down is looked at again when it has ended.
            if process.key in wait.seen or process.stopping or process.pending_restarts:
                continue
            wait.seen.add(process.key)
            if may_start(wait.starts, process.record, condition) and not process.removed:
                dependent = self._edges.processes[wait.key]
                who = f"needed by {dependent.full_name}"
                cause = Cause(CauseKind.DEPENDENCY, who, dependent.record.entry)
                process.begin(cause, wait.starts)

    def _holds_up(self, need: Dependency) -> bool:
        """Whether a process with this need has to wait."""
        prospect = self._edges.prospect(need)
        return prospect is Prospect.COMING or (prospect is Prospect.HOPELESS and not need.soft)

    def _note_outages(self) -> None:
        """Let the dependents of processes that have left RUNNING be stopped."""
        left, self._edges.left = self._edges.left, []
        for key in left if self._accepting() else ():
            process = self._edges.processes.get(key)
            record = None if process is None else process.record
            if record is None or record.transition is None:
                continue
            if record.transition.cause.kind not in _NO_OUTAGE:
                who = f"{full_name(key)} has stopped"
                cause = Cause(CauseKind.DEPENDENCY, who, record.entry)
                self._to_stop += [(d, cause) for d in self._edges.acting.get(key, ())]

    def _stop_dependents(self) -> None:
        while self._to_stop:
            key, cause = self._to_stop.popleft()
            process = self._edges.processes.get(key)
            if process is None or process.stopping or not self._is_up(key):
                continue
            restarts = process.config.dependencies.on_stop is OnDependencyStop.RESTART
            if restarts and process.state is State.BACKOFF:
                continue  # its next try waits
            if restarts:
                process.pending_restarts += 1
                self._restarting[key] = process, process.stops, cause
            with contextlib.suppress(RequestError):  # UNKNOWN now, as the log says
                process.request_stop(to_restart=restarts, cause=cause)

    def _start_again(self) -> None:
        """Start dependents that have been stopped for an outage; they wait for its end."""
        for key, (process, stops, cause) in list(self._restarting.items()):
            if process.state not in STOPPED_STATES:
                continue
            del self._restarting[key]
            process.pending_restarts -= 1
            is_wanted = process.stops == stops and self._accepting() and not process.removed
            if is_wanted and process.state is not State.UNKNOWN:
                process.begin(cause, Starts.NONE)
            else:
                process.waiters.wake()

    def _release(self) -> None:
        """Carry out the stops for which nobody has to end any more."""
        for key, first in list(self._held.items()):
            first -= {dependent for dependent in first if self._has_ended(dependent)}
            if not first:
                del self._held[key]
                process = self._edges.processes.get(key)
                if process is not None and process.stopping:
                    with contextlib.suppress(RequestError):  # UNKNOWN now, as the log says
                        process.driver.stop()

    def _has_ended(self, key: Key) -> bool:
        """Whether a dependent has no child, and none is being made."""
        process = self._edges.processes.get(key)
        if process is None or process.state in STOPPED_STATES or process.state is State.BACKOFF:
            return True
        wait = process.attempt.wait
        return process.state is State.STARTING and wait is not None and not wait.over

    def _is_up(self, key: Key) -> bool:
        """Whether a dependent has a child, or tries to get one again and again."""
        is_retried = self._edges.processes[key].state is State.BACKOFF
        return is_retried or not self._has_ended(key)

    def _waits_for(self, key: Key, other: Key) -> bool:
        """Whether the held stop of a process waits for another one: only in a cycle."""
        pending, seen = [key], {key}
        while pending:
            for following in self._held.get(pending.pop(), ()):
                if following == other:
                    return True
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
        return False
