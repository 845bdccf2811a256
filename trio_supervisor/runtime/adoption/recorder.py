"""Keeps for the next daemon what it needs to go on with the programs of this one.

Theory of operation
-------------------
The state is written to a file in memory (``state_file.py``), and the keeper holds that file and the
descriptors (``keeper.py``). What has changed is noted at once and written by one task, which runs
as soon as all that is due in the event loop has had its turn: so a transition waits for nothing,
and the many changes of one moment are one line for each process.

A daemon that is killed in between leaves a state that is older by as much, and nothing is lost by
that. The pipes of a child are put before its fork. A child that was made and not written has its
mark in the environment. One that has ended and is not written has its pidfd, which tells the
status again.

What a process is kept under, and its note: ``child``, group and name; the pid, the start time and
the role of each descriptor, or only the roles while the child is being made.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Config, Severity
from trio_supervisor.core.events import ProcessGroup, ProcessState
from trio_supervisor.core.handover.codec import NotPlain
from trio_supervisor.core.handover.lines import SUPERVISOR
from trio_supervisor.core.handover.state import HandedGroup, HandedLog, HandedProcess
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.adoption.keeper import KeeperFailed, start
from trio_supervisor.runtime.adoption.state_file import StateFile
from trio_supervisor.runtime.handover.output import child_of
from trio_supervisor.runtime.handover.parts import supervisor_of
from trio_supervisor.runtime.spawn.adopted_child import AdoptedChild
from trio_supervisor.runtime.spawn.child import RealChild
from trio_supervisor.runtime.spawn.members import read_stat
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_supervisor.core.events import Event
    from trio_supervisor.core.handover.state import HandedChild
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.adoption.keeper import Keeper
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.supervisor import Supervisor

#: Under which the keeper holds the file with the state.
STATE = "state"
#: Seconds until the next attempt to start a keeper, or to give what was refused.
RETRY_PAUSE = 5.0

#: What is put under one key: a note, and descriptors.
Entry = tuple[str, tuple[int, ...]]


class StateRecorder:
    """Writes the state of a supervisor, and gives the keeper what belongs to it."""

    def __init__(self, supervisor: Supervisor, keeper: Keeper, fixed: Mapping[str, Entry]) -> None:
        """``fixed`` is what the keeper holds beside the programs. Raises OSError."""
        self._supervisor = supervisor
        self._log = supervisor.log
        self.keeper = keeper
        self._fixed = fixed
        self._file = StateFile()
        self._configs: dict[str, object] = {}
        """The configurations of groups that were written, by their names."""
        self._handed: object = None
        """What was written of the supervisor as a whole."""
        self._given: dict[str, Entry] = {}
        self._members: dict[Key, tuple[int, int]] = {}
        """Pid and start time of the children."""
        self._changed: set[Key] = set()
        self._wake = trio.Event()
        self._has_missed = trio.Event()
        """Set when the keeper was not given something, because it had no room."""
        self._has_failed = False
        supervisor._host.keeping = self
        supervisor._host.bus.observe(self._see)

    def before_fork(self, key: Key, ends: Mapping[str, int]) -> None:
        """Have the keeper hold the ends of pipes; in a worker thread."""
        self.keeper.put_before_fork(child_key(key), " ".join(ends), [*ends.values()])

    def changed(self, key: Key) -> None:
        """Write soon what a process is like."""
        self._changed.add(key)
        self._wake.set()

    async def run(self) -> None:
        """Write what changes, and start another keeper when one has ended, until cancelled."""
        pause = 0.0
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give)
                nursery.start_soon(self._write_changes)
                await self.keeper.gone()
                nursery.cancel_scope.cancel()
            await trio.sleep(pause)  # one that cannot live is not started again and again
            pause = RETRY_PAUSE
            self._log(Severity.WARN, "the keeper of survive = adopt has ended; another is started")
            self.keeper.become(await self._another())

    def close(self) -> None:
        """Keep nothing any more."""
        self._supervisor._host.keeping = None
        self._file.close()

    async def _another(self) -> Keeper:
        while True:
            try:
                return await in_thread_if_possible(start, self.keeper.pidfile)
            except KeeperFailed as error:
                self._tell(f"no keeper can be started: {error}")
            await trio.sleep(RETRY_PAUSE)

    async def _write_changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            changed, self._changed = self._changed, set()
            try:
                self._write(changed)
            except OSError as error:
                self._tell(f"the state cannot be written: {error.strerror}")
            if self.keeper.is_behind:
                self._has_missed.set()

    async def _give(self) -> None:
        """Give everything now, and whenever the keeper has missed something.

        Writing does not wait for that: the keeper has the file of the state.
        """
        while True:
            self._has_missed = trio.Event()
            try:
                await self._give_all()
            except KeeperFailed as error:
                self._tell(f"nothing can be given to the keeper: {error}")
                await trio.sleep(RETRY_PAUSE)
            else:
                await self._has_missed.wait()

    def _see(self, event: Event) -> None:
        if isinstance(event, ProcessState):
            self.changed((event.group, event.process))
        elif isinstance(event, ProcessGroup):
            self._wake.set()

    async def _give_all(self) -> None:
        """Have the keeper hold all that there is now, and nothing else."""
        await self.keeper.until_sent(self.keeper.begin)
        self._given = {}
        self._write({process.key for process in self._supervisor.processes()}, give=False)
        present: dict[str, Callable[[], Entry | None]] = {
            **{key: partial(self._fixed.get, key) for key in self._fixed},
            STATE: lambda: ("", (self._file.descriptor,)),
        }
        for group in self._supervisor.groups.values():
            present |= {key: partial(_socket_of, group, key) for key in _sockets_of(group)}
        for key, look in present.items():
            await self.keeper.until_sent(partial(self._put_present, key, look))
        for process in self._supervisor.processes():
            key = child_key(process.key)
            await self.keeper.until_sent(
                partial(self._put_present, key, partial(self._entry_of, process))
            )
            if process.state is State.STARTING:  # its pipes may be held, and are not known here
                await self.keeper.until_sent(partial(self.keeper.stay, key))
        await self.keeper.until_sent(self.keeper.commit)

    def _put_present(self, key: str, look: Callable[[], Entry | None]) -> None:
        """Put what there is at this moment: descriptors may have been closed meanwhile."""
        if (entry := look()) is not None:
            self._put(key, entry)

    def _write(self, changed: Iterable[Key], *, give: bool = True) -> None:
        """Write processes that have changed, and what else has. Raises OSError."""
        supervisor = self._supervisor
        for name in self._configs.keys() - supervisor.groups.keys():
            self._forget(name, self._configs.pop(name))
        for name, group in supervisor.groups.items():
            if self._configs.get(name) is not group.config:
                self._write_part(("group", name), _written(group))
                self._configs[name] = group.config
            if give:
                self._hold_sockets(group)
        whole = replace(supervisor_of(supervisor), config=Config())
        if whole != self._handed:
            self._write_part(SUPERVISOR, whole)
            self._handed = whole
        for key in changed:
            group_or_none = supervisor.groups.get(key[0])
            process = None if group_or_none is None else group_or_none.processes.get(key[1])
            if process is None:
                self._file.remove(("process", *key))
            else:
                self._write_part(("process", *key), _written_process(process))
            if give:
                self._hold(key, process)
        if give and self._file.has_grown and not self.keeper.is_behind:
            self._file.renew(self._hold_state)

    def _write_part(self, part: tuple[str, ...], value: object) -> None:
        try:
            self._file.write(part, value)
        except NotPlain as error:
            self._tell(f"{':'.join(part[1:])} cannot be kept: {error}")

    def _forget(self, name: str, config: object) -> None:
        self._file.remove(("group", name))
        for key in [key for key in self._given if key.split("\0")[1:2] == [name]]:
            if not key.startswith("server\0"):
                self._drop(key)
        for part in self._file.parts("process", name):
            self._file.remove(part)

    def _hold(self, key: Key, process: Process | None) -> None:
        """Have the keeper hold what the child of a process has."""
        kept = child_key(key)
        entry = None if process is None else self._entry_of(process)
        if entry is not None:
            if self._given.get(kept) != entry:
                self._put(kept, entry)
        elif process is None or process.state is not State.STARTING:
            # While one is being made, its pipes are held and not known here.
            self._drop(kept)

    def _hold_state(self, descriptor: int) -> bool:
        self._put(STATE, ("", (descriptor,)))
        return not self.keeper.is_behind

    def _hold_sockets(self, group: Group) -> None:
        present = _sockets_of(group)
        for key, entry in present.items():
            if self._given.get(key) != entry:
                self._put(key, entry)
        prefix = socket_key(group.name, "")
        for key in [k for k in self._given if k.startswith(prefix) and k not in present]:
            self._drop(key)

    def _entry_of(self, process: Process) -> Entry | None:
        child, handed = process.driver.child, child_of(process)
        if child is None or handed is None or not handed.pid:
            self._members.pop(process.key, None)
            return None
        if process.driver.has_inherited:  # its pipes are not attached before its logs are open
            handed = replace(handed, stdout=child.stdout, stderr=child.stderr)
        pid, started = self._members.get(process.key, (0, 0))
        if pid != handed.pid:
            stat = read_stat(handed.pid)
            started = 0 if stat is None else stat.started
            self._members[process.key] = handed.pid, started
        ends = _descriptors(handed, child)
        return f"{handed.pid} {started} {' '.join(ends)}", (*ends.values(),)

    def _put(self, key: str, entry: Entry) -> None:
        self._given[key] = entry
        self.keeper.put(key, *entry)

    def _drop(self, key: str) -> None:
        self._given.pop(key, None)
        self.keeper.drop(key)

    def _tell(self, why: str) -> None:
        """Log once that a program might not be adopted."""
        if not self._has_failed:
            self._has_failed = True
            text = f"survive = adopt does not work as it should: {why}"
            self._log(Severity.CRITICAL, text)


def child_key(key: Key) -> str:
    """Return under what the keeper holds what the child of a process has."""
    return "\0".join(("child", *key))


def socket_key(group: str, url: str) -> str:
    """Return under what the keeper holds a FastCGI socket."""
    return f"socket\0{group}\0{url}"


def _sockets_of(group: Group) -> dict[str, Entry]:
    return {
        socket_key(group.name, url): ("", (socket.descriptor,))
        for url, socket in group.sockets.items()
        if socket.descriptor is not None
    }


def _socket_of(group: Group, key: str) -> Entry | None:
    return _sockets_of(group).get(key)


def _descriptors(handed: HandedChild, child: Child) -> dict[str, int]:
    """Return what belongs to a child, by its role."""
    pidfd = None
    if isinstance(child, AdoptedChild):
        pidfd = child.pidfd
    elif isinstance(child, RealChild):
        pidfd = child._pidfd
    ends = {
        "stdin": handed.stdin,
        "stdout": handed.stdout,
        "stderr": handed.stderr,
        "ready": handed.ready,
        "notify": None if handed.notify is None else handed.notify.descriptor,
        "pidfd": pidfd,
    }
    return {role: fd for role, fd in ends.items() if fd is not None}


def _written(group: Group) -> HandedGroup:
    """Return a group as it is written: its processes and sockets are parts of their own."""
    logs = [HandedLog(*key, path) for key, path in group.auto_logs.items()]
    return HandedGroup(group.config, logs=tuple(logs))


def _written_process(process: Process) -> HandedProcess:
    """Return a process as it is written: without its output and what waits for its stdin."""
    child, wait = child_of(process), process.attempt.wait
    return HandedProcess(
        process.name,
        replace(process.record),
        child=None if child is None else replace(child, pending=b""),
        stops=process.stops,
        wait=None if wait is None else replace(wait, seen=set(wait.seen)),
    )
