"""The cgroup of one process: its child is put there, and what it has started is found there.

All methods block, though only for as long as the kernel takes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGKILL
from typing import TYPE_CHECKING

from trio_supervisor.core.cgroups import END_ALL
from trio_supervisor.runtime.spawn.members import member_of, signal_member

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_supervisor.core.process.member import Member

#: Files of a cgroup. The first kills all that is in it, since Linux 5.14.
KILL, FREEZE, PROCS = "cgroup.kill", "cgroup.freeze", "cgroup.procs"
MEMORY, EVENTS = "memory.max", "memory.events.local"


class Node:
    """A cgroup of a process; its directory need not exist."""

    def __init__(self, path: str, limits: Sequence[tuple[str, str]] = ()) -> None:
        """``limits``: names and contents of the files that set its limits."""
        self.path = path
        self._limits = limits

    @property
    def limits_memory(self) -> bool:
        """Whether the kernel counts, and can limit, the memory of what is in it."""
        return any(name == MEMORY for name, _ in self._limits)

    @property
    def kill_count(self) -> str:
        """The file with the number of processes that the kernel has killed for lack of memory."""
        return f"{self.path}/{EVENTS}"

    @property
    def entrance(self) -> str:
        """The file to which a child writes 0 to move here."""
        return f"{self.path}/{PROCS}"

    def prepare(self) -> list[Member]:
        """Make it and set its limits; return what has survived in it if it was there already.

        Raises OSError with the name of the file or directory.
        """
        survivors = []
        try:
            os.mkdir(self.path)
        except FileExistsError:
            survivors = self.members()
        for name, text in self._limits:
            path = f"{self.path}/{name}"
            if name == END_ALL and not os.path.exists(path):  # before Linux 4.19
                continue
            try:
                with open(path, "wb", buffering=0) as file:
                    file.write(text.encode())
            except OSError as error:
                raise OSError(error.errno, error.strerror, path) from error
        return survivors

    @property
    def reaches_all(self) -> bool:
        """Whether the kernel kills all that is in it."""
        return os.access(f"{self.path}/{KILL}", os.W_OK)

    def members(self, *, main_lives: bool = True) -> list[Member]:
        """Return the living processes in it and in the cgroups that they have made."""
        return [member for pid in self._pids() if (member := member_of(pid)) is not None]

    def kill_all(self) -> None:
        """Kill all processes at once, so that none can escape by forking."""
        if self._write(KILL, "1"):
            return
        frozen = self._write(FREEZE, "1")
        for member in self.members():
            with suppress(OSError):
                signal_member(member, SIGKILL)
        if frozen:
            self._write(FREEZE, "0")

    def remove(self) -> bool:
        """Remove it with the cgroups below; return whether that was possible: it is empty."""
        for directory in self._directories():
            with suppress(OSError):
                os.rmdir(directory)
        return not os.path.isdir(self.path)

    def _directories(self) -> Iterator[str]:
        """Itself and all below, the deepest first."""
        return (directory for directory, _, _ in os.walk(self.path, topdown=False))

    def _pids(self) -> Iterator[int]:
        for directory in self._directories():
            with suppress(OSError), open(f"{directory}/{PROCS}", "rb") as file:
                yield from map(int, file.read().split())

    def _write(self, name: str, text: str) -> bool:
        """Write to a file of it; return whether that was possible."""
        try:
            fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(fd, text.encode())
        except OSError:
            return False
        finally:
            os.close(fd)
        return True
