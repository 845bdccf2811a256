"""Identity of a process that is no child of the daemon: its pid alone may be another's later."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.monotonic import Monotonic


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a program; its start time, in clock ticks, tells it from a later one."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is known of a child that an earlier daemon has started, so that this is not its parent.

    The pid of such a child is not its own until it is reaped here: another process reaps it.
    """

    started: int
    """Its start time, in clock ticks."""
    daemon: Member
    """The one that has started it. Its descendants are marked with that."""
    gone_at: Monotonic = math.inf
    """When it ended, if no daemon ran then, or at the latest if nobody saw it; infinite: else."""
