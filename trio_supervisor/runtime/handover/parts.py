"""The parts of the state of a supervisor: how each is read from it, and given to another one.

Theory of operation
-------------------
``PARTS`` lists what a supervisor has beside its configuration. ``state_of`` reads all parts; it
changes nothing, so it can look at a supervisor that runs (to let the next program check whether it
understands the state) as well as at one whose tasks have ended. ``take_over`` makes a supervisor
that goes on: its children, pipes, listeners, timers and numbers are those of the state.

A part that is missing from the state has the value of a new supervisor, so a part of a state can be
taken over too. For example, a daemon that finds the children of one that has crashed makes a state
of what it knows: the groups of its configuration, for each living child a ``HandedProcess`` with a
record and a ``HandedChild`` (pid and those pipes that it has; None where there are none), and
nothing else.

What else belongs to a daemon, its servers and its place in the system, is in ``web/handover.py``
and ``cli/upgrade``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.events import Serials
from trio_supervisor.core.handover.state import (
    DueRestart,
    HandedCoordination,
    HandedEvents,
    HandedGroup,
    HandedHistoryEntry,
    HandedJournal,
    HandedLog,
    HandedProcess,
    HandedState,
    HandedSupervisor,
    HeldStop,
)
from trio_supervisor.core.plan import start_order
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.events.history import HistoryEntry
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.handover.output import (
    child_of,
    outputs_of,
    remember,
    take_over_child,
)
from trio_supervisor.runtime.handover.pools import pool_of, take_over_pool
from trio_supervisor.runtime.process.state_machine import StartAttempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.child import ChildRegistry
    from trio_supervisor.runtime.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class StatePart:
    """One part of the state: a field of ``HandedState``."""

    name: str
    read: Callable[[Supervisor], Any]
    """Returns the part of a supervisor."""
    give: Callable[[Supervisor, Any, ChildRegistry], None]
    """Gives it to a new supervisor, which does not run yet."""


def state_of(supervisor: Supervisor) -> HandedState:
    """Return the state of a supervisor, without that of its servers and of the daemon."""
    return HandedState(**{part.name: part.read(supervisor) for part in PARTS})


def take_over(
    supervisor: Supervisor,
    handed: HandedState,
    registry: ChildRegistry,
    arrival: Callable[[], object],
) -> None:
    """Give a state to a supervisor that was made without groups and does not run yet.

    ``registry`` is that of its launcher. ``arrival`` is called when the supervisor runs, in place
    of a boot: nothing is started that was not about to be.
    """
    for part in PARTS:
        value = getattr(handed, part.name)
        if value is not None:
            part.give(supervisor, value, registry)
    supervisor.arrival = arrival


def let_go_of_sockets(supervisor: Supervisor) -> None:
    """Leave the sockets open that the state names, whatever becomes of the objects here."""
    for group in supervisor.groups.values():
        for shared in group.sockets.values():
            shared.detach()
    for process in supervisor.processes():
        if process.driver._monitor is not None:
            process.driver._monitor.detach()


# the supervisor as a whole


def supervisor_of(supervisor: Supervisor) -> HandedSupervisor:
    """Return the supervisor as a whole."""
    active, directory = supervisor.active, supervisor._host._notify_directory
    return HandedSupervisor(
        config=replace(supervisor.config, groups=active.candidates),
        own=tuple(active._own.values()),
        replaced=tuple(active._replaced.values()),
        told=tuple(supervisor._logged_messages),
        started=supervisor.started,
        began_at=supervisor._began_at or 0.0,
        notify_directory=None if directory is None else directory.path,
    )


def _give_supervisor(
    supervisor: Supervisor, handed: HandedSupervisor, registry: ChildRegistry
) -> None:
    active = supervisor.active
    supervisor.config = handed.config
    active.candidates = handed.config.groups
    active.autostarted.set()
    active._own = {group.name: group for group in handed.own}
    active._replaced = {group.name: group for group in handed.replaced}
    supervisor._logged_messages = frozenset(handed.told)
    supervisor.started = handed.started or supervisor.started
    supervisor._began_at = handed.began_at or None
    if handed.notify_directory is not None:
        supervisor._host.notify_directory(handed.notify_directory)


# groups


def _groups(supervisor: Supervisor) -> tuple[HandedGroup, ...]:
    return tuple(map(_group, supervisor.groups.values()))


def _group(group: Group) -> HandedGroup:
    sockets = {url: socket.descriptor for url, socket in group.sockets.items()}
    logs = [HandedLog(*key, path) for key, path in group.auto_logs.items()]
    return HandedGroup(
        group.config,
        processes=tuple(map(_process, group.processes.values())),
        pool=None if group.pool is None else pool_of(group.pool),
        sockets={url: fd for url, fd in sockets.items() if fd is not None},
        logs=tuple(logs),
    )


def _process(process: Process) -> HandedProcess:
    stdout, stderr = outputs_of(process)
    wait = process.attempt.wait
    return HandedProcess(
        process.name,
        replace(process.record),
        child=child_of(process),
        stdout=stdout,
        stderr=stderr,
        stops=process.stops,
        wait=None if wait is None else replace(wait, seen=set(wait.seen)),
    )


def _give_groups(
    supervisor: Supervisor, handed: tuple[HandedGroup, ...], registry: ChildRegistry
) -> None:
    active = supervisor.active
    active.by_name = {}
    for each in handed:
        group = Group(each.config, supervisor._host, each)
        active.by_name[group.name] = group
        active.dependencies.groups_changed(each.config)
        if group.pool is not None and each.pool is not None:
            take_over_pool(group.pool, each.pool)
        for process in each.processes:
            if process.name in group.processes:
                _give_process(group.processes[process.name], process, registry)
    active.by_name = {group.name: group for group in start_order(active.by_name.values())}


def _give_process(process: Process, handed: HandedProcess, registry: ChildRegistry) -> None:
    attempt = process._states.attempt = StartAttempt(handed.wait)
    attempt.spawned = handed.child is not None
    attempt.outcome = None if process.state is State.STARTING else process.state
    process.stops = handed.stops
    remember(process.stdout, handed.stdout)
    remember(process.stderr, handed.stderr)
    if handed.child is not None:
        take_over_child(process, handed.child, (handed.stdout, handed.stderr), registry)


# dependencies


def _coordination(supervisor: Supervisor) -> HandedCoordination | None:
    made = supervisor.active.dependencies._made
    if made is None:
        return None
    restarts = [
        DueRestart(key, stops, cause) for key, (_, stops, cause) in made._restarting.items()
    ]
    return HandedCoordination(
        held=tuple(HeldStop(key, tuple(first)) for key, first in made._held.items()),
        restarts=tuple(restarts),
    )


def _give_coordination(
    supervisor: Supervisor, handed: HandedCoordination, registry: ChildRegistry
) -> None:
    made = supervisor.active.dependencies._made
    if made is None:
        return
    processes = {process.key: process for process in supervisor.processes()}
    made._held = {held.process: set(held.first) for held in handed.held}
    for due in handed.restarts:
        process = processes[due.process]
        process.pending_restarts += 1
        made._restarting[due.process] = process, due.stops, due.cause
    made._wake()


# events


def _events(supervisor: Supervisor) -> HandedEvents:
    history = supervisor.event_history
    return HandedEvents(
        serial=supervisor._host.bus._serials.following,
        id=history._id,
        number=history.number,
        entries=tuple(HandedHistoryEntry(e.number, e.time, e.event) for e in history._entries),
    )


def _give_events(supervisor: Supervisor, handed: HandedEvents, registry: ChildRegistry) -> None:
    history = supervisor.event_history
    supervisor._host.bus._serials = Serials(handed.serial)
    history._id = handed.id or history._id
    history.number = handed.number
    history._entries = deque(
        (HistoryEntry(e.number, e.time, e.event) for e in handed.entries), history._entries.maxlen
    )


# the journal


def _journal(supervisor: Supervisor) -> HandedJournal:
    journal = supervisor.journal
    return HandedJournal(
        number=journal.number,
        entries=tuple(map(replace, journal.memory.all())),
        removed=tuple(journal.memory._removed),
        secrets=dict(journal._secrets_of_files),
    )


def _give_journal(supervisor: Supervisor, handed: HandedJournal, registry: ChildRegistry) -> None:
    journal = supervisor.journal
    journal.number = max(journal.number, handed.number)
    for entry in handed.entries:
        journal.memory._of.setdefault(entry.process, []).append(entry)
    journal.memory._removed = dict.fromkeys(handed.removed)
    journal._secrets_of_files = dict(handed.secrets)


#: All parts, in the order in which they are given to a supervisor.
PARTS = (
    StatePart("supervisor", supervisor_of, _give_supervisor),
    StatePart("events", _events, _give_events),
    StatePart("journal", _journal, _give_journal),
    StatePart("groups", _groups, _give_groups),
    StatePart("coordination", _coordination, _give_coordination),
)
