"""Looks at processes of the machine that are no children of the daemon, and signals them.

All of this reads ``/proc``, and blocks for that.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.member import Member

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = "/proc"
#: Positions in /proc/PID/stat after the command's name.
_STATE, _PPID, _GROUP, _SESSION, _STARTED, _STATUS = 0, 1, 2, 3, 19, 49
#: States of processes that have ended.
_ENDED = "ZX"
_READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What identifies a process, and its place among others."""

    state: str
    parent: int
    group: int
    session: int
    started: int
    status: int = 0
    """Of one that has ended, as ``wait4`` tells it; 0 also if that is not told to this user."""

    @property
    def has_ended(self) -> bool:
        """Whether it only waits to be reaped."""
        return self.state in _ENDED


def this_process() -> Member:
    """Return the identity of the daemon, which it keeps at an upgrade.

    Without ``/proc`` the start time is 0; no other process can be looked at then.
    """
    stat = read_stat(os.getpid())
    return Member(os.getpid(), 0 if stat is None else stat.started)


def all_processes() -> dict[int, ProcessStat]:
    """Look at all processes but this one, in one pass; none if ``/proc`` cannot be read now."""
    pids: list[int] = []
    with suppress(OSError):
        own = os.getpid()
        pids = [int(name) for name in os.listdir(PROC) if name.isdecimal() and int(name) != own]
    return {pid: stat for pid in pids if (stat := read_stat(pid)) is not None}


def members_of_group(group: int) -> list[Member]:
    """Return the living processes of a process group, in one pass."""
    return [
        Member(pid, stat.started)
        for pid, stat in all_processes().items()
        if stat.group == group and not stat.has_ended
    ]


def signal_member(member: Member, number: int, found: Callable[[], object] = lambda: None) -> None:
    """Signal a process, if it is still the same one. Raises OSError if that is refused.

    ``found`` is called just before.
    """
    try:
        pidfd = os.pidfd_open(member.pid)
    except OSError:  # it has just ended
        return
    try:
        if member_of(member.pid) == member:
            found()
            signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def member_of(pid: int) -> Member | None:
    """Return the living process of this pid; None means that there is none."""
    stat = read_stat(pid)
    return None if stat is None or stat.has_ended else Member(pid, stat.started)


def read_stat(pid: int) -> ProcessStat | None:
    """Read what identifies a process; None means that it has been reaped."""
    try:
        data = read_file(f"{PROC}/{pid}/stat")
    except OSError:
        return None
    fields = data.rpartition(b")")[2].split()
    if len(fields) <= _STARTED:
        return None
    found = (_PPID, _GROUP, _SESSION, _STARTED, _STATUS)
    numbers = (int(fields[position]) for position in found if position < len(fields))
    return ProcessStat(fields[_STATE].decode(), *numbers)


def read_file(path: str) -> bytes:
    """Read a file of ``/proc``. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_SIZE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
