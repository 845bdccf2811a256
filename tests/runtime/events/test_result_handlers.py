"""Result handlers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor import events as supervisor_events

import trio_supervisor
from tests.kit.daemon import write_config
from trio_supervisor import ConfigError, load_config
from trio_supervisor.core.events import (
    EVENT_TYPES,
    Event,
    Extended,
    ProcessLogStdout,
    ProcessStateExited,
    ProcessStateRunning,
    ProcessStateStarting,
    Tick5,
)
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.events.handler_event import _subclass, handler_event
from trio_supervisor.runtime.events.result_handlers import (
    DEFAULT_HANDLER,
    default_handler,
    is_rejection,
    judge,
    result_handler,
)


def test_the_default_handler_takes_the_two_bytes_only() -> None:
    assert result_handler(DEFAULT_HANDLER) is default_handler
    default_handler(Tick5(5), b"OK")
    for response in (b"", b"ok", b"OKOKOKOKOK", b"FAIL"):
        with pytest.raises(trio_supervisor.RejectEvent):
            default_handler(Tick5(5), response)


def test_rejections_are_known_by_name() -> None:
    class Mine(trio_supervisor.RejectEvent):
        pass

    assert is_rejection(Mine())
    assert not is_rejection(ValueError())


@pytest.mark.parametrize("spec", ["no_such:f", "os:nope", "nope:x", ":::", ""])
def test_a_handler_that_cannot_be_resolved_is_an_error(spec: str, tmp_path: Path) -> None:
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={spec}\n"
    path = write_config(tmp_path, listener)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert f"{spec} cannot be resolved within [eventlistener:l]" in str(caught.value)


@pytest.mark.behaviour("configuration.md#event-listeners")
@pytest.mark.parametrize("spec", ["os", "os:curdir"])
def test_whether_a_handler_can_be_called_shows_when_it_is(spec: str, tmp_path: Path) -> None:
    """Supervisor loads such files."""
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={spec}\n"
    config = load_config(str(write_config(tmp_path, listener)))
    (message,) = [m for m in config.messages if "result_handler" in m.text]
    assert message.text == f"For [eventlistener:l], result_handler {spec} cannot be called"
    assert result_handler(f"{spec} [extra]") is result_handler(spec)


def test_a_handler_that_can_be_resolved(tmp_path: Path) -> None:
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={__name__}:mine\n"
    (group,) = load_config(str(write_config(tmp_path, listener))).groups
    assert group.pool is not None
    assert result_handler(group.pool.result_handler) is mine


def mine(event: object, response: bytes) -> None:
    pass


def test_handlers_get_events_with_the_attributes_of_supervisor() -> None:
    event = handler_event(ProcessStateRunning("web_00", "web", State.STARTING, 42), 7)
    assert isinstance(event, ProcessStateRunning)
    assert type(event).__name__ == "ProcessStateRunningEvent"
    assert event.payload() == "processname:web_00 groupname:web from_state:STARTING pid:42"
    seen: Any = event
    assert (seen.serial, seen.expected, seen.from_state) == (7, True, State.STARTING)
    assert f"{seen.process}, {seen.process.group}" == "web_00, web"
    assert seen.process == "web_00"
    assert seen.process.config.name == "web_00"
    assert seen.process.group.config.name == "web"
    assert seen.process.pid == 42


def test_an_unexpected_exit_and_a_chunk_of_output() -> None:
    exited: Any = handler_event(ProcessStateExited("a", "a", State.RUNNING, False, 5), 0)
    assert (exited.expected, exited.process.pid) == (False, 5)
    chunk: Any = handler_event(ProcessLogStdout("a", "g", 5, b"x"), 1)
    assert (chunk.data, chunk.channel, chunk.process.group.config.name) == (b"x", "stdout", "g")
    assert not hasattr(chunk, "expected")
    starting: Any = handler_event(ProcessStateStarting("a", "a", State.STOPPED, 0), 2)
    assert starting.process.pid == 0


THEIRS = [c for c in EVENT_TYPES.values() if c is not Event and not issubclass(c, Extended)]


@pytest.mark.parametrize("ours", THEIRS)
def test_classes_have_the_names_of_supervisor(ours: type[Event]) -> None:
    """Listeners subscribe to both by the same name."""
    theirs = getattr(supervisor_events.EventTypes, ours.name)
    assert _subclass(ours).__name__ == theirs.__name__


def test_an_event_of_the_embedding_program() -> None:
    class Own(Event):
        def __init__(self) -> None:
            pass

    assert isinstance(handler_event(Own(), 3), Own)


def test_what_a_handler_prints_is_flushed_also_if_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stream:
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1
            raise BrokenPipeError

    def fails(event: Event, response: bytes) -> None:
        raise KeyError

    out = Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)  # closed at start
    judge(mine, Tick5(5), 0, b"OK")
    with pytest.raises(KeyError):
        judge(fails, Tick5(5), 0, b"OK")
    assert out.flushed == 2
