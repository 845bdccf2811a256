"""When a process is started again without anybody asking for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig

#: An EXITED process whose child lived for less than this is not respawned earlier than this many
#: seconds after its last spawn, so that a crash loop cannot become a storm.
RESTART_FLOOR = 1.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Decides about automatic restarts and retries. Delays are in seconds; None means never."""

    autorestart: Autorestart = Autorestart.UNEXPECTED
    startretries: int = 3
    backoff: tuple[float, ...] = ()
    """Pauses after the first, second, ... failed start, the last for all further; empty: 1, 2,
    3, ..."""

    @classmethod
    def of(cls, config: ProcessConfig) -> RestartPolicy:
        """Make the policy that the options of a process describe."""
        return cls(config.autorestart, config.startretries, config.backoff)

    def after_exit(self, *, expected: bool, lifetime: float) -> float | None:
        """Return the delay until a process that left RUNNING by itself is started again.

        ``lifetime`` is how long the child lived, in seconds.
        """
        if self.autorestart is Autorestart.NEVER:
            return None
        if self.autorestart is Autorestart.UNEXPECTED and expected:
            return None
        return max(0.0, RESTART_FLOOR - lifetime)

    def after_failed_start(self, failures: int) -> float | None:
        """Return the delay until the next attempt after this many failed starts in a row.

        None: no attempt is left, the process becomes FATAL.
        """
        if failures > self.startretries:
            return None
        if not self.backoff:
            return float(failures)
        return self.backoff[min(failures, len(self.backoff)) - 1]
