"""Steps that stop a child: signals, and the time for each."""

from __future__ import annotations

from functools import lru_cache
from signal import SIGKILL
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.config.stopping import SignalStep

#: Seconds between the signal to dump its state and the stop signal, for a child that is restarted.
DUMP_TIME = 2.0
#: Seconds between repeated SIGKILLs when stopwaitsecs is 0, so that they do not spin.
KILL_REPEAT_FLOOR = 1.0


@dataclass(frozen=True, slots=True)
class StopStep:
    """A command or a signal, and the time the child gets to end because of it."""

    signal: int
    """0 if it is a command."""
    group: bool
    """Whether the process group gets the signal, not only the child itself."""
    wait: float
    """Seconds until the next step."""
    command: str = ""


@dataclass(frozen=True, slots=True)
class StopSequence:
    """The stop command and stop signals, then SIGKILL, repeated until the child has ended.

    The running supervisor and the emergency stop carry out the same sequence, but for the command,
    which needs an event loop.
    """

    steps: tuple[StopStep, ...]

    @classmethod
    def of(cls, config: ProcessConfig) -> StopSequence:
        """Make the sequence that the options of a process describe."""
        return _sequence(
            config.stopsignal,
            config.stopwaitsecs,
            config.stopasgroup,
            config.killasgroup,
            config.stopping.sequence,
            config.stopping.command,
        )

    @property
    def patience(self) -> float:
        """Seconds from the beginning to the first SIGKILL."""
        return sum(step.wait for step in self.steps[:-1])

    @property
    def last_step(self) -> int:
        """Number of the step that is SIGKILL."""
        return len(self.steps) - 1

    def is_last(self, number: int) -> bool:
        """Whether the step of this number, from 0, is SIGKILL."""
        return number >= self.last_step

    def step(self, number: int) -> StopStep:
        """Return a step by its number, from 0; the last one for all that follow."""
        return self.steps[min(number, self.last_step)]

    def signals_within(self, seconds: float) -> list[tuple[float, StopStep]]:
        """Return signals with the seconds after which they are sent; SIGKILL after ``seconds``
        at the latest."""
        timed, after = [], 0.0
        for number, step in enumerate(self.steps):
            if self.is_last(number):
                timed.append((min(after, seconds), step))
            elif not step.command:
                if after < seconds or not timed:
                    timed.append((after, step))
                after += step.wait
        return timed


@lru_cache
def _sequence(
    stopsignal: int,
    patience: float,
    as_group: bool,
    kill_as_group: bool,
    sequence: tuple[SignalStep, ...],
    command: str | None,
) -> StopSequence:
    """Make a sequence. Many programs have the same, and it is looked at in each step of a stop."""
    steps = [StopStep(stopsignal, as_group, patience)]
    if sequence:
        steps = [
            StopStep(step.signal, as_group, patience if step.wait is None else step.wait)
            for step in sequence
        ]
    if command is not None:
        steps.insert(0, StopStep(0, False, patience, command))
    last = StopStep(SIGKILL, kill_as_group, patience or KILL_REPEAT_FLOOR)
    return StopSequence((*steps, last))
