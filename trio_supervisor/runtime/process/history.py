"""What has become of one process so far; ``process.py`` writes it, others ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.process.lifecycle import Exit


@dataclass(slots=True)
class History:
    """Since the daemon's start, or since the process was added."""

    failures: int = 0
    """Consecutive failed starts."""
    spawns: int = 0
    """Children it has had."""
    last_exit: Exit | None = None
    """How the last child ended; None if none has, or if the last attempt led to no child."""

    @property
    def restarts(self) -> int:
        """Children after the first."""
        return max(0, self.spawns - 1)
