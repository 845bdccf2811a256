"""What is sent to a child that has to end, and how long each step may take."""

from __future__ import annotations

from signal import SIGKILL
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig

#: Seconds between repeated SIGKILLs when stopwaitsecs is 0, so that they do not spin.
KILL_REPEAT_FLOOR = 1.0


@dataclass(frozen=True, slots=True)
class StopStep:
    """One signal, and the time the child gets to end because of it."""

    signal: int
    group: bool
    """Whether the process group gets it, not only the child itself."""
    wait: float
    """Seconds until the next step."""


@dataclass(frozen=True, slots=True)
class StopSequence:
    """The stop signal, then SIGKILL, which is repeated until the child has ended.

    The running supervisor and the emergency stop carry out the same sequence.
    """

    first: StopStep
    last: StopStep

    @classmethod
    def of(cls, config: ProcessConfig) -> StopSequence:
        """Make the sequence that the options of a process describe."""
        patience = config.stopwaitsecs
        return cls(
            StopStep(config.stopsignal, config.stopasgroup, patience),
            StopStep(SIGKILL, config.killasgroup, patience or KILL_REPEAT_FLOOR),
        )
