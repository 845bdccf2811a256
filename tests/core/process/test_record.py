"""What is known of a process, as text for people."""

from __future__ import annotations

from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import State


def test_the_text_of_a_record_has_what_is_not_as_in_a_new_one() -> None:
    assert repr(ProcessRecord()) == "ProcessRecord()"
    record = ProcessRecord(state=State.RUNNING, pid=12, spawns=3)
    assert repr(record) == f"ProcessRecord(state={State.RUNNING!r}, pid=12, spawns=3)"
