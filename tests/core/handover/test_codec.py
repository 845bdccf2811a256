"""Values as plain data and back, and which versions understand each other."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes import program
from tests.kit.handing import handed_over
from trio_supervisor.core.config.model import (
    AUTO,
    ChannelConfig,
    Config,
    GroupConfig,
    InetServer,
    ProcessConfig,
    Readiness,
    UnixServer,
)
from trio_supervisor.core.config.probes import HttpProbe, LogLine, Notify
from trio_supervisor.core.events import ProcessStateExited, RemoteCommunication
from trio_supervisor.core.handover import state, versions
from trio_supervisor.core.handover.codec import NotPlain, NotUnderstood
from trio_supervisor.core.handover.state import (
    HandedChild,
    HandedEvent,
    HandedGroup,
    HandedHistoryEntry,
    HandedOutput,
    HandedPool,
    HandedProcess,
    HandedState,
    HandedSupervisor,
)
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.exit import End, Exit
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.start import Starts, Wait
from trio_supervisor.core.process.states import State

STATE = HandedState(
    supervisor=HandedSupervisor(
        Config(
            servers=(UnixServer("unix_http_server", "/run/s"), InetServer("inet", "", 9001)),
            groups=(GroupConfig("x", (program("x"),)),),
        ),
        began_at=90.0,
    ),
    groups=(
        HandedGroup(
            GroupConfig("x", (program("x"),)),
            processes=(
                HandedProcess(
                    "x",
                    ProcessRecord(State.RUNNING, pid=7, due=math.inf, began_at=95.0, spawns=3),
                    child=HandedChild(7, stdin=3, stdout=4, pending=bytes(range(256))),
                    stdout=HandedOutput(captured=b"", line_since=99.5),
                    wait=Wait(("x", "x"), Starts.ALL, seen={("y", "y"), ("z", "z")}),
                ),
            ),
            pool=HandedPool(waiting=(HandedEvent(RemoteCommunication("a", "b"), 3, 4),)),
        ),
    ),
)


def through(handed: HandedState, now: float = 100.0, later: float = 100.0) -> HandedState:
    return versions.decoded(versions.encoded(handed, now, 50.0), later, 50.0)


def test_a_state_is_the_same_in_the_next_program() -> None:
    assert through(STATE) == STATE


def test_times_of_the_monotonic_clock_are_moved_by_what_has_passed() -> None:
    data = versions.encoded(STATE, 100.0, 1000.0)
    later = versions.decoded(data, 5.0, 1002.0)  # two seconds later, by a clock that began anew
    process = later.groups[0].processes[0]
    assert process.record.began_at == pytest.approx(-2.0)
    assert process.record.due == math.inf
    assert process.stdout.line_since == pytest.approx(2.5)


@pytest.mark.parametrize(
    "value",
    [
        ChannelConfig(logfile=AUTO),
        ChannelConfig(logfile=None),
        ChannelConfig(logfile="auto"),
        Readiness(Notify()),
        Readiness(LogLine("up", is_regex=True)),
        Readiness(HttpProbe("https", "::1", 443, "/")),
        Cause(CauseKind.REQUEST, "ann", 7),
        Exit(None, 9, core_dumped=True),
        HandedHistoryEntry(
            1, 2.5, ProcessStateExited("x", "y", State.RUNNING, False, 7, End(Exit(1), False, 1, 2))
        ),
        ProcessConfig("caf\udce9", "cmd", environment={"A": "\udcff\u20ac"}),
    ],
)
def test_values_come_back(value: object) -> None:
    assert handed_over(value) == value


@given(st.binary())
def test_all_bytes_come_back(data: bytes) -> None:
    assert handed_over(HandedOutput(end=data)).end == data


def test_all_types_that_a_state_can_have_are_known() -> None:
    """A new field of the model whose type has no form fails here, not at an upgrade."""
    assert versions.codec().dump(HandedState(), HandedState, 0.0) == {}


@pytest.mark.behaviour("upgrade.md#formats-of-the-state")
def test_a_field_with_its_default_is_left_out() -> None:
    dumped = versions.codec().dump(ProcessRecord(spawns=2), ProcessRecord, 0.0)
    assert dumped == {"spawns": 2}


def changed(**header: object) -> bytes:
    document = json.loads(versions.encoded(STATE, 0.0, 0.0))
    return json.dumps(document | header).encode()


def refused(data: bytes) -> str:
    with pytest.raises(NotUnderstood) as caught:
        versions.decoded(data, 0.0, 0.0)
    return str(caught.value)


def test_an_event_is_handed_over_beside_a_class_of_a_plugin() -> None:
    class Ours(RemoteCommunication):
        """As a result handler may define one."""

    assert Ours in RemoteCommunication.__subclasses__()
    versions.codec.cache_clear()
    event = HandedEvent(RemoteCommunication("a", "b"), 3, 4)
    dumped = versions.codec().dump(event, HandedEvent, 0.0)
    assert versions.codec().load(dumped, HandedEvent, 0.0) == event


@pytest.mark.behaviour("upgrade.md#formats-of-the-state")
def test_a_state_of_an_unknown_format_is_refused() -> None:
    older = refused(changed(format=versions.OLDEST_READ - 1))
    assert "older than the oldest that is understood" in older
    newer = refused(changed(format=9, readable_by=9, version="9.0"))
    assert newer == (
        "the state has format 9 (of version 9.0), which needs a program of format 9; this one has "
        f"{versions.FORMAT}"
    )


@pytest.mark.behaviour("upgrade.md#formats-of-the-state")
def test_a_state_of_a_newer_version_that_uses_nothing_new_is_understood() -> None:
    """As after an upgrade, when the version before is to come back."""
    assert versions.decoded(changed(format=9, version="9.0"), 0.0, 0.0).groups != ()


def test_a_state_of_an_older_version_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    data = versions.encoded(STATE, 0.0, 0.0)
    monkeypatch.setattr(versions, "FORMAT", versions.FORMAT + 1)
    monkeypatch.setattr(versions, "READABLE_BY", versions.FORMAT + 1)
    assert versions.decoded(data, 0.0, 0.0) == versions.decoded(data, 0.0, 0.0)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((), {"new_part": 1}, "the field 'new_part' of HandedState is unknown"),
        (
            ("supervisor", "config"),
            {"new": True},
            "the field 'new' of Config is unknown (in HandedSupervisor.config)",
        ),
        (("supervisor",), {"began_at": "soon"}, "'soon' is no number"),
        (("supervisor",), {"config": []}, "list instead of dict"),
        (("supervisor", "config"), {"servers": [{"Gopher": {}}]}, "'Gopher' is unknown here"),
    ],
)
def test_what_is_not_understood_is_named(path: tuple[str, ...], value: Any, words: str) -> None:
    document = json.loads(versions.encoded(STATE, 0.0, 0.0))
    place = document["state"]
    for name in path:
        place = place[name]
    place.update(value)
    assert words in refused(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}'])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    refused(data)


def test_a_required_field_that_is_missing_is_named() -> None:
    document = json.loads(versions.encoded(STATE, 0.0, 0.0))
    del document["state"]["groups"][0]["config"]["name"]
    assert "the field 'name' of GroupConfig is missing" in refused(json.dumps(document).encode())


async def nothing() -> None:
    """A task of an embedding program."""


def test_a_task_cannot_be_handed_over() -> None:
    group = GroupConfig("x", (program("x", task=nothing),))
    with pytest.raises(NotPlain, match=r"ProcessConfig.task: a function of this program"):
        versions.encoded(HandedState(groups=(HandedGroup(group),)), 0.0, 0.0)


def test_every_value_of_the_state_has_a_text() -> None:
    for cls in vars(state).values():
        if isinstance(cls, type) and is_dataclass(cls) and cls.__name__.startswith("Handed"):
            assert cls.__doc__
            assert fields(cls)
