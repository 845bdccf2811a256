"""Finds what belongs to a program, for ``kill_mode = tree``.

Theory of operation
-------------------
A program can hide its processes: it forks twice, so that their parent is another one, and begins a
session, so that no signal to a group reaches them. What it cannot shed by that is the environment
with which it was executed. So each child of such a program has a variable that names this daemon
and the process; whatever has it is a member, as are the descendants of the child
and all of its session. One that also executes another program with an environment without the
variable is found as a descendant or not at all.

Nothing is looked for while the program runs. Only when its main process has ended, or must be
killed, one pass over ``/proc`` finds the members; ``sweep.py`` ends them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn.members import PROC, all_processes, read_file, this_process

if TYPE_CHECKING:
    from trio_supervisor.core.process.member import Adoption
    from trio_supervisor.runtime.spawn.members import ProcessStat

#: The variable that members have.
VARIABLE = "TSUPERVISOR_TREE"


def mark(full_name: str, daemon: Member | None = None) -> dict[str, str]:
    """Return the variable of the children of a process; ``daemon``: None means this one."""
    daemon = daemon or this_process()
    return {VARIABLE: f"{daemon.pid}.{daemon.started}:{full_name}"}


class ProcessTree:
    """All processes of a program whose main process has, or had, this pid."""

    reaches_all = False

    def __init__(self, full_name: str, main: int, adoption: Adoption | None = None) -> None:
        """``adoption``: None means that this daemon has started the main process."""
        daemon = None if adoption is None else adoption.daemon
        self._main = main
        self._adoption = adoption
        self._value = os.fsencode(f"{VARIABLE}={mark(full_name, daemon)[VARIABLE]}")

    def members(self, *, main_lives: bool) -> list[Member]:
        """Look for them in one pass over ``/proc``."""
        table = all_processes()
        # While the session lives no other process gets its number; then one may, and be a leader.
        has_its_pid = table.get(self._main)
        is_main = main_lives
        if self._adoption is not None and has_its_pid is not None:  # reaped or not, by another one
            is_main = has_its_pid.started == self._adoption.started
        session = self._main if is_main or has_its_pid is None else None
        found = {pid for pid, stat in table.items() if self._is_member(pid, stat, session)}
        while more := {p for p, stat in table.items() if stat.parent in found and p not in found}:
            found |= more
        return [Member(p, table[p].started) for p in sorted(found) if not table[p].has_ended]

    def kill_all(self) -> None:
        """Nothing to do: there is no way to kill all of them at once."""

    def _is_member(self, pid: int, stat: ProcessStat, session: int | None) -> bool:
        if stat.session == session:
            return True
        with suppress(OSError):
            return self._value in read_file(f"{PROC}/{pid}/environ").split(b"\0")
        return False  # it has just ended, or belongs to somebody whom we may not look at
