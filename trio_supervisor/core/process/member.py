"""Identity of a process that is no child of the daemon: its pid alone may be another's later."""

from __future__ import annotations

from trio_supervisor.core.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a program; its start time, in clock ticks, tells it from a later one."""

    pid: int
    started: int
