"""Result handlers (interfaces.md 1.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

import trio_supervisor
from tests.kit.daemon import write_config
from trio_supervisor import ConfigError, load_config
from trio_supervisor.core.events import Tick5
from trio_supervisor.runtime.events.results import (
    DEFAULT_HANDLER,
    default_handler,
    is_rejection,
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
def test_1_7_a_handler_that_cannot_be_resolved_is_an_error(spec: str, tmp_path: Path) -> None:
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={spec}\n"
    path = write_config(tmp_path, listener)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert f"{spec} cannot be resolved within [eventlistener:l]" in str(caught.value)


@pytest.mark.parametrize("spec", ["os", "os:curdir"])
def test_G182_whether_a_handler_can_be_called_shows_when_it_is(spec: str, tmp_path: Path) -> None:
    """8.7; the reference loads such files."""
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={spec}\n"
    config = load_config(str(write_config(tmp_path, listener)))
    (message,) = [m for m in config.messages if "result_handler" in m.text]
    assert message.text == f"For [eventlistener:l], result_handler {spec} cannot be called"
    assert result_handler(f"{spec} [extra]") is result_handler(spec)


def test_1_7_a_handler_that_can_be_resolved(tmp_path: Path) -> None:
    listener = f"[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler={__name__}:mine\n"
    (group,) = load_config(str(write_config(tmp_path, listener))).groups
    assert group.pool is not None
    assert result_handler(group.pool.result_handler) is mine


def mine(event: object, response: bytes) -> None:
    pass
