"""Whether the kernel has killed a child for lack of memory.

The kernel counts in each memory cgroup the processes that it has killed (``oom_kill``), but does
not tell which ones. The count has grown before such a process is sent SIGKILL. So an end by SIGKILL
that did not come from the supervisor is put down to the kernel if there were more kills since the
spawn of the child than other ends have already been explained with.
"""

from __future__ import annotations

from signal import SIGKILL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit


def counter_file(cgroups: str) -> str | None:
    """Return the file with the count, below the mount point of cgroups; None: there is none.

    ``cgroups`` is the text of ``/proc/self/cgroup``. A memory controller of cgroup v1 counts where
    there is one: then v2 has none.
    """
    found = None
    for line in cgroups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            return f"memory{path.rstrip('/')}/memory.oom_control"
        if number == "0" and not controllers:
            found = f"{path.strip('/')}/memory.events".lstrip("/")
    return found


def kills_in(text: str) -> int | None:
    """Return ``oom_kill`` of a file with a name and a number in each line; None: it has none."""
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdecimal():
            return int(number)
    return None


class MemoryKills:
    """The kills of one cgroup that the ends of children were explained with."""

    __slots__ = ("_explained",)

    def __init__(self) -> None:
        self._explained = 0
        """Kills up to this one have explained an end, or were before the spawn of the child."""

    def explain(self, ended: Exit, before: int | None, now: int | None, *, asked: bool) -> bool:
        """Whether the kernel has killed a child for lack of memory.

        ``before`` and ``now``: the count at its spawn and at its end; None means unknown.
        ``asked``: the supervisor has sent SIGKILL itself.
        """
        if asked or ended.signal != SIGKILL or before is None or now is None:
            return False
        first = max(before, self._explained)
        if now <= first:
            return False
        self._explained = first + 1
        return True
