"""Options about restarts and retries, with the engine and a virtual clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import FakeChild, Recorder
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.restarting import Backoff, RestartLimit, RestartOptions
from trio_supervisor.core.errors import NotRunning, StateUnreachable
from trio_supervisor.core.journal.chain import what_starts
from trio_supervisor.core.journal.words import sentence
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.inspect.describe import reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

ALWAYS = Autorestart.ALWAYS


def fail(child: FakeChild) -> None:
    child.die(1)


def lives(*seconds: float, code: int = 3) -> Callable[[FakeChild], None]:
    """Children that live for so long, the last time for all further."""
    times = list(seconds)

    def prepare(child: FakeChild) -> None:
        lifetime = times.pop(0) if len(times) > 1 else times[0]

        async def live() -> None:
            await trio.sleep(lifetime)
            child.die(code)

        trio.lowlevel.spawn_system_task(live)

    return prepare


def options(**values: object) -> RestartOptions:
    return RestartOptions(**values)  # type: ignore[arg-type]  # test data


@pytest.mark.behaviour("policies.md#pauses-between-failed-starts")
async def test_failed_starts_are_tried_again_after_their_pauses(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail
    exponential = options(backoff=Backoff.EXPONENTIAL, backoff_initial=2, backoff_max=5)
    group, x = recorder.process(startretries=4, restarting=exponential)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 2, 6, 11, 16])


@pytest.mark.behaviour("policies.md#pauses-that-differ-by-chance")
async def test_pauses_differ_by_chance(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail
    chances = iter([0.0, 0.5, 1.0])
    recorder.host.chance = lambda: next(chances)
    same = options(backoff=Backoff.CONSTANT, backoff_initial=10, backoff_jitter=0.2)
    group, x = recorder.process(startretries=2, restarting=same)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 10, 21])


@pytest.mark.behaviour("policies.md#retries-without-end")
async def test_retries_without_end(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail
    for_ever = options(backoff=Backoff.CONSTANT, retry_forever=True)
    group, x = recorder.process(startretries=0, restarting=for_ever)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(999.5)
        assert (x.state, len(recorder.launcher.times)) == (State.BACKOFF, 1000)
        x.request_stop()
        assert x.state is State.STOPPED


@pytest.mark.behaviour("policies.md#pause-before-a-restart", "policies.md#deaths-in-a-row")
async def test_pauses_double_until_it_has_run_for_a_minute(autojump_clock: MockClock) -> None:
    """Lifetimes 2, 2, 2, 100 and 2 s; it is RUNNING from the first second on."""
    recorder = Recorder()
    recorder.launcher.prepare = lives(2, 2, 2, 100, 2, 2)
    doubling = options(restart_delay=10, backoff=Backoff.EXPONENTIAL)
    group, x = recorder.process(autorestart=ALWAYS, restarting=doubling)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(5)
        assert reason(x) == "ended by itself: exit status 3 (not expected); next start in 7 s"
        await trio.sleep(235)
        pauses = [2 + 10, 2 + 20, 2 + 40, 100 + 10, 2 + 20]
        times = [float(sum(pauses[:number])) for number in range(len(pauses) + 1)]
        assert recorder.launcher.times == pytest.approx(times)


@pytest.mark.behaviour("policies.md#limit-of-restarts")
async def test_a_crash_loop_ends_at_its_limit(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = lives(2)
    limited = options(restart_limit=RestartLimit(3, 60))
    group, x = recorder.process(restarting=limited)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert recorder.launcher.times == pytest.approx([0, 2, 4, 6])
        assert recorder.moves[-2:] == [
            "EXITED from_state:RUNNING expected:0 pid:1003",
            "FATAL from_state:EXITED",
        ]
        why = "restarted 3 times within 60 seconds"
        assert (x.spawn_error, x.pid, x.exit_status) == (why, 0, 3)
        assert reason(x) == f"gave up starting it: {why}; exit status 3"
        assert recorder.lines[-1] == f"INFO gave up: x entered FATAL state, {why}"
        entry = [*recorder.host.journal.memory.of("x")][-1]
        assert sentence(entry) == f"given up: {why}"
        assert what_starts(x.config, x.record, 0) == f"a request to start it; {why}"
        x.begin()  # by hand: all is forgotten
        await x.wait_for(State.RUNNING)
        await x.wait_for(State.FATAL)
        assert len(recorder.launcher.times) == 8


async def test_restarts_that_are_far_apart_reach_no_limit(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = lives(30)
    limited = options(restart_limit=RestartLimit(3, 60))
    group, x = recorder.process(restarting=limited)
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(3000)
        assert len(recorder.launcher.times) == 100
        assert x.record.restarting is not None
        assert len(x.record.restarting.restarts) == 3


@pytest.mark.behaviour("policies.md#ends-after-which-nothing-is-started-again")
async def test_an_end_that_prevents_a_restart(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    prevent = options(restart_prevent=(Exit(78),), retry_forever=True, on_fatal=5)
    group, x = recorder.process(autorestart=ALWAYS, restarting=prevent)
    recorder.launcher.prepare = lives(2, code=78)
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.EXITED)
        await trio.sleep(3600)
        assert x.state is State.EXITED
        why = "ended by itself: exit status 78 (not expected)"
        assert reason(x) == f"{why}; not restarted after this (restart_prevent)"
        assert "exit status 78 is in restart_prevent" in what_starts(x.config, x.record, 0)
        recorder.launcher.prepare = lives(0.5, code=78)
        x.begin()
        await x.wait_for(State.FATAL)
        assert x.spawn_error == "exit status 78 is in restart_prevent"
        why = "INFO gave up: x entered FATAL state, exit status 78 is in restart_prevent"
        assert recorder.lines[-1] == why
        await trio.sleep(3600)
        assert (x.state, len(recorder.launcher.times)) == (State.FATAL, 2)


@pytest.mark.behaviour("policies.md#a-new-start-after-fatal")
async def test_a_new_start_after_fatal(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail
    group, x = recorder.process(startretries=1, restarting=options(on_fatal=300))
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(State.FATAL)
        assert reason(x).endswith("; next start in 300 s")
        await trio.sleep(302)
        assert recorder.launcher.times == pytest.approx([0, 1, 301, 302])
        recorder.launcher.prepare = lambda child: None
        await x.wait_for(State.RUNNING)  # no error: it can still come
        assert reason(x) == ""


@pytest.mark.behaviour("policies.md#stops-cancel-pending-starts")
@pytest.mark.parametrize("of_all", [False, True])
@pytest.mark.parametrize("state", [State.EXITED, State.FATAL])
async def test_a_stop_cancels_a_pending_start(
    state: State, autojump_clock: MockClock, *, of_all: bool
) -> None:
    recorder = Recorder()
    fatal = state is State.FATAL
    recorder.launcher.prepare = fail if fatal else lives(2)
    group, x = recorder.process(startretries=0, restarting=options(on_fatal=60, restart_delay=60))
    async with running(group, recorder.host):
        x.begin()
        await x.wait_for(state)
        if of_all:
            assert await operations.stop(group.processes.values()) == []
        else:
            with pytest.raises(NotRunning):
                await x.stop()
        await trio.sleep(3600)
        assert (x.state, len(recorder.launcher.times)) == (state, 1)
        assert "next start" not in reason(x)
        with pytest.raises(StateUnreachable):
            await x.wait_for(State.RUNNING)
        recorder.launcher.prepare = lambda child: None
        await x.start()


async def test_programs_without_such_options_count_nothing(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = lives(2)
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin()
        await trio.sleep(100)
        assert len(recorder.launcher.times) > 40
        assert x.record.restarting is None
