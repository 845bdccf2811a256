"""Random interleavings of everything that can happen to a process with options that wait.

It has hooks, a stop command, a sequence of stop signals, a readiness check, health checks, a limit
of restarts, ``kill_mode``, or is a job, in all combinations. Its commands hang, fail or succeed,
and it leaves processes behind, as the steps say.
"""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.kit.fakes import Recorder, die_of_it
from tests.kit.running import running
from tests.runtime.process.test_lifecycle_machine import PATIENCE, Play
from trio_supervisor.core.config.model import Autorestart, Health, OnUnhealthy, Readiness
from trio_supervisor.core.config.probes import TcpProbe
from trio_supervisor.core.config.restarting import RestartLimit, RestartOptions
from trio_supervisor.core.config.stopping import KillMode, SignalStep, Stopping
from trio_supervisor.core.events import ProcessState
from trio_supervisor.core.process.member import Member
from trio_supervisor.core.process.next_step import next_step
from trio_supervisor.core.process.states import MOVES, State
from trio_supervisor.runtime.inspect.describe import reason
from trio_supervisor.runtime.probes.attempt import Prober
from trio_supervisor.runtime.spawn import sweep
from trio_supervisor.runtime.spawn.tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.fakes import FakeChild
    from trio_supervisor.core.config.probes import Probe
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.process.process import Process

PROBE = TcpProbe(1)
SEQUENCE = (SignalStep(signal.SIGQUIT, 3), SignalStep(signal.SIGINT))
AT_REST = (State.STOPPED, State.EXITED, State.FATAL, State.BACKOFF)


def is_main(child: FakeChild) -> bool:
    return child.spec.command.argv[0] != "/bin/echo"


async def at_once(look: Callable[[], list[Member]]) -> list[Member]:
    """Look without a thread, for which the virtual clock would not wait."""
    await trio.lowlevel.checkpoint()
    return look()


class BusyPlay(Play):
    """A play with commands beside the child, and with answers of checks."""

    answer: str | None = ""

    def __init__(self, recorder: Recorder, process: Process, nursery: trio.Nursery) -> None:
        super().__init__(recorder, process, nursery)
        self._pids = itertools.count(10_000)
        self.offspring: dict[Member, int] = {}
        """What children have started, with the pid of the child."""

    def offspring_of(self, pid: int) -> list[Member]:
        return [member for member, parent in self.offspring.items() if parent == pid]

    def signal_offspring(self, member: Member, number: int, told: Callable[[], object]) -> None:
        told()
        if number == signal.SIGKILL or self.manner is die_of_it:
            self.offspring.pop(member, None)

    @property
    def alive(self) -> list[FakeChild]:
        return [child for child in super().alive if is_main(child)]

    @property
    def commands(self) -> list[FakeChild]:
        return [child for child in super().alive if not is_main(child)]

    async def attempt(self, within: float) -> str:
        if self.answer is None:
            await trio.sleep(within)
            return "no answer"
        await trio.lowlevel.checkpoint()
        return self.answer

    async def step(self, what: str, number: int) -> None:
        if what == "answer":
            self.answer = ("", "refused", None)[number % 3]
        elif what == "command":
            for child in self.commands:
                child.die(number % 2)
        elif what == "refresh":
            self.request(self.process.refresh)
        elif what == "fork":
            for child in self.alive:
                self.offspring[Member(next(self._pids), number)] = child.pid
        is_ours = what in ("answer", "command", "refresh", "fork")
        await super().step("wait" if is_ours else what, 0 if is_ours else number)

    def check(self) -> None:
        process, record, alive = self.process, self.process.record, self.alive
        assert len(alive) <= 1
        assert len(self.commands) <= 2  # that of its life, and refresh_command
        if alive:
            assert process.pid == alive[0].pid
        if process.state in (State.RUNNING, State.UNKNOWN):
            assert alive
        if process.state in AT_REST:
            assert (alive, process.pid) == ([], 0)
        if process.state is State.STOPPING:  # or its post_stop is at work
            assert alive or process.driver.is_dead
        if process.config.stopping.kill_mode is not KillMode.PROCESS:
            # Nothing outlives a stop, nor meets the next child.
            assert {*self.offspring.values()} <= {child.pid for child in alive} or (
                process.state is not State.STOPPED and not alive
            )
        if process.config.readiness.condition is not None and process.state is State.RUNNING:
            assert record.probes is not None
            assert record.probes.is_ready
        reason(process)
        next_step(process.config, record)
        moves = [e for e in self.recorder.events if isinstance(e, ProcessState)]
        states = [State[e.name.removeprefix("PROCESS_STATE_")] for e in moves]
        before = [State.STOPPED, *states]
        assert [event.from_state for event in moves] == before[:-1]
        assert process.state is before[-1]
        assert all(new in MOVES[old] for old, new in zip(before, states, strict=False))
        assert not any("internal error" in line for line in self.recorder.lines)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "stop", "restart", "exit", "kill", "fail", "gate", "manner", "wait", "wait",
             "wait", "answer", "command", "command", "command", "refresh", "hold", "shut down",
             "fork", "fork"]
        ),
        st.integers(0, 40),
    ),
    max_size=25,
)  # fmt: skip
HOOKS = st.fixed_dictionaries(
    {
        name: st.sampled_from([None, f"/bin/echo {name}"])
        for name in ("command", "pre_start", "post_stop", "refresh_command")
    },
)


@pytest.mark.behaviour(
    "policies.md#pre_start",
    "policies.md#post_stop",
    "policies.md#stop_command",
    "policies.md#stop_sequence",
    "policies.md#refresh",
    "policies.md#kill_mode",
    "policies.md#one-shot-programs",
    "policies.md#a-new-start-after-fatal",
)
@settings(max_examples=150)
@given(
    steps=STEPS,
    hooks=HOOKS,
    has_sequence=st.booleans(),
    kill_mode=st.sampled_from(KillMode),
    startsecs=st.integers(0, 2),
    startretries=st.integers(0, 1),
    is_job=st.booleans(),
    is_awaited=st.booleans(),
    is_checked=st.booleans(),
    is_limited=st.booleans(),
    on_fatal=st.sampled_from([None, 5.0]),
    essential=st.booleans(),
)
def test_whatever_happens_the_invariants_hold(
    steps: list[tuple[str, int]],
    hooks: dict[str, str | None],
    has_sequence: bool,
    kill_mode: KillMode,
    startsecs: int,
    startretries: int,
    is_job: bool,
    is_awaited: bool,
    is_checked: bool,
    is_limited: bool,
    on_fatal: float | None,
    essential: bool,
) -> None:
    async def play(patch: pytest.MonkeyPatch) -> None:
        recorder = Recorder()
        ended: list[ProcessRecord] = []
        recorder.host.ended_unasked = lambda config, name, record: ended.append(record)
        sequence = SEQUENCE if has_sequence else ()
        stopping = Stopping(sequence, hook_timeout=4, kill_mode=kill_mode, **hooks)  # type: ignore[arg-type]  # drawn
        limit = RestartLimit(2, 60.0) if is_limited else None
        health = Health(PROBE, 2.0, 1.0, 2, OnUnhealthy.RESTART, None)
        group, process = recorder.process(
            autorestart=Autorestart.NEVER if is_job else Autorestart.UNEXPECTED,
            startsecs=0 if is_job else startsecs,
            startretries=startretries,
            stopwaitsecs=5,
            oneshot=is_job,
            essential=essential and on_fatal is None,
            stopping=stopping,
            readiness=Readiness(PROBE if is_awaited and not is_job else None, 4.0),
            health=health if is_checked and not is_job else Health(),
            restarting=RestartOptions(restart_limit=limit, on_fatal=on_fatal),
        )
        async with trio.open_nursery() as nursery, running(group, recorder.host):
            stage = BusyPlay(recorder, process, nursery)

            async def attempt(self: Prober, probe: Probe, within: float) -> str:
                return await stage.attempt(within)

            def members(self: ProcessTree, *, main_lives: bool) -> list[Member]:
                return stage.offspring_of(self._main)

            patch.setattr(Prober, "attempt", attempt)
            patch.setattr(ProcessTree, "members", members)
            patch.setattr(sweep, "signal_member", stage.signal_offspring)
            patch.setattr(sweep, "in_thread_if_possible", at_once)
            for what, number in steps:
                await stage.step(what, number)
                if ended:
                    assert ended.pop().due == float("inf")
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
