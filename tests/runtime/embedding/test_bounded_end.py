"""The end of a block that holds a supervisor comes, whatever fails; a virtual clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

from tests.kit.fakes import log_lines
from trio_supervisor import Process, State, Supervisor, open_supervisor
from trio_supervisor.runtime.groups import operations

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Severity


@pytest.mark.parametrize("wrong", [State.RUNNING, None, 20, int, object()])
async def test_what_is_no_type_of_events_is_refused_and_breaks_nothing(wrong: object) -> None:
    async with open_supervisor() as supervisor:
        with pytest.raises(TypeError, match="not a type of events"):
            supervisor.events(wrong)  # type: ignore[call-overload]  # the mistake
        async with supervisor.events("PROCESS_STATE") as events:
            supervisor.add_program("cat", "/bin/cat", startsecs=0)
            assert (await anext(events)).name == "PROCESS_STATE_STARTING"


async def test_a_log_function_that_raises_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    def log(severity: Severity, text: str) -> None:
        raise LookupError("no log")

    caplog.set_level(logging.INFO, "trio_supervisor")
    async with open_supervisor(log=log) as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for(State.RUNNING)
        await cat.stop()
    failures = [record for record in caplog.records if record.exc_info]
    assert len(failures) == 1
    assert "has failed" in failures[0].message
    assert any(message.startswith("spawned: 'cat'") for message in caplog.messages)


async def test_a_task_that_shields_itself_is_told_of_until_it_ends(
    autojump_clock: MockClock,
) -> None:
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    lines: list[str] = []
    began = trio.current_time()
    async with open_supervisor(log=log_lines(lines), stop_within=3) as supervisor:
        task = supervisor.add_task("stubborn", stubborn, startsecs=0, stopwaitsecs=3600)
        await task.wait_for(State.RUNNING)
    assert trio.current_time() - began == pytest.approx(100)
    told = [line for line in lines if line.startswith("CRIT task 'stubborn' was cancelled")]
    assert len(told) == 19  # every five seconds after the three


async def test_an_end_that_hangs_is_given_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a program whose log is on a dead disk."""

    async def hang(*arguments: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(operations, "shut_down", hang)
    began = trio.current_time()
    async with open_supervisor(stop_within=3):
        pass
    assert trio.current_time() - began == pytest.approx(8)


async def test_an_event_that_cannot_be_published_does_not_keep_the_block_open() -> None:
    def fail(*arguments: object) -> None:
        raise LookupError("a bug")

    async def use() -> None:
        async with open_supervisor() as supervisor:
            supervisor.add_program("cat", "/bin/cat", startsecs=0)
            supervisor._host.bus.observe(fail)

    with pytest.raises(LookupError):
        await use()


@pytest.mark.parametrize("option", ["none", "output_logger", "die_with_parent"])
async def test_a_block_that_is_cancelled_before_it_begins_ends(option: str) -> None:
    choices: dict[str, dict[str, Any]] = {
        "none": {},
        "output_logger": {"output_logger": logging.getLogger("x")},
        "die_with_parent": {"die_with_parent": True},
    }
    with trio.fail_after(60), trio.CancelScope() as scope:
        scope.cancel()
        async with open_supervisor(**choices[option]) as supervisor:
            cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    if option == "none":
        assert cat.pid == 0


async def test_a_second_interrupt_kills_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second Ctrl-C reaches the task that waits for the end."""
    shutdown = Supervisor.shutdown
    asked: list[float | None] = []

    async def interrupted(supervisor: Supervisor, within: float | None = None) -> None:
        asked.append(within)
        if len(asked) == 1:
            supervisor.request_shutdown()
            raise KeyboardInterrupt
        await shutdown(supervisor, within)

    monkeypatch.setattr(Supervisor, "shutdown", interrupted)
    script = "trap '' TERM; echo; while :; do sleep 1; done"
    deaf: list[Process] = []

    async def use() -> None:
        async with open_supervisor() as supervisor:
            process = supervisor.add_program(
                "deaf", ["/bin/sh", "-c", script], startsecs=0, stopwaitsecs=3600, autostart=False
            )
            deaf.append(process)
            with process.output() as output:
                await process.start()
                await anext(output)

    with pytest.raises(KeyboardInterrupt):
        await use()
    assert (asked, deaf[0].state) == ([None, 0], State.STOPPED)
