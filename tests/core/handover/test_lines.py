"""The state that is written line by line."""

from __future__ import annotations

import math

import pytest

from trio_supervisor.core.config.model import GroupConfig, ProcessConfig
from trio_supervisor.core.handover.codec import NotUnderstood
from trio_supervisor.core.handover.lines import (
    SUPERVISOR,
    gone_line,
    header_line,
    part_line,
    read_lines,
)
from trio_supervisor.core.handover.state import HandedGroup, HandedProcess, HandedSupervisor
from trio_supervisor.core.process.member import Member
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import State

DAEMON = Member(100, 5000)
HEADER = header_line(DAEMON, "1.2")


def process(name: str, record: ProcessRecord, now: float = 0.0, elapsed: float = 0.0) -> bytes:
    return part_line(("process", "g", name), HandedProcess(name, record), now, elapsed)


def test_the_last_line_of_a_part_counts() -> None:
    group = HandedGroup(GroupConfig("g", processes=(ProcessConfig("a", "x"),)))
    data = b"".join(
        (
            HEADER,
            part_line(SUPERVISOR, HandedSupervisor(notify_directory="/run/x"), 0.0, 0.0),
            part_line(("group", "g"), group, 0.0, 0.0),
            part_line(("group", "h"), group, 0.0, 0.0),
            process("a", ProcessRecord(State.STARTING)),
            process("b", ProcessRecord()),
            process("a", ProcessRecord(State.RUNNING, pid=7)),
            gone_line(("process", "g", "b")),
            gone_line(("group", "h")),
        )
    )
    state = read_lines(data, 0.0, 0.0)
    assert (state.daemon, state.version) == (DAEMON, "1.2")
    assert state.supervisor.notify_directory == "/run/x"
    assert state.groups == {"g": group}
    assert {key: each.record for key, each in state.processes.items()} == {
        ("g", "a"): ProcessRecord(State.RUNNING, pid=7)
    }


@pytest.mark.parametrize("cut", [1, 20])
def test_a_torn_last_line_is_as_if_it_had_not_been_written(cut: int) -> None:
    data = HEADER + process("a", ProcessRecord(pid=1)) + process("a", ProcessRecord(pid=2))
    assert read_lines(data[:-cut], 0.0, 0.0).processes["g", "a"].record.pid == 1


def test_times_go_on_by_the_clock_of_the_kernel() -> None:
    """The clock of the event loop begins anew in each daemon."""
    record = ProcessRecord(State.RUNNING, pid=7, began_at=90.0, due=130.0, deadline=math.inf)
    data = HEADER + process("a", record, now=100.0, elapsed=1000.0)
    read = read_lines(data, 5000.0, 1010.0).processes["g", "a"].record
    assert (read.began_at, read.due, read.deadline) == (4980.0, 5020.0, math.inf)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER[:-1],
        b"x\n",
        HEADER + b"{\n",
        HEADER.replace(b'"readable_by":1', b'"readable_by":99'),
        HEADER + process("a", ProcessRecord(pid=1)).replace(b'"pid"', b'"pit"'),
    ],
    ids=["empty", "torn", "text", "no JSON", "too new", "unknown field"],
)
def test_what_is_not_understood_is_refused(data: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_lines(data, 0.0, 0.0)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"3",
        b'{"key":3}',
        b'{"key":[["a"]]}',
        b'{"key":["of a newer version"],"time":1,"value":1}',
        b'{"key":["supervisor"],"value":{}}',
        b"[" * 100_000,
    ],
)
def test_another_form_is_refused_too(line: bytes) -> None:
    """The next daemon starts without the state then, and does not end by an internal error."""
    with pytest.raises(NotUnderstood):
        read_lines(HEADER + line + b"\n", 0, 0)
    with pytest.raises(NotUnderstood):
        read_lines(HEADER.replace(b'"pid"', b'"other"'), 0, 0)
