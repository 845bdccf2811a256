"""Random interleavings of everything that can happen to a process with readiness and health."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.kit.fakes import Recorder
from tests.kit.running import running
from tests.runtime.process.test_lifecycle_machine import PATIENCE, Play
from trio_supervisor.core.config.model import Autorestart, Health, OnUnhealthy, Readiness
from trio_supervisor.core.config.probes import TcpProbe
from trio_supervisor.core.config.restarting import RestartLimit, RestartOptions
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.probes.attempt import Prober

if TYPE_CHECKING:
    from trio_supervisor.core.config.probes import Probe

PROBE = TcpProbe(1)


class ProbedPlay(Play):
    """A play in which probes are answered as the steps say, or not at all."""

    answer: str | None = ""

    async def attempt(self, probe: Probe, within: float) -> str:
        if self.answer is None:
            await trio.sleep(within)
            return "no answer"
        await trio.lowlevel.checkpoint()
        return self.answer

    async def step(self, what: str, number: int) -> None:
        if what == "answer":
            self.answer = ("", "refused", None)[number % 3]
        await super().step("wait" if what == "answer" else what, number)

    def check(self) -> None:
        super().check()
        process, record = self.process, self.process.record
        if process.state is State.RUNNING:
            assert record.probes is not None
            assert record.probes.is_ready
            assert not record.probes.failure
        if record.restart_cause is not None:
            assert process.state in (State.RUNNING, State.STOPPING, State.STOPPED, State.EXITED,
                                     State.FATAL, State.UNKNOWN)  # fmt: skip


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "stop", "restart", "exit", "kill", "fail", "gate", "manner", "wait", "wait",
             "wait", "answer", "answer", "answer", "hold", "shut down"]
        ),
        st.integers(0, 40),
    ),
    max_size=25,
)  # fmt: skip


@pytest.mark.behaviour(
    "policies.md#running-means-ready-and-alive-for-startsecs",
    "policies.md#restart-for-ill-health",
)
@settings(max_examples=150)
@given(
    steps=STEPS,
    autorestart=st.sampled_from(list(Autorestart)),
    startsecs=st.integers(0, 2),
    startretries=st.integers(0, 2),
    is_awaited=st.booleans(),
    on_unhealthy=st.sampled_from(list(OnUnhealthy)),
    dump_signal=st.sampled_from([None, signal.SIGUSR1]),
    is_limited=st.booleans(),
)
def test_whatever_happens_the_invariants_hold(
    steps: list[tuple[str, int]],
    autorestart: Autorestart,
    startsecs: int,
    startretries: int,
    is_awaited: bool,
    on_unhealthy: OnUnhealthy,
    dump_signal: int | None,
    is_limited: bool,
) -> None:
    async def play(patch: pytest.MonkeyPatch) -> None:
        recorder = Recorder()
        limit = RestartOptions(restart_limit=RestartLimit(2, 60.0))
        group, process = recorder.process(
            autorestart=autorestart,
            startsecs=startsecs,
            startretries=startretries,
            stopwaitsecs=5,
            readiness=Readiness(PROBE if is_awaited else None, 4.0),
            health=Health(PROBE, 2.0, 1.0, 2, on_unhealthy, dump_signal),
            restarting=limit if is_limited else RestartOptions(),
        )
        async with trio.open_nursery() as nursery, running(group, recorder.host):
            stage = ProbedPlay(recorder, process, nursery)

            async def attempt(self: Prober, probe: Probe, within: float) -> str:
                return await stage.attempt(probe, within)

            patch.setattr(Prober, "attempt", attempt)
            for what, number in steps:
                await stage.step(what, number)
            # Every request ends, once children can be killed again and time passes.
            await stage.step("manner", 0)
            if recorder.launcher.gate is not None:
                await stage.step("gate", 0)
            await stage.step("kill", 0)
            await stage.step("hold", 0)
            with trio.fail_after(PATIENCE):
                while stage.requests:
                    await stage.step("kill", 0)
                    await stage.step("wait", 4)
            nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        trio.run(play, patch, clock=MockClock(autojump_threshold=0))
