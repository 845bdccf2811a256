"""Stops in the order of the dependencies, and what a stop means for dependents."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.dependent import DependentStage, process, single
from tests.kit.fakes import FakeChild, ignore_all_but_kill
from trio_supervisor.core.config.depends_on import OnDependencyStop
from trio_supervisor.core.config.model import Autorestart, Config, GroupConfig
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.record import Intent
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.describe import reason

if TYPE_CHECKING:
    from trio.testing import MockClock

RESTART, STOP = OnDependencyStop.RESTART, OnDependencyStop.STOP


def dies_slowly(child: FakeChild, number: int) -> None:
    """Take a second to end."""
    trio.lowlevel.spawn_system_task(_die_later, child, number)


async def _die_later(child: FakeChild, number: int) -> None:
    await trio.sleep(1)
    child.die(signal=number)


def stage_of(*groups: GroupConfig) -> DependentStage:
    stage = DependentStage(*groups)

    def prepare(child: FakeChild) -> None:
        child.on_signal = dies_slowly

    stage.launcher.prepare = prepare
    return stage


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_shutdown_stops_each_when_its_dependents_have_ended(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("web", "db", priority=1), single("db", priority=2), single("log", priority=0)
    )
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        stage.supervisor.request_shutdown()
        await wait_all_tasks_blocked()
        assert stage.states() == {"log": "RUNNING", "web": "STOPPING", "db": "RUNNING"}
    assert stage.moves("STOPPING", "STOPPED") == [
        *("web STOPPING", "web STOPPED", "db STOPPING", "db STOPPED"),
        *("log STOPPING", "log STOPPED"),
    ]


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_shutdown_ends_who_waits_who_is_tried_again_and_who_is_being_stopped(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("db"),
        single("slow", startsecs=1000),
        single("waits", "slow"),
        single("web", "db", on_stop=RESTART),
        single("bad", "db", startsecs=5),
    )
    async with stage.running():
        await stage["bad"].wait_for("RUNNING")
        await stage["bad"].stop()
        stage["bad"].request_start()
        await stage["bad"].spawned()
        stage.child("bad").die(1)
        await stage["bad"].wait_for("BACKOFF")
        stage["db"].request_stop()
        await wait_all_tasks_blocked()
        assert stage["db"].state is State.RUNNING
        assert stage["db"].stopping
        assert stage["web"].state is State.STOPPING
        stage.supervisor.request_shutdown()
    assert stage.states() == {
        "bad": "FATAL", "db": "STOPPED", "slow": "STOPPED", "waits": "STOPPED", "web": "STOPPED",
    }  # fmt: skip
    assert stage["web"].history.restarts == 0


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_stop_of_several_keeps_the_order_also_if_nobody_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(single("web", "api"), single("api", "db"), single("db"), single("other", "db"))
    async with stage.running():
        for name in ("web", "other"):
            await stage[name].wait_for("RUNNING")
        some = [stage["db"], stage["web"], stage["api"]]
        results = await stage.supervisor.stop(some, wait=False)
        assert {r.process.name: r.error for r in results} == {"web": None, "api": None, "db": None}
        assert all(p.stopping for p in some)
        for each in some:
            await each.ended()
        assert stage.moves("STOPPING") == ["web", "api", "db"]
        assert trio.current_time() >= 3
        assert stage["other"].state is State.RUNNING  # a stop of its dependency is not its own


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_deaf_dependent_holds_up_its_dependency_only_until_it_is_killed(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("web", "db", stopwaitsecs=30), single("db"), single("x"))

    def prepare(child: FakeChild) -> None:
        child.on_signal = ignore_all_but_kill

    stage.launcher.prepare = prepare
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        began = trio.current_time()
        await stage.supervisor.stop(stage.supervisor.processes())
        assert trio.current_time() - began == pytest.approx(40)  # 30, then the 10 of db


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_held_process_that_ends_by_itself_is_stopped_and_not_restarted(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(single("web", "db"), single("db", autorestart=Autorestart.ALWAYS))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.supervisor.stop, stage.supervisor.processes())
            await wait_all_tasks_blocked()
            stage.child("db").die(0)
        await trio.sleep(100)
        assert stage.states() == {"db": "EXITED", "web": "STOPPED"}


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_dependents_are_kept_by_default(autojump_clock: MockClock) -> None:
    stage = stage_of(single("web", "db"), single("db"))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["db"].restart()
        assert stage.moves("STOPPED") == ["db"]


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_dependency_that_is_asked_to_stop_stops_after_its_dependents(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("web", "api", on_stop=STOP), single("api", "db", on_stop=STOP), single("db"),
        single("job", "db?", on_stop=RESTART),
    )  # fmt: skip
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["job"].wait_for("RUNNING")
        await stage["db"].stop()
        await wait_all_tasks_blocked()
        assert stage.moves("STOPPED") in (
            ["job", "web", "api", "db"],
            ["web", "job", "api", "db"],
        )
        web = stage["web"].record
        assert web.intent is Intent.DOWN
        assert web.intended_by is not None
        assert web.intended_by.kind is CauseKind.DEPENDENCY
        assert web.intended_by.who == "api is about to stop"
        # The soft dependency is not going to run, so its dependent is started again at once.
        await stage["job"].wait_for("RUNNING")
        await stage["db"].start()
        await trio.sleep(10)
        assert (stage["web"].state, stage["api"].state) == (State.STOPPED, State.STOPPED)


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_restart_takes_along_the_dependents_that_want_it(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("web", "api", on_stop=RESTART), single("api", "db", on_stop=RESTART), single("db")
    )
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["db"].restart()
        await stage["web"].wait_for("RUNNING")
        assert stage.moves("STOPPED") == ["web", "api", "db"]
        assert stage.moves("RUNNING") == ["db", "api", "web"] * 2
        assert stage["web"].history.automatic_restarts == 0


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_dependency_that_ends_by_itself_waits_for_nobody(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("web", "db", on_stop=RESTART), single("off", "db", on_stop=STOP), single("db")
    )
    async with stage.running():
        for name in ("web", "off"):
            await stage[name].wait_for("RUNNING")
        stage.child("db").die(1)
        await stage["db"].wait_for("EXITED")
        await wait_all_tasks_blocked()
        assert (stage["web"].state, stage["off"].state) == (State.STOPPING, State.STOPPING)
        await stage["web"].wait_for("RUNNING")
        assert stage["off"].state is State.STOPPED
        # A flapping dependency stops a dependent that waits for it no second time.
        assert stage.moves("STOPPED").count("web") == 1


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_stop_by_a_person_calls_the_restart_off(autojump_clock: MockClock) -> None:
    stage = stage_of(single("web", "db", on_stop=RESTART), single("db"))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage["db"].restart)
            await wait_all_tasks_blocked()
            await stage["web"].stop()
        await trio.sleep(100)
        assert stage.states() == {"db": "RUNNING", "web": "STOPPED"}


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_one_that_is_being_tried_again_is_stopped_or_waits(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(
        single("off", "db", on_stop=STOP, startsecs=5),
        single("web", "db", on_stop=RESTART, startsecs=5),
        single("db"),
    )
    async with stage.running():
        for name in ("off", "web"):
            await stage[name].wait_for("STARTING")
            while not stage[name].pid:
                await stage[name].changed()
            stage.child(name).die(1)
            await stage[name].wait_for("BACKOFF")
        await stage["db"].stop()
        assert stage["off"].state is State.STOPPED
        await trio.sleep(100)
        assert stage["web"].waiting == "waiting for db, which is STOPPED"


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_neither_a_shutdown_nor_an_update_is_an_outage(autojump_clock: MockClock) -> None:
    async def at_once(function: object, *args: object, **options: object) -> object:
        return function(*args)  # type: ignore[operator]  # a function

    web = single("web", "db", on_stop=RESTART)
    file = [single("db"), web]
    stage = DependentStage(*file, reload=lambda: Config(groups=tuple(file)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        async with stage.running():
            await stage["web"].wait_for("RUNNING")
            file[0] = single("db", startsecs=3)
            await stage.supervisor.update()
            await stage["db"].wait_for("RUNNING")
            assert stage.moves("STOPPED") == ["db"]
    assert stage.moves("STOPPED") == ["db", "web", "db"]


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_done_job_is_no_dependency_that_can_stop(autojump_clock: MockClock) -> None:
    stage = stage_of(single("web", "job", on_stop=STOP), single("job", oneshot=True))
    async with stage.running():
        await wait_all_tasks_blocked()
        stage.child("job").die(0)
        await stage["web"].wait_for("RUNNING")
        await stage["job"].start(wait=False)
        await trio.sleep(10)
        assert stage["web"].state is State.RUNNING


@pytest.mark.behaviour("policies.md#the-order-of-stopping")
async def test_a_stop_signal_that_cannot_be_sent_lets_the_others_go_on(
    autojump_clock: MockClock,
) -> None:
    def refuse(child: FakeChild, number: int) -> None:
        if number != signal.SIGKILL:
            raise PermissionError(1, "Operation not permitted")

    stage = DependentStage(
        GroupConfig("g", (process("web", "g:db", on_stop=RESTART), process("db")))
    )
    async with stage.running():
        await stage["g:web"].wait_for("RUNNING")
        stage.child("g:web").on_signal = refuse
        await stage["g:db"].stop()
        assert stage.states() == {"g:web": "UNKNOWN", "g:db": "STOPPED"}
        stage.launcher.close()


@pytest.mark.behaviour("policies.md#shown-stops")
async def test_a_stop_that_waits_for_dependents_names_them(autojump_clock: MockClock) -> None:
    stage = stage_of(single("web", "db", on_stop=STOP), single("db"))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["db"].stop(wait=False)
        assert reason(stage["db"]) == "is stopped when web has ended"
        await stage["db"].wait_for("STOPPING")
        assert reason(stage["db"]) == "is being stopped, KILL in 10 s"
