"""What the supervisor does next with a child that starts or stops, and when.

That is what the record's deadline is for, in words for people: a client that waits shows it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.signals import signal_name
from trio_supervisor.core.process.states import State
from trio_supervisor.core.process.stop import StopSequence

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import ProcessRecord

#: A start that has lasted until its deadline has succeeded or failed.
UP, GIVEN_UP = "up", "given up"


@dataclass(frozen=True, slots=True)
class NextStep:
    """A step that is due at some time, unless the process moves on before."""

    what: str
    """The name of a signal without SIG, or UP or GIVEN_UP."""
    at: float
    """By the monotonic clock."""


def next_step(config: ProcessConfig, record: ProcessRecord) -> NextStep | None:
    """Return the next step of a child; None if it has no deadline, or there is no child."""
    if config.task is not None or not record.pid:
        return None
    probes = record.probes
    is_late = probes is not None and probes.failure != ""
    if record.state is State.STOPPING or (record.state is State.STARTING and is_late):
        return _of_stop(config, record, record.stop_step + 1)
    if record.deadline == math.inf:
        return None
    if record.state is State.STARTING:
        is_ready = probes is None or probes.is_ready
        return NextStep(UP if is_ready else GIVEN_UP, record.deadline)
    return _of_stop(config, record, 0)  # it dumps its state before a restart


def _of_stop(config: ProcessConfig, record: ProcessRecord, number: int) -> NextStep | None:
    sequence, at = StopSequence.of(config), record.deadline
    if not sequence.is_last(number) and record.stop_by <= at:  # no time for the steps between
        number, at = sequence.last_step, record.stop_by
    if at == math.inf:
        return None
    step = sequence.step(number)
    what = "stop_command" if step.command else signal_name(step.signal).removeprefix("SIG")
    return NextStep(what, at)
