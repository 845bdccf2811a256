"""Chains and fans of hundreds of processes: in the right order, in the time of the longest path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.dependent import DependentStage, single
from tests.kit.fakes import FakeChild
from trio_supervisor.core.config.depends_on import OnDependencyStop
from trio_supervisor.core.errors import WaitsInVain

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_supervisor.core.config.model import GroupConfig

COUNT = 300
NAMES = [f"p{n:03}" for n in range(COUNT)]
#: For what takes the time of several passes.
SOME = NAMES[:100]
#: Seconds that a child takes to end after its signal.
LAST_WORDS = 1


def die_later(child: FakeChild, number: int) -> None:
    async def die() -> None:
        await trio.sleep(LAST_WORDS)
        child.die(signal=number)

    trio.lowlevel.spawn_system_task(die)


def chain(
    names: list[str] = NAMES,
    on_stop: OnDependencyStop = OnDependencyStop.KEEP,
    *,
    autostart: bool = True,
) -> list[GroupConfig]:
    """The first needs the second, and so on: started in their order nothing would work."""
    needs = [*names[1:], ""]
    return [
        single(name, need, on_stop=on_stop, autostart=autostart, startretries=0)
        for name, need in zip(names, needs, strict=True)
    ]


def fan() -> list[GroupConfig]:
    return [*(single(name, "hub", startsecs=1) for name in NAMES), single("hub", startsecs=1)]


def stage_of(groups: list[GroupConfig]) -> DependentStage:
    stage = DependentStage(*groups)

    def prepare(child: FakeChild) -> None:
        child.on_signal = die_later

    stage.launcher.prepare = prepare
    return stage


@pytest.mark.behaviour("policies.md#the-order-of-starting", "policies.md#the-order-of-stopping")
@pytest.mark.parametrize(
    ("groups", "order", "depth"),
    [(chain(), NAMES[::-1], COUNT), (fan(), ["hub", *NAMES], 2)],
    ids=["chain", "fan"],
)
async def test_the_longest_path_decides_how_long_it_takes(
    groups: list[GroupConfig], order: list[str], depth: int, autojump_clock: MockClock
) -> None:
    stage = stage_of(groups)
    async with stage.running():
        began = trio.current_time()
        await stage[order[-1]].wait_for("RUNNING")
        # Other tasks let each process spawn in turn, for which no virtual time passes.
        assert trio.current_time() - began == pytest.approx(depth, abs=0.5)
        started = stage.moves("RUNNING")
        assert started[0] == order[0]
        assert sorted(started) == sorted(order)
        if depth == COUNT:
            assert started == order
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(depth * LAST_WORDS, abs=0.5)
    stopped = stage.moves("STOPPED")
    assert stopped[-1] == order[0]
    assert sorted(stopped) == sorted(order)
    if depth == COUNT:
        assert stopped == order[::-1]


@pytest.mark.behaviour("policies.md#on_dependency_stop")
async def test_a_restart_at_the_end_of_a_long_chain_takes_all_along(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(chain(SOME, OnDependencyStop.RESTART))
    async with stage.running():
        await stage[SOME[0]].wait_for("RUNNING")
        await stage[SOME[-1]].restart()
        await stage[SOME[0]].wait_for("RUNNING")
        assert stage.moves("STOPPED") == SOME
        assert stage.moves("RUNNING") == SOME[::-1] * 2


@pytest.mark.behaviour("policies.md#dependencies-that-are-started-too")
async def test_one_request_starts_a_whole_chain_and_one_failure_is_told_to_its_end(
    autojump_clock: MockClock,
) -> None:
    stage = stage_of(chain(SOME, autostart=False))
    async with stage.running():
        await stage[SOME[0]].start()
        assert stage.moves("RUNNING") == SOME[::-1]
        await stage.supervisor.stop(stage.supervisor.processes())
        assert stage.moves("STOPPED") == SOME
        stage.launcher.prepare = lambda child: child.die(1)
        (result,) = await stage.supervisor.start_once([stage[SOME[0]]])
        assert str(result.error) == "SPAWN_ERROR: p000: waiting for p001, which is STOPPED"
        await stage[SOME[0]].stop()
        why = "waiting for p001, which waits for p099, which is FATAL"
        with pytest.raises(WaitsInVain, match=why):
            await stage[SOME[0]].start_once()
