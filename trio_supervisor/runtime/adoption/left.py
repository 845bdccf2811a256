"""What a daemon that was killed has left: its state, descriptors and programs, as one value.

What the keeper holds says which child a process has. Where it holds too little (the daemon was
killed between a fork and the note about it, or the keeper was killed too), the child is found by
the mark in its environment, and its pipes are opened anew at their other end, in ``/proc/PID/fd``,
where these are still pipes.
"""

from __future__ import annotations

import json
import math
import os
import select
import stat
import time
from dataclasses import field, replace
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.adoption import FirstStep, adopted
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.handover.codec import NotUnderstood
from trio_supervisor.core.handover.lines import WrittenState, read_lines
from trio_supervisor.core.handover.state import (
    HandedChild,
    HandedGroup,
    HandedProcess,
    HandedSocket,
)
from trio_supervisor.core.process.member import Adoption, Member
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.adoption.recorder import STATE, child_key
from trio_supervisor.runtime.adoption.state_file import content_of
from trio_supervisor.runtime.spawn.foreign_process import ForeignProcess
from trio_supervisor.runtime.spawn.members import PROC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.model import Config, ProcessConfig
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.adoption.keeper import Held
    from trio_supervisor.runtime.spawn.owned import Owned


@dataclass(slots=True)
class KeptChild:
    """What the keeper has had of a child."""

    member: Member | None
    """None: it was being made."""
    ends: dict[str, int]
    """Descriptors by their role."""


@dataclass(slots=True)
class Left:
    """All that a daemon has left."""

    written: WrittenState = WrittenState()
    children: dict[Key, KeptChild] = field(default_factory=dict)
    sockets: dict[str, dict[str, int]] = field(default_factory=dict)
    """FastCGI sockets: descriptors by group and URL."""
    servers: dict[str, tuple[str, tuple[int, int] | None, int]] = field(default_factory=dict)
    """Listening sockets: ``repr`` of the address, file and descriptor, by section of the server."""
    ended: dict[str, float] = field(default_factory=dict)
    """When programs have ended while no daemon ran, by what the keeper has them under."""
    problems: list[str] = field(default_factory=list)
    """What could not be taken over, and why."""
    steps: dict[Key, FirstStep] = field(default_factory=dict)
    """What has to be recorded of the processes first."""
    daemon: Member | None = None
    """The one that was killed; None: there is no sign of one."""

    def groups(
        self, config: Config, found: Mapping[Key, Owned], cause: Cause
    ) -> tuple[HandedGroup, ...]:
        """Return the groups as they are gone on with, in the configuration that was written.

        ``found`` are the processes that have the marks of earlier daemons, ``cause`` is that of
        what is begun here.
        """
        groups = []
        known = self.written.groups or {group.name: HandedGroup(group) for group in config.groups}
        for handed in known.values():
            processes = []
            for process in handed.config.processes:
                key = handed.config.name, process.name
                owned = found.get(key)
                processes.append(self._process(key, process, owned, cause))
            sockets = self.sockets.pop(handed.config.name, {})
            groups.append(replace(handed, processes=tuple(processes), sockets=sockets))
        return tuple(groups)

    def close(self) -> None:
        """Close what nobody has taken over."""
        left = [fd for child in self.children.values() for fd in child.ends.values()]
        left += [fd for sockets in self.sockets.values() for fd in sockets.values()]
        left += [fd for _, _, fd in self.servers.values()]
        for fd in left:
            os.close(fd)
        self.children, self.sockets, self.servers = {}, {}, {}

    def _process(
        self,
        key: Key,
        config: ProcessConfig,
        owned: Owned | None,
        cause: Cause,
    ) -> HandedProcess:
        written = self.written.processes.get(key)
        kept = self.children.get(key)
        record = None if written is None else written.record
        found = [] if owned is None else owned.mains(config.stopping.kill_mode)
        member, was_forking = (None, False) if kept is None else (kept.member, kept.member is None)
        decided = adopted(record, member, found, cause, was_forking=was_forking)
        self.steps[key] = decided.step
        handed = HandedProcess(config.name, decided.record)
        if written is not None:
            handed = replace(written, record=decided.record, child=None)
        member = decided.child
        if member is None:
            return handed
        marked = None if owned is None else owned.daemons.get(member)
        owner = marked or self.written.daemon
        self.daemon = self.daemon or owner
        is_begun = record is not None and record.state is State.STARTING
        if decided.step in (FirstStep.FOUND, FirstStep.SPAWNED) and not is_begun:
            _begin(decided.record, member)
        ends: dict[str, int] = {}
        if kept is not None and kept.member in (member, None):
            del self.children[key]
            ends = kept.ends
        else:
            self._reopen(key, member, config, ends)
        earlier = decided.record.adoption
        if earlier is None or earlier.started != member.started:
            earlier = Adoption(member.started, owner)
        gone_at = self._gone_at(key, member, ends.get("pidfd"))
        decided.record.adoption = replace(earlier, gone_at=gone_at)
        return replace(handed, child=_child(member, ends, written))

    def _gone_at(self, key: Key, member: Member, pidfd: int | None) -> float:
        """Return when a program has ended, or now, if nobody saw when; infinite: it lives."""
        if pidfd is None or not ForeignProcess(member, pidfd).has_ended():
            return math.inf
        return self.ended.get(child_key(key), trio.current_time())

    def _reopen(
        self, key: Key, member: Member, config: ProcessConfig, ends: dict[str, int]
    ) -> None:
        for role, (number, flags, is_orphaned) in _ENDS.items():
            if role == "stderr" and config.redirect_stderr:
                continue
            path = f"{PROC}/{member.pid}/fd/{number}"
            try:
                if stat.S_ISFIFO(os.stat(path).st_mode) and is_orphaned(path):
                    ends[role] = _opened(path, flags)
            except FileNotFoundError:  # it has closed this
                continue
            except OSError as error:
                name = ":".join(key)
                self.problems.append(
                    f"{role} of {name} (pid {member.pid}) cannot be opened: {error.strerror}"
                )


def left_of(taken: Mapping[str, Held]) -> Left:
    """Sort what a keeper has had, perhaps from a daemon of another version."""
    left = Left()
    for key, held in taken.items():
        try:
            if not _sorted_into(left, key, held):
                held.close()
        except Exception as error:  # it may also be a mistake of ours: go on with what is of use
            name, why = key.replace("\0", " "), f"{held.note!r} ({error!r})"
            left.problems.append(f"what the keeper has for the {name} is of no use: {why}")
            held.close()
    if left.written.daemon.pid:
        left.daemon = left.written.daemon
    return left


def _sorted_into(left: Left, key: str, held: Held) -> bool:
    """Put one thing of the keeper where it belongs; return whether its descriptors are used.

    Raises ValueError, TypeError or LookupError if it is not what it should be.
    """
    kind, _, rest = key.partition("\0")
    group, _, name = rest.partition("\0")
    if kind == STATE:
        try:
            content = content_of(held.descriptors[0])
            left.written = read_lines(content, trio.current_time(), time.monotonic())
        except (NotUnderstood, OSError) as error:
            left.problems.append(f"the state of the earlier daemon is of no use: {error}")
    elif kind == "child":
        left.children[group, name] = _kept(held)
        return True
    elif kind == "socket":
        left.sockets.setdefault(group, {})[name] = held.descriptors[0]
        return True
    elif kind == "server":
        left.servers[rest] = *_read_server_note(held.note), held.descriptors[0]
        return True
    elif kind == "ended":
        left.ended[rest] = trio.current_time() - (time.monotonic() - float(held.note))
    return False


def server_note(address: object, file: tuple[int, int] | None) -> str:
    """Return the note about a listening socket: its address and its file."""
    return json.dumps([repr(address), file])


def _read_server_note(note: str) -> tuple[str, tuple[int, int] | None]:
    """Return the ``repr`` of the address, and the file. Raises what ``_sorted_into`` does."""
    address, file = json.loads(note)
    return address, None if file is None else (file[0], file[1])


def _kept(held: Held) -> KeptChild:
    words = held.note.split()
    if not words or not words[0].isdecimal():
        return KeptChild(None, dict(zip(words, held.descriptors, strict=True)))
    pid, started, *roles = words
    ends = dict(zip(roles, held.descriptors, strict=True))
    return KeptChild(Member(int(pid), int(started)), ends)


def _opened(path: str, flags: int) -> int:
    """Open an end of a pipe. Raises OSError."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _has_no_reader(path: str) -> bool:
    """Whether nobody can read from a pipe: it is that of a daemon which has ended. Raises OSError.

    A program may have put a pipe of its own in place of ours, to another process.
    """
    return _is_broken(_opened(path, os.O_WRONLY))


def _has_no_writer(path: str) -> bool:
    """The same of a pipe to which nobody can write. Raises OSError."""
    return _is_broken(_opened(path, os.O_RDONLY))


def _is_broken(fd: int) -> bool:
    """Whether nobody has the other end of a pipe; closes this one."""
    try:
        poll = select.poll()
        poll.register(fd, 0)
        return bool(poll.poll(0))  # POLLERR or POLLHUP
    finally:
        os.close(fd)


#: The number that a program has its end of each pipe under, how ours is opened anew, and whether
#: that is to be done.
_ENDS = {
    "stdin": (0, os.O_WRONLY, _has_no_writer),
    "stdout": (1, os.O_RDONLY, _has_no_reader),
    "stderr": (2, os.O_RDONLY, _has_no_reader),
}


def _child(member: Member, ends: Mapping[str, int], written: HandedProcess | None) -> HandedChild:
    """Return a child with the descriptors that it has here."""
    before = None if written is None else written.child
    if before is None or before.pid != member.pid:
        before = HandedChild(member.pid)
    notify = None
    if before.notify is not None and "notify" in ends:
        notify = HandedSocket(ends["notify"], before.notify.path)
    return replace(
        before,
        stdin=ends.get("stdin"),
        stdout=ends.get("stdout"),
        stderr=ends.get("stderr"),
        ready=ends.get("ready"),
        notify=notify,
        pidfd=ends.get("pidfd"),
    )


def _begin(record: ProcessRecord, member: Member) -> None:
    """Give the record of a process whose start was not written the age of its child."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - member.started / os.sysconf("SC_CLK_TCK")
    record.started = time.time() - age
    record.began_at = trio.current_time() - age
