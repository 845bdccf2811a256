"""The ordered stop of everything within a time, with fake children and a virtual clock."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

from tests.kit.fakes import FakeChild, ignore_all_but_kill
from tests.runtime.test_supervisor import Stage, group, supervised
from trio_supervisor.core.config.depends_on import Dependencies, Dependency
from trio_supervisor.core.config.model import DaemonConfig, GroupConfig
from trio_supervisor.core.config.stopping import SignalStep, Stopping
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable


def ignore_everything(child: FakeChild, number: int) -> None:
    """A child that the kernel does not let go of."""


class Times:
    """When each child was sent which signal, from the beginning of the shutdown."""

    def __init__(self) -> None:
        self.began = 0.0
        self.sent: dict[str, list[str]] = {}

    def watch(self, stage: Stage, **lives: float) -> None:
        """All ignore TERM, but those that end so many seconds after it."""
        self.began = trio.current_time()
        for child in stage.launcher.children:
            name = child.spec.label
            self.sent[name] = []
            child.on_signal = self._reaction(name, lives.get(name))

    def _reaction(self, name: str, seconds: float | None) -> Callable[[FakeChild, int], None]:
        def react(child: FakeChild, number: int) -> None:
            after = trio.current_time() - self.began
            self.sent[name].append(f"{signal.Signals(number).name} {after:.1f}")
            if number == signal.SIGKILL:
                child.die(signal=number)
            elif seconds is not None:
                trio.lowlevel.spawn_system_task(end, child)

        async def end(child: FakeChild) -> None:
            await trio.sleep(seconds or 0)
            child.die(0)

        return react


def timed(seconds: float) -> DaemonConfig:
    return DaemonConfig(stop_timeout=seconds)


def three(**options: Any) -> tuple[GroupConfig, ...]:
    """They stop in the order c, b, a."""
    return tuple(group(name, startsecs=0, **options) for name in "abc")


async def shut_down(supervisor: Supervisor, stage: Stage) -> float:
    """Shut down; return the seconds that it took."""
    began = trio.current_time()
    supervisor.request_shutdown()
    await stage.finished.wait()
    return trio.current_time() - began


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_programs_that_would_take_too_long_get_equal_shares(
    autojump_clock: MockClock,
) -> None:
    async with supervised(*three(stopwaitsecs=10), daemon=timed(9.5)) as stage:
        times = Times()
        times.watch(stage)
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9)
        assert times.sent == {
            "c": ["SIGTERM 0.0", "SIGKILL 3.0"],
            "b": ["SIGTERM 3.0", "SIGKILL 6.0"],
            "a": ["SIGTERM 6.0", "SIGKILL 9.0"],
        }


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_what_a_turn_leaves_is_for_those_that_follow(autojump_clock: MockClock) -> None:
    async with supervised(*three(stopwaitsecs=10), daemon=timed(9.5)) as stage:
        times = Times()
        times.watch(stage, c=1)
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9)
        assert times.sent["c"] == ["SIGTERM 0.0"]
        assert times.sent["b"] == ["SIGTERM 1.0", "SIGKILL 6.0"]


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_nothing_is_cut_if_there_is_time_for_all(autojump_clock: MockClock) -> None:
    async with supervised(*three(stopwaitsecs=2), daemon=timed(60)) as stage:
        times = Times()
        times.watch(stage, c=0.5)
        assert await shut_down(stage.supervisor, stage) == pytest.approx(4.5)
        assert times.sent == {
            "c": ["SIGTERM 0.0"],
            "b": ["SIGTERM 0.5", "SIGKILL 2.5"],
            "a": ["SIGTERM 2.5", "SIGKILL 4.5"],
        }


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_what_the_kernel_holds_is_let_go(autojump_clock: MockClock) -> None:
    async with supervised(*three(stopwaitsecs=10), daemon=timed(9.5)) as stage:
        times = Times()
        times.watch(stage)
        stage.child("c").on_signal = ignore_everything
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9.5)
        assert times.sent["b"] == ["SIGTERM 3.2", "SIGKILL 6.0"]
        assert times.sent["a"][0] == "SIGTERM 6.2"
        assert "CRIT c does not end although it was killed" in stage.lines


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_a_stop_that_is_under_way_is_cut_too(autojump_clock: MockClock) -> None:
    async with supervised(*three(stopwaitsecs=3600), daemon=timed(9.5)) as stage:
        times = Times()
        times.watch(stage)
        await stage.supervisor.process("a").stop(wait=False)
        await trio.sleep(100)
        assert stage.supervisor.process("a").state is State.STOPPING
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9)


async def test_a_time_that_is_over_at_once(autojump_clock: MockClock) -> None:
    async with supervised(*three(stopwaitsecs=10), daemon=timed(0)) as stage:
        Times().watch(stage)
        assert await shut_down(stage.supervisor, stage) <= 0.1


async def test_nothing_to_stop(autojump_clock: MockClock) -> None:
    async with supervised(*three(autostart=False), daemon=timed(9.5)) as stage:
        assert await shut_down(stage.supervisor, stage) == 0


async def test_without_the_option_nothing_is_cut(autojump_clock: MockClock) -> None:
    async with supervised(group("a", startsecs=0, stopwaitsecs=3600)) as stage:
        stage.child("a").on_signal = ignore_all_but_kill
        assert await shut_down(stage.supervisor, stage) == pytest.approx(3600)


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_steps_for_which_there_is_no_time_are_left_out(autojump_clock: MockClock) -> None:
    steps = Stopping(
        sequence=(
            SignalStep(signal.SIGINT, 1),
            SignalStep(signal.SIGQUIT, 60),
            SignalStep(signal.SIGTERM, 60),
        )
    )
    async with supervised(group("a", startsecs=0, stopping=steps), daemon=timed(9.5)) as stage:
        times = Times()
        times.watch(stage)
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9)
        assert times.sent["a"] == ["SIGINT 0.0", "SIGQUIT 1.0", "SIGKILL 9.0"]


@pytest.mark.behaviour("policies.md#stop_timeout")
async def test_programs_that_depend_on_each_other_have_their_turns(
    autojump_clock: MockClock,
) -> None:
    """``a`` needs ``b`` and ``c``, and ``b`` needs ``c``."""
    needs = {"a": ("b", "c"), "b": ("c",), "c": ()}
    groups = (
        group(
            name,
            startsecs=0,
            stopwaitsecs=10,
            dependencies=Dependencies(tuple(Dependency(other) for other in others)),
        )
        for name, others in needs.items()
    )
    async with supervised(*groups, daemon=timed(9.5)) as stage:
        await stage.supervisor.process("a").wait_for("RUNNING")
        times = Times()
        times.watch(stage)
        assert await shut_down(stage.supervisor, stage) == pytest.approx(9)
        assert times.sent == {
            "a": ["SIGTERM 0.0", "SIGKILL 3.0"],
            "b": ["SIGTERM 3.0", "SIGKILL 6.0"],
            "c": ["SIGTERM 6.0", "SIGKILL 9.0"],
        }
