"""One start attempt of a process, as those see it who wait for its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_supervisor.core.states import State


class Attempt:
    """Outlives the moment: the process itself may have moved on when a waiter looks."""

    def __init__(self) -> None:
        self.spawned = False
        """Whether a child came of it."""
        self.outcome: State | None = None
        """The first state after STARTING."""
