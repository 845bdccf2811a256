"""Waiting for a state that cannot come any more, and starts that join what is under way."""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, ignore_all_but_kill, program
from tests.kit.running import running
from trio_supervisor import Autorestart, State, open_supervisor
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    SpawnFailed,
    StateUnreachable,
)
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.spawn.forking import SpawnError

if TYPE_CHECKING:
    from collections.abc import Callable


def failing(times: float) -> Callable[[FakeChild], None]:
    """The first children die at once."""
    count = itertools.count()

    def prepare(child: FakeChild) -> None:
        if next(count) < times:
            child.die(3)

    return prepare


async def test_waiting_ends_when_the_program_is_given_up(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = failing(99)
    group, x = recorder.process(startsecs=1, startretries=1)
    async with running(group, recorder.host):
        x.begin()
        for _ in range(2):  # while it is tried, and afterwards
            with pytest.raises(StateUnreachable) as caught:
                await x.wait_for(State.RUNNING)
        assert caught.value.process == "x"
        assert caught.value.exit == x.history.last_exit
        assert caught.value.reason.startswith("gave up starting it: Exited too quickly")
        assert str(caught.value) == f"x cannot become RUNNING: {caught.value.reason}"
        await x.wait_for("FATAL", "RUNNING")


async def test_waiting_ends_when_the_process_has_ended_for_good(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=0, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.die(7)
        with pytest.raises(StateUnreachable, match="ended by itself: exit status 7") as caught:
            await x.wait_for(State.STOPPED, State.BACKOFF)
        assert caught.value.exit is not None
        assert caught.value.exit.code == 7


async def test_a_restart_that_is_due_is_waited_for(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=0)
    async with running(group, recorder.host):
        await x.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.wait_for, State.STOPPED)
            nursery.start_soon(x.wait_for, State.STARTING)
            await wait_all_tasks_blocked()
            await x.restart()


async def test_a_stop_ends_waiting_for_running(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=10)
    async with running(group, recorder.host):
        x.begin()

        async def wait() -> None:
            with pytest.raises(StateUnreachable, match="stopped on request"):
                await x.wait_for(State.RUNNING)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await x.stop()


@pytest.mark.parametrize("how", ["removed", "supervisor ended"])
async def test_nobody_waits_for_what_is_gone(autojump_clock: MockClock, how: str) -> None:
    why = "it was removed" if how == "removed" else "supervisor"
    async with trio.open_nursery() as nursery:
        async with open_supervisor() as supervisor:
            x = supervisor.add_program("x", "/bin/true", autostart=False)

            async def wait_for() -> None:
                with pytest.raises(StateUnreachable, match=why):
                    await x.wait_for(State.RUNNING)

            async def follow() -> None:
                while True:
                    await x.changed()

            async def changed() -> None:
                with pytest.raises(StateUnreachable, match=why):
                    await follow()

            nursery.start_soon(wait_for)
            nursery.start_soon(changed)
            await wait_all_tasks_blocked()
            if how == "removed":
                await supervisor.remove("x")
                await wait_all_tasks_blocked()
        with pytest.raises(StateUnreachable):
            await x.wait_for(State.RUNNING)


async def test_what_is_no_state_is_refused() -> None:
    _, x = Recorder().process()
    for wrong in (None, 20, object()):
        with pytest.raises(TypeError, match="not a state"):
            await x.wait_for(wrong)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ValueError, match="no such state: 'GONE'; there are STOPPED"):
        await x.wait_for("GONE")
    with pytest.raises(ValueError, match="no state"):
        await x.wait_for()


async def test_start_outlives_failed_tries(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = failing(2)
    group, x = recorder.process(startsecs=1, startretries=3)
    async with running(group, recorder.host):
        await x.start()
        assert (x.state, x.history.spawns) == (State.RUNNING, 3)


async def test_start_tells_why_the_program_was_given_up(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = failing(99)
    group, x = recorder.process(startsecs=1, startretries=1)
    async with running(group, recorder.host):
        with pytest.raises(SpawnFailed, match=r"SPAWN_ERROR: x: gave up starting it: .*status 3"):
            await x.start()
        assert x.state is State.FATAL
        with pytest.raises(SpawnFailed, match=r"^SPAWN_ERROR: x$"):
            await x.start_once()
        assert x.record.failures == 1


async def test_starts_join(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = failing(1)
    group, x = recorder.process(startsecs=1, startretries=3)
    async with running(group, recorder.host):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.start)
            await x.waiters.wait_for(State.STARTING)
            nursery.start_soon(x.start)
            await x.waiters.wait_for(State.BACKOFF)
            await x.start(wait=False)
            await x.start()
        assert x.history.spawns == 2
        with pytest.raises(AlreadyStarted):
            await x.start()


async def test_a_stop_ends_a_start_that_waits(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=10)
    async with running(group, recorder.host):

        async def start() -> None:
            with pytest.raises(AbnormalTermination, match="x: stopped on request"):
                await x.start()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await x.waiters.wait_for(State.STARTING)
            await wait_all_tasks_blocked()
            await x.stop()


async def test_restarts_and_stops_join(autojump_clock: MockClock) -> None:
    recorder = Recorder()

    def prepare(child: FakeChild) -> None:
        child.on_signal = ignore_all_but_kill

    recorder.launcher.prepare = prepare
    group, x = recorder.process(startsecs=1, stopwaitsecs=5)
    async with running(group, recorder.host):
        await x.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.restart)
            nursery.start_soon(x.restart)
        assert x.history.spawns == 2
        async with trio.open_nursery() as nursery:
            nursery.start_soon(x.stop)
            await x.waiters.wait_for(State.STOPPING)
            nursery.start_soon(x.stop)
        assert x.state is State.STOPPED


async def test_a_start_waits_for_a_stop_and_a_later_stop_calls_it_off(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()

    def prepare(child: FakeChild) -> None:
        child.on_signal = ignore_all_but_kill

    recorder.launcher.prepare = prepare
    group, x = recorder.process(startsecs=1, stopwaitsecs=5)
    async with running(group, recorder.host):
        await x.start()
        await x.stop(wait=False)
        await x.start()
        assert (x.state, x.history.spawns) == (State.RUNNING, 2)
        await x.stop(wait=False)
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                with pytest.raises(AbnormalTermination):
                    await x.start()

            nursery.start_soon(start)
            await wait_all_tasks_blocked()
            await x.stop()
        assert (x.state, x.history.spawns) == (State.STOPPED, 2)


async def test_starts_of_several_outlive_failed_tries_and_join(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group = recorder.group(*(program(name, startsecs=1, startretries=1) for name in "abc"))
    a, b, c = group.processes.values()
    async with running(group, recorder.host):
        for process in (a, b):
            await process.start()
        await b.stop(wait=False)
        recorder.launcher.prepare = failing(1)
        assert {(r.process, r.error) for r in await operations.start([a, b, c])} == {
            (b, None),
            (c, None),
        }
        recorder.launcher.prepare = failing(1)
        assert [r.error for r in await operations.restart([a])] == [None]
        recorder.launcher.prepare = failing(99)
        (result,) = await operations.restart([a])
        assert isinstance(result.error, SpawnFailed)
        assert "gave up starting it" in str(result.error)


async def test_wait_returns_how_it_has_ended(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=0, exitcodes=(0,))
    exits: list[Exit] = []

    async def wait() -> None:
        exits.append(await x.wait())

    async with running(group, recorder.host):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)  # not started yet
            await wait_all_tasks_blocked()
            await x.start()
            recorder.launcher.last.die(9)  # is restarted
            await x.wait_for("STARTING")
            await x.wait_for("RUNNING")
            await x.restart()
            await wait_all_tasks_blocked()
            assert exits == []
            recorder.launcher.last.die(0)
        assert exits == [Exit(0)]
        assert await x.wait() == Exit(0)
        await x.start()
        await x.stop()
        assert await x.wait() == Exit(None, signal.SIGTERM)


async def test_wait_fails_when_there_is_no_end_to_tell_of(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.failures = [SpawnError("no memory")] * 2
    group, x = recorder.process(startretries=1)
    async with running(group, recorder.host):
        x.begin()
        with pytest.raises(SpawnFailed, match="x: gave up starting it: no memory"):
            await x.wait()
        x.remove()
        await x.wait_for("FATAL")
    async with open_supervisor() as supervisor:
        never = supervisor.add_program("never", "/bin/true", autostart=False)
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(StateUnreachable, match="never has not ended: it was removed"):
                    await never.wait()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await supervisor.remove("never")


async def test_a_remove_joins_a_stop_and_another_remove(autojump_clock: MockClock) -> None:
    async def slow() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("t", slow, startsecs=0, stopwaitsecs=10)
        await task.wait_for(State.RUNNING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task.stop)
            await task.wait_for(State.STOPPING)
            nursery.start_soon(supervisor.remove, "t")
            nursery.start_soon(supervisor.remove, "t")
        assert supervisor.processes() == []


async def test_a_cancelled_start_goes_on_and_a_cancelled_stop_too(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group, x = recorder.process(startsecs=5)
    async with running(group, recorder.host):
        with trio.move_on_after(1):
            await x.start()
        await x.wait_for(State.RUNNING)
        with trio.CancelScope() as scope:
            scope.cancel()
            await x.stop()
        await x.wait_for(State.STOPPED)
