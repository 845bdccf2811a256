"""Ends what a program has left behind, with ``kill_mode = tree``.

Theory of operation
-------------------
A program can hide its processes: it forks twice, so that their parent is another one, and begins a
session, so that no signal to a group reaches them. What it cannot shed by that is the environment
with which it was executed. So each child of such a program has a variable with a secret of this
daemon and the name of the process; whatever has it is a member, as are the descendants of the child
and all of its session. One that also executes another program with an environment without the
variable is found as a descendant or not at all.

Nothing is looked for while the program runs. After its main process has ended, one pass over
``/proc`` finds the members. Each is opened as a pidfd and then looked at once more: if it is
still the same process, which its start time tells, the signal goes to the pidfd and can reach no
other. Passes are repeated until two of them have found nobody.
"""

from __future__ import annotations

import math
import os
import secrets
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROC = "/proc"
#: The variable that members have, and the part of its value that only children of this daemon have.
VARIABLE = "TSUPERVISOR_TREE"
_SECRET = secrets.token_hex(16)
#: Seconds between two passes while members are left.
LOOK_INTERVAL = 0.05
#: Seconds that members have at least between TERM and KILL.
LEAST_PATIENCE = 1.0
#: Positions in /proc/PID/stat after the command's name.
_STATE, _PPID, _SESSION, _STARTED = 0, 1, 3, 19
_READ_SIZE = 65536


def mark(full_name: str) -> dict[str, str]:
    """Return the variable of the children of a process."""
    return {VARIABLE: f"{_SECRET}:{full_name}"}


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a program; its start time, in clock ticks, tells it from a later one."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    session: int
    started: int


class ProcessTree:
    """All processes of a program but its main one, which has ended and had this pid."""

    def __init__(self, full_name: str, main: int, log: Callable[[Severity, str], None]) -> None:
        self._name = full_name
        self._main = main
        self._log = log
        self._value = os.fsencode(f"{VARIABLE}={mark(full_name)[VARIABLE]}")
        self._refused: set[Member] = set()

    async def end(self, patience: float, latest: Callable[[], float] = lambda: math.inf) -> None:
        """Return when no member is left: they get TERM, after ``patience`` seconds KILL.

        KILL is sent no later than at ``latest()``; a stop of everything may change that meanwhile.

        One that may not be signalled is told in the log and left alone.
        """
        kill_at = math.inf
        sent: set[tuple[Member, int]] = set()
        quiet = 0
        while quiet < 2:  # what forks during a pass may be missed by it
            members = await in_thread_if_possible(self.members)
            quiet = 0 if members else quiet + 1
            if members and kill_at == math.inf:  # a pass may take long on a busy machine
                kill_at = trio.current_time() + max(LEAST_PATIENCE, patience)
            in_time = trio.current_time() < min(kill_at, latest())
            number = signal.SIGTERM if in_time else signal.SIGKILL
            for member in members:
                if (member, number) not in sent:
                    sent.add((member, number))
                    self._signal(member, number)
            if members:
                await trio.sleep(LOOK_INTERVAL)

    def members(self) -> list[Member]:
        """Return the members that live and may be signalled; blocks for one pass over ``/proc``."""
        table = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
        found = {pid for pid, stat in table.items() if self._is_member(pid, stat, table)}
        while more := {p for p, stat in table.items() if stat.parent in found and p not in found}:
            found |= more
        members = [Member(p, table[p].started) for p in sorted(found) if table[p].state not in "ZX"]
        return [member for member in members if member not in self._refused]

    def _is_member(self, pid: int, stat: _Stat, table: Mapping[int, _Stat]) -> bool:
        # While the session lives no other process gets its number; then one may, and be a leader.
        if stat.session == self._main and self._main not in table:
            return True
        with suppress(OSError):
            return self._value in _read(f"{PROC}/{pid}/environ").split(b"\0")
        return False  # it has just ended, or belongs to somebody whom we may not look at

    def _signal(self, member: Member, number: int) -> None:
        try:
            pidfd = os.pidfd_open(member.pid)
        except OSError:  # it has just ended
            return
        try:
            stat = _stat(member.pid)
            if stat is None or stat.started != member.started:
                return
            name = signal.Signals(number).name
            text = f"killing what {self._name} has left behind (pid {member.pid}) with {name}"
            self._log(Severity.WARN, text)
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        except OSError as error:
            self._refused.add(member)
            text = f"{self._name} has left pid {member.pid} behind, which cannot be signalled"
            self._log(Severity.WARN, f"{text}: {error.strerror}")
        finally:
            os.close(pidfd)


def _pids() -> list[int]:
    """List the processes of the machine; none if ``/proc`` cannot be read now."""
    with suppress(OSError):
        own = os.getpid()
        return [int(name) for name in os.listdir(PROC) if name.isdecimal() and int(name) != own]
    return []


def _stat(pid: int) -> _Stat | None:
    """Read what identifies a process; None means that it has ended."""
    try:
        data = _read(f"{PROC}/{pid}/stat")
    except OSError:
        return None
    fields = data.rpartition(b")")[2].split()
    if len(fields) <= _STARTED:
        return None
    return _Stat(
        fields[_STATE].decode(), int(fields[_PPID]), int(fields[_SESSION]), int(fields[_STARTED])
    )


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_SIZE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
