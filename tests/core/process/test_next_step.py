"""What is done next with a child, and when."""

from __future__ import annotations

import math

import pytest

from tests.kit.fakes import program
from trio_supervisor.core.config.stopping import SignalStep, Stopping
from trio_supervisor.core.process.next_step import next_step
from trio_supervisor.core.process.probing import ProbeRecord
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import State

SEQUENCE = Stopping(sequence=(SignalStep(3, 10), SignalStep(15)))
COMMAND = Stopping(command="/bin/true")
NOT_READY, READY = ProbeRecord(), ProbeRecord(is_ready=True)
LATE = ProbeRecord(failure="not ready within 60 seconds")


@pytest.mark.behaviour("policies.md#shown-stops")
@pytest.mark.parametrize(
    ("stopping", "record", "expected"),
    [
        (Stopping(), {"state": State.STOPPING}, ("KILL", 50)),
        (Stopping(), {"state": State.STOPPING, "stop_step": 1}, ("KILL", 50)),
        (SEQUENCE, {"state": State.STOPPING}, ("TERM", 50)),
        (SEQUENCE, {"state": State.STOPPING, "stop_step": 1}, ("KILL", 50)),
        (SEQUENCE, {"state": State.STOPPING, "stop_by": 40.0, "deadline": 40.0}, ("KILL", 40)),
        (SEQUENCE, {"state": State.STOPPING, "stop_by": 60.0}, ("TERM", 50)),
        (COMMAND, {"state": State.STOPPING}, ("TERM", 50)),
        (Stopping(), {"state": State.STARTING}, ("up", 50)),
        (Stopping(), {"state": State.STARTING, "probes": READY}, ("up", 50)),
        (Stopping(), {"state": State.STARTING, "probes": NOT_READY}, ("given up", 50)),
        (SEQUENCE, {"state": State.STARTING, "probes": LATE}, ("TERM", 50)),
        (Stopping(), {"state": State.STARTING, "deadline": math.inf}, None),
        (SEQUENCE, {"state": State.RUNNING}, ("QUIT", 50)),  # after dump_signal
        (COMMAND, {"state": State.RUNNING}, ("stop_command", 50)),
        (Stopping(), {"state": State.RUNNING, "deadline": math.inf}, None),
        (Stopping(), {"state": State.STARTING, "pid": 0}, None),
    ],
)
def test_steps(
    stopping: Stopping, record: dict[str, object], expected: tuple[str, float] | None
) -> None:
    values: dict[str, object] = {"deadline": 50.0, "pid": 7, **record}
    found = next_step(
        program("x", stopping=stopping),
        ProcessRecord(**values),  # type: ignore[arg-type]  # values are test data
    )
    assert (None if found is None else (found.what, found.at)) == expected
