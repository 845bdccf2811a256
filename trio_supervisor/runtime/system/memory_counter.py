"""Reads how many processes of a cgroup the kernel has killed for lack of memory.

Children are in the cgroup of the supervisor, or in one of their own, unless they leave it: the
kills of those are not seen, and their ends are told without a reason.
"""

from __future__ import annotations

import os
from signal import SIGKILL
from typing import TYPE_CHECKING

from trio_supervisor.core.process.memory_kill import MemoryKills, counter_file, kills_in

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit

#: The text that ``counter_file`` reads.
CGROUPS = "/proc/self/cgroup"
#: Where cgroups are mounted.
MOUNT = "/sys/fs/cgroup"
#: More than such a file ever has.
_MOST = 4096


class MemoryCounter:
    """The count of the kernel. Where there is none, reading costs nothing after the first time."""

    __slots__ = ("_cgroups", "_kills", "_mount", "_path")

    def __init__(
        self, cgroups: str = CGROUPS, mount: str = MOUNT, *, path: str | None = None
    ) -> None:
        """``path`` is the file with the count; None: that of the cgroup of the supervisor."""
        self._cgroups = cgroups
        self._mount = mount
        self._path = path
        """Found at the first reading; empty if there is no file."""
        self._kills = MemoryKills()

    def read(self) -> int | None:
        """Return the count; None if the kernel does not tell."""
        if self._path is None:
            file = counter_file(_text(self._cgroups))
            self._path = "" if file is None else f"{self._mount}/{file}"
            count = kills_in(_text(self._path)) if self._path else None
            if count is None:
                self._path = ""
            return count
        return kills_in(_text(self._path)) if self._path else None

    def explain(self, ended: Exit, before: int | None, *, asked: bool) -> bool:
        """Whether the kernel has killed a child, see ``MemoryKills.explain``."""
        if before is None or asked or ended.signal != SIGKILL:  # without reading the count
            return False
        return self._kills.explain(ended, before, self.read(), asked=asked)


def _text(path: str) -> str:
    """The text of a small file of the kernel; empty if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _MOST).decode(errors="replace")
        finally:
            os.close(fd)
    except (OSError, ValueError):
        return ""
