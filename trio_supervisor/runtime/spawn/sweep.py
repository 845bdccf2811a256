"""Ends the processes that a program has left behind: TERM, then KILL, until none is found.

Who they are is found by a ``Finder``: ``tree.py`` for ``kill_mode = tree``, the cgroup of the
process for ``kill_mode = cgroup``. Each is opened as a pidfd and then looked at once more: if it is
still the same process, which its start time tells, the signal goes to the pidfd and can reach no
other. Passes are repeated until two of them have found nobody.
"""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = "/proc"
#: Seconds between two passes while members are left.
LOOK_INTERVAL = 0.05
#: Seconds that members have at least between TERM and KILL.
LEAST_PATIENCE = 1.0
#: Positions in /proc/PID/stat after the command's name.
_STATE, _PPID, _SESSION, _STARTED = 0, 1, 3, 19
#: States of processes that have ended.
_ENDED = "ZX"
_READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a program; its start time, in clock ticks, tells it from a later one."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What identifies a process, and its place among others."""

    state: str
    parent: int
    session: int
    started: int

    @property
    def has_ended(self) -> bool:
        """Whether it only waits to be reaped."""
        return self.state in _ENDED


class Finder(Protocol):
    """Finds the processes of one program. All methods block."""

    @property
    def reaches_all(self) -> bool:
        """Whether ``kill_all`` reaches also those that may not be signalled."""

    def members(self, *, main_lives: bool) -> list[Member]:
        """Return those that live. When the main process was reaped, another may have its pid."""

    def kill_all(self) -> None:
        """Kill all at once, where that is possible."""


class Sweep:
    """Ends all processes of a program but its main one.

    It may begin before the main process has ended, be cancelled at its end, and go on after it.
    """

    def __init__(
        self, full_name: str, main: int, finder: Finder, log: Callable[[Severity, str], None]
    ) -> None:
        self.main_lives = True
        """False as soon as the main process was reaped."""
        self._main = main
        self._name = full_name
        self._finder = finder
        self._log = log
        self._kill_at = math.inf
        self._sent: set[tuple[Member, int]] = set()
        self._refused: set[Member] = set()

    async def run(self, patience: float, latest: Callable[[], float] = lambda: math.inf) -> None:
        """Return when no member is left: they get TERM, after ``patience`` seconds KILL.

        KILL is sent no later than at ``latest()``; a stop of everything may change that meanwhile.

        One that may not be signalled is told in the log and left alone.
        """
        quiet = 0
        while quiet < 2:  # what forks during a pass may be missed by it
            members = await in_thread_if_possible(self._look)
            quiet = 0 if members else quiet + 1
            if members and self._kill_at == math.inf:  # a pass may take long on a busy machine
                self._kill_at = trio.current_time() + max(LEAST_PATIENCE, patience)
            in_time = trio.current_time() < min(self._kill_at, latest())
            number = signal.SIGTERM if in_time else signal.SIGKILL
            for member in members:
                if (member, number) not in self._sent:
                    self._sent.add((member, number))
                    self._signal(member, number)
            if members and not in_time:
                await in_thread_if_possible(self._finder.kill_all)
            if members:
                await trio.sleep(LOOK_INTERVAL)

    def _look(self) -> list[Member]:
        spared = self._main if self.main_lives else 0
        found = self._finder.members(main_lives=self.main_lives)
        return [m for m in found if m.pid != spared and m not in self._refused]

    def _signal(self, member: Member, number: int) -> None:
        name = signal.Signals(number).name
        text = f"killing what {self._name} has left behind (pid {member.pid}) with {name}"
        try:
            signal_member(member, number, lambda: self._log(Severity.WARN, text))
        except OSError as error:
            if not self._finder.reaches_all:
                self._refused.add(member)
                text = f"{self._name} has left pid {member.pid} behind, which cannot be signalled"
                self._log(Severity.WARN, f"{text}: {error.strerror}")


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
    return ProcessStat(
        fields[_STATE].decode(), int(fields[_PPID]), int(fields[_SESSION]), int(fields[_STARTED])
    )


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
