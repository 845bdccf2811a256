"""Finds the processes that an earlier daemon has left, for ``survive``.

Theory of operation
-------------------
Each child has a variable in its environment that names this daemon (pid and start time), the
process and the configuration (see ``core/leftovers.py``). A process is a leftover if its variable
names this configuration and a daemon that has ended. So nothing of a daemon that lives is ever
taken for one, whatever addresses and files the two share. Its start time is read before and after
its environment: pid and start time then identify the process that had this environment.

Not looked at are the processes of other pid namespaces, in which the pid of their daemon means
another process. If this daemon was started by such a program, that program is spared: its marked
processes have the mark that this daemon has inherited, and others are ancestors of the daemon.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.leftovers import owner_mark, owner_of
from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn.members import (
    PROC,
    all_processes,
    member_of,
    read_file,
    read_stat,
    this_process,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.spawn.members import ProcessStat

#: The variable that names the owner.
VARIABLE = "TSUPERVISOR_DAEMON"
_GROUP, _PROCESS = "SUPERVISOR_GROUP_NAME", "SUPERVISOR_PROCESS_NAME"


def mark(path: str, full_name: str) -> dict[str, str]:
    """Return the variable of the children of a process; ``path`` is the configuration."""
    return {VARIABLE: owner_mark(this_process(), path, full_name)}


@dataclass(frozen=True, slots=True)
class Owned:
    """The living processes of one program that have its mark."""

    processes: tuple[tuple[Member, ProcessStat], ...]
    daemons: Mapping[Member, Member]
    """The daemon that each belongs to."""

    @property
    def members(self) -> list[Member]:
        """All of them, the oldest first."""
        return [member for member, _ in self.processes]

    def mains(self, kill_mode: KillMode) -> list[Member]:
        """Return those that the daemon has started itself.

        They lead their process groups. With ``kill_mode = process`` one that leads a session too
        was started by a program to outlive it; with others the oldest is the main process.
        """
        leaders = [(member, stat) for member, stat in self.processes if stat.group == member.pid]
        if kill_mode is KillMode.PROCESS:
            return [member for member, stat in leaders if stat.session != member.pid]
        return [member for member, _ in leaders[:1]]


def find_owned(path: str) -> dict[Key, Owned]:
    """Return what earlier daemons of this configuration have left, in one pass over ``/proc``."""
    return _owned(all_processes(), path)


def hidden_beside(found: Iterable[Owned]) -> list[int]:
    """Return the pids of what may belong to the same daemons and may not be looked at.

    They lead their process groups in a session of those that were found, as children of a daemon
    do. A program without core dumps hides its environment from all but root.
    """
    members = {member.pid: stat for owned in found for member, stat in owned.processes}
    sessions = {stat.session for pid, stat in members.items() if stat.session != pid}
    table = all_processes()
    spared = _ancestors(table)
    return [
        pid
        for pid, stat in table.items()
        if stat.session in sessions
        and stat.group == pid != stat.session
        and not stat.has_ended
        and pid not in spared
        and _is_hidden(pid)
    ]


class OwnedTree:
    """Finds all processes of one program: those with its mark, and their descendants."""

    reaches_all = False

    def __init__(self, path: str, key: Key) -> None:
        self._path = path
        self._key = key

    def members(self, *, main_lives: bool) -> list[Member]:
        """Look for them in one pass over ``/proc``."""
        table = all_processes()
        owned = _owned(table, self._path).get(self._key)
        found = set() if owned is None else {member.pid for member in owned.members}
        spared = _ancestors(table)
        while more := {
            pid
            for pid, stat in table.items()
            if stat.parent in found and pid not in found and pid not in spared
        }:
            found |= more
        return [Member(p, table[p].started) for p in sorted(found) if not table[p].has_ended]

    def kill_all(self) -> None:
        """Nothing to do: there is no way to kill all of them at once."""


def _owned(table: Mapping[int, ProcessStat], path: str) -> dict[Key, Owned]:
    spared, inherited = _ancestors(table), os.environ.get(VARIABLE)
    here = _namespace(os.getpid())
    living: dict[Member, bool] = {}
    found: dict[Key, list[tuple[Member, ProcessStat]]] = {}
    daemons: dict[Key, dict[Member, Member]] = {}
    for pid, stat in table.items():
        if stat.has_ended or pid in spared:
            continue
        environment = _environment(pid)
        key = environment.get(_GROUP, ""), environment.get(_PROCESS, "")
        value = environment.get(VARIABLE, "")
        daemon = None if value == inherited else owner_of(value, path, key)
        member = Member(pid, stat.started)
        if daemon is None or _namespace(pid) != here or member_of(pid) != member:
            continue
        if daemon not in living:
            living[daemon] = member_of(daemon.pid) == daemon
        if not living[daemon]:
            found.setdefault(key, []).append((member, stat))
            daemons.setdefault(key, {})[member] = daemon
    return {
        key: Owned(
            tuple(sorted(processes, key=lambda one: (one[0].started, one[0].pid))), daemons[key]
        )
        for key, processes in found.items()
    }


def _ancestors(table: Mapping[int, ProcessStat]) -> set[int]:
    """Return the pids of the ancestors of this process."""
    ancestors: set[int] = set()
    stat = read_stat(os.getpid())
    while stat is not None and stat.parent not in ancestors:
        ancestors.add(stat.parent)
        stat = table.get(stat.parent)
    return ancestors


def _environment(pid: int) -> dict[str, str]:
    """Read the environment with which it was executed; empty if reading it is not allowed."""
    with suppress(OSError):
        data = read_file(f"{PROC}/{pid}/environ")
        if VARIABLE.encode() in data:  # most have none
            pairs = (word.partition("=") for word in os.fsdecode(data).split("\0"))
            return {name: value for name, _, value in pairs}
    return {}


def _is_hidden(pid: int) -> bool:
    """Whether reading its environment is not allowed."""
    try:
        os.close(os.open(f"{PROC}/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:  # it has just ended
        return False
    return False


def _namespace(pid: int) -> str | None:
    """Read its pid namespace; None means that reading it is not allowed."""
    with suppress(OSError):
        return os.readlink(f"{PROC}/{pid}/ns/pid")
    return None
