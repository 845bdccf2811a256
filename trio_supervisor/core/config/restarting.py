"""Options about what follows when a process has ended or its start has failed.

Supervisor has ``autorestart`` and ``startretries``; these refine them. Processes without any of
them share one value.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit


class Backoff(enum.Enum):
    """Growth of the pauses between failed starts."""

    LINEAR = "linear"
    """``backoff_initial`` times the number of failed starts in a row, as in Supervisor."""
    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    """Doubled each time, up to ``backoff_max``."""


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """The most automatic restarts within a time, in seconds."""

    count: int
    within: float

    def __str__(self) -> str:
        """Return the value as a configuration file has it."""
        return f"{self.count}/{self.within:g}s"


@dataclass(frozen=True, slots=True)
class RestartOptions:
    """The options of one process about retries and restarts. Times are in seconds."""

    backoff: Backoff | tuple[float, ...] = Backoff.LINEAR
    """How the pauses between failed starts grow, or the pauses themselves, the last one for all
    further failed starts."""
    backoff_initial: float = 1.0
    backoff_max: float | None = None
    """None: a minute if ``backoff`` is exponential, else no limit."""
    backoff_jitter: float = 0.0
    """The largest share of a pause that is added to it by chance."""
    restart_delay: float = 0.0
    """Pause before an automatic restart of a process that has exited."""
    retry_forever: bool = False
    restart_limit: RestartLimit | None = None
    restart_prevent: tuple[Exit, ...] = ()
    """Exit codes and signals after which it is never started again automatically."""
    on_fatal: float | None = None
    """Time until a process that was given up is started anew; None: it stays FATAL."""


#: Of all processes without any of these options.
NO_RESTART_OPTIONS = RestartOptions()
