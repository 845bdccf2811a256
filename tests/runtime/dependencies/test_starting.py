"""Starts that wait for dependencies, and dependencies that are started with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.dependent import DependentStage, process, single
from trio_supervisor.core.config.model import Autorestart, Config, GroupConfig
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    CantReread,
    ConfigError,
    SpawnFailed,
    WaitsInVain,
)
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.info import process_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock


async def at_once(function: Callable[..., object], *args: object, **options: object) -> object:
    """In place of a thread, for which a clock that jumps would not wait."""
    return function(*args)


@pytest.mark.behaviour("policies.md#a-process-that-waits")
async def test_at_the_boot_each_waits_until_what_it_needs_is_running(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(
        single("web", "db, cache", priority=1),
        single("cache", priority=2),
        single("db", priority=3, startsecs=5),
    )
    async with stage.running():
        assert stage.states() == {"web": "STARTING", "cache": "STARTING", "db": "STARTING"}
        web = stage["web"]
        assert (web.pid, web.waiting) == (0, "waiting for db (running), cache (running)")
        info = process_info(web, 0.0)
        assert (info["description"], info["pid"], info["statename"]) == (
            web.waiting,
            0,
            "STARTING",
        )
        assert web.uptime == 0
        await stage["cache"].wait_for("RUNNING")
        await wait_all_tasks_blocked()
        assert web.waiting == "waiting for db (running)"
        await web.wait_for("RUNNING")
        assert web.waiting == ""
        assert stage.moves("RUNNING") == ["cache", "db", "web"]
        assert web.history.failed_starts == 0
        assert trio.current_time() >= 6
        assert web.uptime < 2


@pytest.mark.behaviour("policies.md#a-process-that-waits")
async def test_a_process_that_waits_is_stopped_at_once_and_is_not_started_twice(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("db", startsecs=1000), single("web", "db"))
    async with stage.running():
        web = stage["web"]
        with pytest.raises(AlreadyStarted):
            await web.start_once()
        await web.start(wait=False)  # joins the start that is under way
        await web.stop()
        assert web.state is State.STOPPED
        assert "INFO stopped: web (before it had a child)" in stage.lines
        await stage["db"].wait_for("RUNNING")
        await wait_all_tasks_blocked()
        assert web.state is State.STOPPED
        assert len(stage.launcher.children) == 1


@pytest.mark.behaviour("policies.md#a-process-that-waits")
async def test_a_request_that_does_not_wait_returns_at_once(autojump_clock: MockClock) -> None:
    stage = DependentStage(
        single("db", startsecs=50, autostart=False), single("web", "db", autostart=False)
    )
    async with stage.running():
        await stage["web"].start_once(wait=False)
        assert stage["web"].waiting == "waiting for db (running)"
        attempt = stage["web"].attempt
        await stage["web"].stop()
        with pytest.raises(AbnormalTermination):
            await stage["web"].outcome(attempt)


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_a_request_starts_what_is_down_with_all_that_it_needs(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(
        single("web", "api", autostart=False),
        single("api", "db", autostart=False),
        single("db", autostart=False),
        single("soft", autostart=False),
        single("other", "soft?", autostart=False),
    )
    async with stage.running():
        assert set(stage.states().values()) == {"STOPPED"}
        await stage["web"].start()
        assert stage.moves("RUNNING") == ["db", "api", "web"]
        cause = stage["db"].record.intended_by
        assert cause is not None
        assert (cause.kind, cause.who) == (CauseKind.DEPENDENCY, "needed by api")
        assert stage["db"].history.requested_starts == 0
        await stage["other"].start()
        assert stage.state("soft") == "STOPPED"


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_automatic_restarts_and_retries_start_nobody_else(autojump_clock: MockClock) -> None:
    stage = DependentStage(
        single("db"), single("web", "db", autorestart=Autorestart.ALWAYS, startsecs=0)
    )
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["db"].stop()
        assert stage.state("web") == "RUNNING"
        stage.child("web").die(1)
        await trio.sleep(5)
        assert stage["web"].waiting == "waiting for db, which is STOPPED"
        assert stage.state("db") == "STOPPED"
        await stage["db"].start()
        await stage["web"].wait_for("RUNNING")


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_what_a_person_has_stopped_is_started_only_for_a_request_of_one_process(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("db"), single("web", "db"))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage["web"].stop()
        await stage["db"].stop()
        (result,) = await stage.supervisor.start_once([stage["web"]])
        assert isinstance(result.error, WaitsInVain)
        assert stage.state("db") == "STOPPED"
        with pytest.raises(AlreadyStarted):  # it waits; but now a person wants it
            await stage["web"].start_once()
        await stage["web"].wait_for("RUNNING")
        assert stage.state("db") == "RUNNING"


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_a_start_of_several_includes_their_dependencies_in_order(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("web", "db"), single("db"))
    async with stage.running():
        await stage["web"].wait_for("RUNNING")
        await stage.supervisor.stop(stage.supervisor.processes())
        results = await stage.supervisor.start_once([stage["web"], stage["db"]])
        assert [(r.process.name, r.error) for r in results] == [("db", None), ("web", None)]
        results = await stage.supervisor.restart_once([stage["web"], stage["db"]])
        assert [(r.process.name, r.error) for r in results] == [("db", None), ("web", None)]
        assert stage.moves("STOPPED") == ["web", "db", "web", "db"]


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_without_dependencies_a_start_waits_for_nobody_and_starts_nobody(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(
        single("db", autostart=False), single("web", "db", autostart=False, startretries=2)
    )
    async with stage.running():
        await stage["web"].start_once(wait=False)
        await wait_all_tasks_blocked()
        await stage["db"].stop()
        await wait_all_tasks_blocked()
        assert stage["web"].waiting == "waiting for db, which is STOPPED"
        await stage["web"].start_without_dependencies()
        assert (stage.state("web"), stage.state("db")) == ("RUNNING", "STOPPED")
        await stage["web"].stop()
        stage.launcher.prepare = lambda child: child.die(1)
        with pytest.raises(SpawnFailed):
            await stage["web"].start_without_dependencies()
        stage.launcher.prepare = lambda child: None
        await stage["web"].wait_for("RUNNING")  # the retry does not wait either
        assert stage.state("db") == "STOPPED"


@pytest.mark.behaviour("policies.md#a-dependency-that-cannot-come-up")
async def test_the_request_ends_with_the_reason_and_the_process_goes_on_waiting(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(
        single("disk", startretries=0, startsecs=5, autostart=False),
        single("db", "disk", autostart=False),
        single("web", "db", autostart=False),
    )
    stage.launcher.prepare = lambda child: child.die(1)
    async with stage.running():
        errors: list[SpawnFailed] = []

        async def ask() -> None:
            with pytest.raises(SpawnFailed) as caught:
                await stage["web"].start()
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with pytest.raises(WaitsInVain) as caught:
                await stage["web"].start_once()
            assert caught.value.number == 50
            assert caught.value.reason == "waiting for db, which waits for disk, which is FATAL"
        assert caught.value.reason in str(errors[0])
        assert stage["db"].waiting == "waiting for disk, which is FATAL"
        assert stage.state("web") == "STARTING"
        stage.launcher.prepare = lambda child: None
        await stage["disk"].start()
        await stage["web"].wait_for("RUNNING")


@pytest.mark.behaviour("policies.md#a-dependency-that-cannot-come-up")
async def test_a_restart_of_the_dependency_does_not_fail_who_waits(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("db", startsecs=10), single("web", "db", autostart=False))
    async with stage.running(), trio.open_nursery() as nursery:
        nursery.start_soon(stage["web"].start_once)
        await trio.sleep(5)
        await stage["db"].restart()
        await stage["web"].wait_for("RUNNING")


@pytest.mark.behaviour("policies.md#a-dependency-that-cannot-come-up")
async def test_a_removed_dependency_is_hopeless_until_it_is_there_again(
    autojump_clock: MockClock,
) -> None:
    groups = single("db", autostart=False), single("web", "db", autostart=False)
    stage = DependentStage(*groups)
    async with stage.running():
        stage.supervisor.remove_group("db")
        with pytest.raises(WaitsInVain, match="waiting for db, which does not exist"):
            await stage["web"].start_once()
        stage.supervisor.add_group("db")
        await stage["web"].wait_for("RUNNING")  # the request counts for what comes later


@pytest.mark.behaviour("policies.md#soft-dependencies")
async def test_a_soft_dependency_is_waited_for_only_while_it_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(
        single("a_web", "cache?, gone?, manual?"),
        single("cache", startsecs=5, startretries=0),
        single("manual", autostart=False),
    )
    async with stage.running():
        assert stage["a_web"].waiting == "waiting for cache (running)"
        stage.child("cache").die(1)
        await stage["a_web"].wait_for("RUNNING")
        assert stage.state("cache") == "FATAL"
        assert stage.state("manual") == "STOPPED"


@pytest.mark.behaviour("policies.md#one-shot-programs")
async def test_a_oneshot_is_done_when_it_has_succeeded(autojump_clock: MockClock) -> None:
    stage = DependentStage(
        single("migrate", oneshot=True, startretries=1), single("web", "migrate")
    )
    async with stage.running():
        await trio.sleep(100)
        assert stage["web"].waiting == "waiting for migrate (done)"
        assert stage.state("migrate") == "STARTING"
        stage.child("migrate").die(3)
        await stage["migrate"].wait_for("BACKOFF")
        assert "WARN exited: migrate (exit status 3; not expected)" in stage.lines
        await trio.sleep(10)
        stage.child("migrate").die(0)
        await stage["web"].wait_for("RUNNING")
        await trio.sleep(100)
        assert stage.state("migrate") == "EXITED"
        assert len(stage.launcher.children) == 3
        # It is done and not run again for a start, but its dependents wait for it when it runs.
        await stage["web"].restart()
        assert len(stage.launcher.children) == 4
        await stage["migrate"].start(wait=False)
        await stage["web"].stop()
        await stage["web"].start_once(wait=False)
        assert stage["web"].waiting == "waiting for migrate (done)"


@pytest.mark.behaviour("policies.md#one-shot-programs")
async def test_a_start_of_a_oneshot_returns_when_it_has_succeeded(
    autojump_clock: MockClock,
) -> None:
    stage = DependentStage(single("job", oneshot=True, autostart=False, startretries=0))
    async with stage.running(), trio.open_nursery() as nursery:
        nursery.start_soon(stage["job"].start)
        await trio.sleep(10)
        stage.child("job").die(0)
        await stage["job"].wait()
        stage.launcher.prepare = lambda child: child.die(7)
        with pytest.raises(SpawnFailed, match="job"):
            await stage["job"].start()
        assert stage.state("job") == "FATAL"


@pytest.mark.behaviour("policies.md#mistakes-in-dependencies")
async def test_a_reread_and_an_added_program_are_refused_for_their_dependencies(
    autojump_clock: MockClock,
) -> None:
    file = [single("db"), single("web", "own?")]
    stage = DependentStage(single("db"), reload=lambda: Config(groups=tuple(file)))
    supervisor = stage.supervisor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        async with stage.running():
            with pytest.raises(ConfigError, match="there is no program, group or process bd"):
                supervisor.add_program("own", "/bin/cat", depends_on="bd")
            supervisor.add_program("own", "/bin/cat", depends_on="db", autostart=False)
            await supervisor.reread()
            file[0] = single("db", "web")
            with pytest.raises(CantReread, match="makes a cycle: "):
                await supervisor.reread()
            assert [group.name for group in supervisor.candidates] == ["db", "web", "own"]


@pytest.mark.behaviour("policies.md#the-order-of-starting")
async def test_added_groups_are_named_in_the_order_of_their_dependencies(
    autojump_clock: MockClock,
) -> None:
    file = (single("a", "c"), single("b"), single("c", "d"), single("d"))
    stage = DependentStage(reload=lambda: Config(groups=file))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        async with stage.running():
            assert (await stage.supervisor.reread()).added == ("b", "d", "c", "a")
            await stage.supervisor.update()
            await stage["a"].wait_for("RUNNING")
            assert [name for name in stage.moves("RUNNING") if name != "b"] == ["d", "c", "a"]


@pytest.mark.behaviour("policies.md#a-process-that-waits")
async def test_all_processes_of_a_group_must_meet_the_condition(autojump_clock: MockClock) -> None:
    members = [process("p", startsecs=1), process("q", startsecs=9), process("r", "g2:x")]
    stage = DependentStage(
        GroupConfig("g", tuple(members)),
        GroupConfig("g2", (process("x"),)),
        GroupConfig("none", ()),
        single("web", "g, none"),
    )
    async with stage.running():
        for name in ("g:p", "g2:x", "g:r"):
            await stage[name].wait_for("RUNNING")
            await wait_all_tasks_blocked()
            assert stage["web"].waiting == "waiting for g (running)"
        await stage["web"].wait_for("RUNNING")


@pytest.mark.behaviour("policies.md#a-process-that-waits")
async def test_a_task_of_a_python_program_can_be_a_dependency_and_have_one(
    autojump_clock: MockClock,
) -> None:
    ready = trio.Event()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        await ready.wait()
        task_status.started()
        await trio.sleep_forever()

    stage = DependentStage()
    supervisor = stage.supervisor
    async with stage.running():
        supervisor.add_task("server", serve)
        user = supervisor.add_task("user", partial(trio.sleep, 1000), depends_on=["server"])
        await wait_all_tasks_blocked()
        assert user.waiting == "waiting for server (running)"
        ready.set()
        await user.wait_for("RUNNING")
