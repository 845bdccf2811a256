"""Random interleavings of everything that can happen to a process.

At most one child lives; RUNNING means that it is ours; at rest there is none; no event is lost or
doubled; every request ends. Many processes under one supervisor: ``test_supervisor_machine.py``.
Hypothesis chooses the steps; after each the invariants are checked. Children are fakes, the clock
is virtual, so hours pass in milliseconds.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, die_of_it, ignore_all_but_kill, refuse
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.events import ProcessState
from trio_supervisor.core.process.states import MOVES, SIGNALLABLE_STATES, State
from trio_supervisor.runtime.process.process import Process
from trio_supervisor.runtime.spawn.forking import SpawnError

#: Seconds in which every request must have ended, whatever the children do.
PATIENCE = 3600


class Play:
    """One process and everything a step may do to it."""

    def __init__(self, recorder: Recorder, process: Process, nursery: trio.Nursery) -> None:
        self.recorder = recorder
        self.process = process
        self.nursery = nursery
        self.requests = 0
        self.manner: Callable[[FakeChild, int], None] = die_of_it
        recorder.launcher.prepare = self._prepare

    def _prepare(self, child: FakeChild) -> None:
        child.on_signal = self.manner

    @property
    def alive(self) -> list[FakeChild]:
        return [child for child in self.recorder.launcher.children if child.alive]

    def request(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def asked() -> None:
            self.requests += 1
            try:
                await ask()
            except RequestError:
                pass
            finally:
                self.requests -= 1

        self.nursery.start_soon(asked)

    async def step(self, what: str, number: int) -> None:
        process = self.process
        if what == "start":
            self.request(lambda: process.start(wait=bool(number % 2)))
        elif what == "stop":
            self.request(lambda: process.stop(wait=bool(number % 2)))
        elif what == "restart":
            self.request(process.restart)
        elif what == "gate":  # from now on a spawn takes time; from now on, none does
            gate = self.recorder.launcher.gate
            self.recorder.launcher.gate = trio.Event() if gate is None else None
            if gate is not None:
                gate.set()
        elif what == "signal":
            try:
                process.signal(signal.SIGUSR1)
            except RequestError:
                spawning = process.state is State.STARTING and not process.pid
                assert process.state not in SIGNALLABLE_STATES or spawning or self.manner is refuse
        elif what == "exit":
            for child in self.alive:
                child.die(number % 3)
        elif what == "kill":
            for child in self.alive:
                child.die(signal=signal.SIGKILL)
        elif what == "fail":
            self.recorder.launcher.failures.append(SpawnError("no"))
        elif what == "manner":
            self.manner = (die_of_it, ignore_all_but_kill, refuse)[number % 3]
            for child in self.alive:
                child.on_signal = self.manner
        elif what == "hold":
            self.recorder.host.accepting = False
            process.hold()
        elif what == "shut down":
            process.shut_down()
        else:
            await trio.sleep(number / 4)
        await wait_all_tasks_blocked()
        self.check()

    def check(self) -> None:
        process, alive = self.process, self.alive
        assert len(alive) <= 1
        assert [child.pid for child in alive] == ([process.pid] if process.pid else [])
        if process.state in (State.RUNNING, State.STOPPING, State.UNKNOWN):
            assert alive
        if process.state in (State.STOPPED, State.EXITED, State.FATAL, State.BACKOFF):
            assert alive == []
            assert process.pid == 0
        moves = [e for e in self.recorder.events if isinstance(e, ProcessState)]
        states = [State[e.name.removeprefix("PROCESS_STATE_")] for e in moves]
        for event, new in zip(moves, states, strict=True):
            assert new in MOVES[event.from_state]
        # Nothing lost and nothing doubled: each event begins where the one before ended.
        before = [State.STOPPED, *states]
        assert [event.from_state for event in moves] == before[:-1]
        assert process.state is before[-1]
        assert not any("internal error" in line for line in self.recorder.lines)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "stop", "restart", "signal", "exit", "kill", "fail", "gate", "manner", "wait",
             "wait", "hold", "shut down"]
        ),
        st.integers(0, 40),
    ),
    max_size=25,
)  # fmt: skip


@pytest.mark.behaviour("process.md#legal-transitions")
@settings(max_examples=200)
@given(
    steps=STEPS,
    autorestart=st.sampled_from(list(Autorestart)),
    startsecs=st.integers(0, 3),
    startretries=st.integers(0, 3),
)
def test_whatever_happens_the_invariants_hold(
    steps: list[tuple[str, int]], autorestart: Autorestart, startsecs: int, startretries: int
) -> None:
    async def play() -> None:
        recorder = Recorder()
        group, process = recorder.process(
            autorestart=autorestart,
            startsecs=startsecs,
            startretries=startretries,
            stopwaitsecs=5,
        )
        async with trio.open_nursery() as nursery, running(group, recorder.host):
            stage = Play(recorder, process, nursery)
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

    trio.run(play, clock=MockClock(autojump_threshold=0))
