"""One start attempt of a process, as those see it who wait for its outcome."""

from __future__ import annotations

from trio_supervisor.core.errors import AbnormalTermination, SpawnFailed
from trio_supervisor.core.process.states import State


class StartAttempt:
    """Outlives the moment: the process itself may have moved on when a waiter looks."""

    def __init__(self) -> None:
        self.spawned = False
        """Whether a child came of it."""
        self.outcome: State | None = None
        """The first state after STARTING."""

    @property
    def decided(self) -> bool:
        return self.outcome is not None

    def check(self, name: str) -> None:
        """Raise SpawnFailed (retries go on, P-096) or AbnormalTermination (P-097) if it failed."""
        if self.outcome is State.BACKOFF:
            raise SpawnFailed(name)
        if self.outcome not in (None, State.RUNNING):
            raise AbnormalTermination(name)
