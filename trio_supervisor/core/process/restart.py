"""Policy of automatic restarts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.restarting import NO_RESTART_OPTIONS, Backoff, RestartOptions
from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.monotonic import Monotonic
    from trio_supervisor.core.process.exit import Exit

#: An EXITED process whose child lived for less than this is not respawned earlier than this many
#: seconds after its last spawn, so that a crash loop cannot become a storm.
RESTART_FLOOR = 1.0
#: Seconds of RUNNING after which the next death is the first in a row again.
STABLE = 60.0
#: ``backoff_max`` of exponential pauses, in seconds.
EXPONENTIAL_MAX = 60.0
#: Doublings after which a pause is longer than any limit; 2.0 to the power of 1024 is an error.
MOST_DOUBLINGS = 60


@dataclass(slots=True)
class RestartHistory:
    """Counters of the restart policy of a process; a requested start resets them.

    Times are those of the monotonic clock.
    """

    deaths: int = 0
    """Exits in a row that were not requested, since it was last RUNNING for STABLE seconds."""
    running_since: Monotonic = -math.inf
    restarts: tuple[Monotonic, ...] = ()
    """When automatic restarts were made, the latest ones, as many as the limit counts."""

    def died(self, at: float) -> None:
        """Count an end of a process that was RUNNING."""
        self.deaths = 1 if at - self.running_since >= STABLE else self.deaths + 1

    def restarted(self, at: float, options: RestartOptions) -> None:
        """Count an automatic restart."""
        if options.restart_limit is not None:
            self.restarts = (*self.restarts, at)[-options.restart_limit.count :]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Decides about automatic restarts and retries. Delays are in seconds; None means never.

    ``chance`` is a random number from 0 to 1, of which ``backoff_jitter`` makes the pauses differ:
    programs that fail together must not all come back together.
    """

    autorestart: Autorestart = Autorestart.UNEXPECTED
    startretries: int = 3
    options: RestartOptions = NO_RESTART_OPTIONS

    @classmethod
    def of(cls, config: ProcessConfig) -> RestartPolicy:
        """Make the policy that the options of a process describe."""
        return cls(config.autorestart, config.startretries, config.restarting)

    def after_exit(
        self, ended: Exit, *, expected: bool, lifetime: float, deaths: int = 1, chance: float = 0.0
    ) -> float | None:
        """Return the delay until a process that left RUNNING by itself is started again.

        ``lifetime`` is how long the child lived, in seconds; ``deaths`` counts the ends in a row,
        this one included.
        """
        if self.autorestart is Autorestart.NEVER or self.prevents(ended):
            return None
        if self.autorestart is Autorestart.UNEXPECTED and expected:
            return None
        return max(self._restart_pause(deaths, chance), RESTART_FLOOR - lifetime)

    def after_stop(self, *, lifetime: float, deaths: int = 1, chance: float = 0.0) -> float:
        """Return the delay until a process that a policy restarts is started again.

        Neither ``autorestart`` nor ``restart_prevent`` matters: they are about ends of its own.
        """
        return max(self._restart_pause(deaths, chance), RESTART_FLOOR - lifetime)

    def after_failed_start(
        self, failures: int, ended: Exit | None = None, *, chance: float = 0.0
    ) -> float | None:
        """Return the delay until the next attempt after this many failed starts in a row.

        ``ended``: None means that the last attempt led to no child. None is returned if no attempt
        is left: the process becomes FATAL.
        """
        if self.prevents(ended) or (
            failures > self.startretries and not self.options.retry_forever
        ):
            return None
        pause, initial = self._pause(failures), self.options.backoff_initial
        return self._limited(pause, initial) * self._stretch(chance)

    def after_fatal(self, ended: Exit | None) -> float | None:
        """Return the delay until a process that was given up is started anew, a second at least.

        None means that it stays FATAL.
        """
        pause = self.options.on_fatal
        return None if pause is None or self.prevents(ended) else max(pause, RESTART_FLOOR)

    def prevents(self, ended: Exit | None) -> bool:
        """Whether ``restart_prevent`` names how the child has ended."""
        return ended is not None and any(
            (one.code, one.signal) == (ended.code, ended.signal)
            for one in self.options.restart_prevent
        )

    def excess(self, history: RestartHistory, at: float) -> str:
        """Explain why a restart at that time is one too many; empty if it is not."""
        limit = self.options.restart_limit
        if limit is None:
            return ""
        recent = [time for time in history.restarts if at - time < limit.within]
        if len(recent) < limit.count:
            return ""
        times = "once" if limit.count == 1 else f"{limit.count} times"
        return f"restarted {times} within {limit.within:g} seconds"

    def _pause(self, failures: int) -> float:
        kind, initial = self.options.backoff, self.options.backoff_initial
        if isinstance(kind, tuple):
            return kind[min(failures, len(kind)) - 1]
        if kind is Backoff.EXPONENTIAL:
            return _doubled(initial, failures)
        return initial * failures if kind is Backoff.LINEAR else initial

    def _restart_pause(self, deaths: int, chance: float) -> float:
        pause = self.options.restart_delay
        if self.options.backoff is Backoff.EXPONENTIAL:
            pause = self._limited(_doubled(pause, deaths), pause)
        return pause * self._stretch(chance)

    def _limited(self, pause: float, initial: float) -> float:
        """Limit a pause; only a limit that is written makes the initial one shorter."""
        longest = self.options.backoff_max
        if longest is None and self.options.backoff is Backoff.EXPONENTIAL:
            longest = max(EXPONENTIAL_MAX, initial)
        return pause if longest is None else min(pause, longest)

    def _stretch(self, chance: float) -> float:
        return 1.0 + self.options.backoff_jitter * chance


def _doubled(pause: float, times: int) -> float:
    """Double the pause at each time but the first."""
    return float(pause * 2.0 ** min(times - 1, MOST_DOUBLINGS))
