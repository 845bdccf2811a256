"""Random graphs, and random interleavings of everything that can happen to their processes.

After each step: nobody waits for what has come, nobody was spawned before what it needs, nobody
holds up a stop without a child. At the end everything stops and every request has its answer.
Children are fakes, the clock is virtual.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.dependent import DependentStage, process
from tests.kit.fakes import FakeChild, die_of_it, ignore_all_but_kill
from trio_supervisor.core.config.depends_on import Condition, OnDependencyStop
from trio_supervisor.core.config.model import Autorestart, GroupConfig
from trio_supervisor.core.config.restarting import Backoff, RestartLimit, RestartOptions
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.events import ProcessState
from trio_supervisor.core.process.record import Intent
from trio_supervisor.core.process.start import Starts
from trio_supervisor.core.process.states import MOVES, STOPPED_STATES, State
from trio_supervisor.runtime.dependencies.coordinator import Coordinator
from trio_supervisor.runtime.spawn.forking import SpawnError

if TYPE_CHECKING:
    from trio_supervisor.core.process.start import Wait
    from trio_supervisor.runtime.process.process import Process

#: Virtual seconds in which every request must have ended, whatever the children do.
PATIENCE = 1000
#: Processes of each group; a process may need those before it.
GROUPS = (("a", ("a",)), ("b", ("b",)), ("g", ("p", "q")), ("c", ("c",)), ("d", ("d",)))
RESTARTS = (
    RestartOptions(),
    RestartOptions(restart_limit=RestartLimit(1, 60.0), restart_delay=2.0),
    RestartOptions(on_fatal=5.0),
    RestartOptions(backoff=Backoff.EXPONENTIAL, retry_forever=True),
)
NAMES = ("a", "b", "g:p", "g:q", "c", "d")


@st.composite
def options(draw: st.DrawFn) -> dict[str, str]:
    """Of each process: what it needs, then its options, as numbers."""
    found = {}
    for own, name in enumerate(NAMES):
        before = [*NAMES[:own], *(["g"] if own > 3 else [])]
        needed = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if own else []
        needs = ",".join(each + draw(st.sampled_from(("", "", "?"))) for each in needed)
        found[name] = f"{needs} {draw(st.integers(0, 648 * len(RESTARTS) * 4 - 1))}"
    return found


def configuration(written: dict[str, str]) -> tuple[GroupConfig, ...]:
    groups = []
    for group, members in GROUPS:
        made = []
        for member in members:
            needs, _, text = written[member if member == group else f"{group}:{member}"].partition(
                " "
            )
            rest, priority = divmod(int(text), 3)
            rest, on_stop = divmod(rest, 3)
            rest, autorestart = divmod(rest, 3)
            rest, startsecs = divmod(rest, 3)
            rest, autostart = divmod(rest, 2)
            rest, oneshot = divmod(rest, 2)
            rest, essential = divmod(rest, 2)
            startretries, restarting = divmod(rest, len(RESTARTS))
            if oneshot:
                startsecs = 0
            made.append(
                process(
                    member,
                    needs,
                    list(OnDependencyStop)[on_stop],
                    autostart=bool(autostart),
                    autorestart=list(Autorestart)[autorestart],
                    startsecs=startsecs,
                    startretries=startretries,
                    stopwaitsecs=3,
                    oneshot=bool(oneshot),
                    essential=bool(essential),
                    restarting=RESTARTS[restarting],
                )
            )
        groups.append(GroupConfig(group, tuple(made), priority=priority))
    return tuple(groups)


class DependentWorld:
    """The supervisor, and those who ask."""

    def __init__(self, nursery: trio.Nursery, groups: tuple[GroupConfig, ...]) -> None:
        self.nursery = nursery
        self.stage = DependentStage(*sorted(groups, key=lambda group: group.priority))
        self.supervisor = self.stage.supervisor
        self.launcher = self.stage.launcher
        self.launcher.prepare = self._prepare
        self.manner: Callable[[FakeChild, int], None] = die_of_it
        self.remembered = self.processes
        self.requests = 0
        self.over = trio.Event()

    async def live(self) -> None:
        await self.supervisor.run()
        self.over.set()

    @property
    def processes(self) -> list[Process]:
        return self.supervisor.processes()

    @property
    def alive(self) -> list[FakeChild]:
        return [child for child in self.launcher.children if child.alive]

    def _prepare(self, child: FakeChild) -> None:
        child.on_signal = self.manner

    def some(self, number: int) -> Process:
        """One that is there, or one that was removed and is remembered."""
        self.remembered += [p for p in self.processes if p not in self.remembered]
        return self.remembered[-1 - number % len(self.remembered)]

    def request(self, ask: Callable[[], Awaitable[object]]) -> None:
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
        one, wait, supervisor = self.some(number), bool(number % 2), self.supervisor
        several = self.processes[number % 5 :]
        if what == "start":
            self.request(partial((one.start, one.start_once)[number % 3 == 0], wait=wait))
        elif what == "no deps":
            self.request(partial(one.start_without_dependencies, wait=wait))
        elif what == "stop":
            self.request(partial(one.stop, wait=wait))
        elif what == "restart":
            self.request(one.restart)
        elif what == "start several":
            self.request(partial(supervisor.start_once, several, wait=wait))
        elif what == "stop several":
            self.request(partial(supervisor.stop, several, wait=wait))
        elif what == "restart several":
            self.request(partial(supervisor.restart_once, several))
        elif what == "exit":
            if self.alive:
                self.alive[number % len(self.alive)].die(number % 3)
        elif what == "kill":
            for child in self.alive:
                child.die(signal=signal.SIGKILL)
        elif what == "fail":
            self.launcher.failures.append(SpawnError("no"))
        elif what == "gate":
            gate, self.launcher.gate = self.launcher.gate, None
            if gate is None:
                self.launcher.gate = trio.Event()
            else:
                gate.set()
        elif what == "manner":
            self.manner = (die_of_it, ignore_all_but_kill)[number % 2]
            for child in self.alive:
                child.on_signal = self.manner
        elif what in ("add", "remove"):
            self.request(partial(self._change, what, GROUPS[number % len(GROUPS)][0]))
        elif what == "shutdown":
            supervisor.request_shutdown()
        else:
            await trio.sleep(number / 4)
        await wait_all_tasks_blocked()
        self.check()

    async def _change(self, what: str, group: str) -> None:
        if what == "add":
            self.supervisor.add_group(group)
        else:
            await self.supervisor.remove(group)

    def check(self) -> None:
        assert not any("internal error" in line for line in self.stage.lines), self.stage.lines
        owners = {p.pid: p for p in self.processes if p.pid}
        assert sorted(child.pid for child in self.alive) == sorted(owners)
        for one in self.processes:
            if one.waiting:
                assert one.pid == 0
                assert self.over.is_set() or not self._may_go(one), f"{one.name}: {one.waiting}"
            if one.state is State.RUNNING and one.stopping and not self._deaf(one):
                dependents = self._dependents(one)
                assert any(d.pid or d.stopping for d in dependents), f"{one.name} is held in vain"

    def _deaf(self, one: Process) -> bool:
        """Whether it is dead already, and only its end is not recorded."""
        return one.driver.is_dead

    def _needed(self, name: str) -> list[Process] | None:
        group, colon, member = name.partition(":")
        if group not in self.supervisor.groups:
            return None
        members = self.supervisor.groups[group].processes
        return [members[member]] if colon else list(members.values())

    def _dependents(self, one: Process) -> list[Process]:
        return [
            other
            for other in self.processes
            for need in other.config.dependencies.needs
            if one in (self._needed(need.name) or [])
        ]

    def _may_go(self, one: Process) -> bool:
        """Whether a waiting process should not wait, judged from the states alone."""
        for need in one.config.dependencies.needs:
            assert need.condition in (None, Condition.RUNNING)
            needed = self._needed(need.name)
            if needed is None:
                if not need.soft:
                    return False
                continue
            hopeless, met = False, True
            for other in needed:
                runs = other.state is State.RUNNING and other.record.intent is Intent.UP
                if other.config.oneshot:
                    runs = other.state is State.EXITED
                down = other.state in STOPPED_STATES and not other.is_due
                down = down and not other.pending_restarts and not runs
                vain = other.state is State.STARTING and other.attempt.waits_in_vain
                hopeless, met = hopeless or down or vain, met and runs
            if not met and not (need.soft and hopeless):
                return False
        return True

    def spawns(self, wait: Wait) -> None:
        """Called when a process is about to be spawned."""
        one = next(p for p in self.processes if p.key == wait.key)
        assert wait.starts is Starts.IGNORED or self._may_go(one)

    async def end(self) -> None:
        await self.step("manner", 0)
        if self.launcher.gate is not None:
            await self.step("gate", 0)
        moves = len(self.stage.events)
        self.supervisor.request_shutdown()
        with trio.fail_after(PATIENCE):
            await self.over.wait()
            while self.requests:
                await self.step("wait", 40)
        assert not self.alive
        for event in self.stage.events[moves:]:
            if isinstance(event, ProcessState):
                new = State[event.name.removeprefix("PROCESS_STATE_")]
                assert new in MOVES[event.from_state]


ACTIONS = (
    *("start", "stop", "restart", "exit", "wait", "start several", "stop several") * 2,
    *("restart several", "no deps", "kill", "fail", "gate", "manner", "add", "remove", "shutdown"),
)


async def at_once(function: Callable[..., object], *args: object, **options: object) -> object:
    """In place of a thread, for which a clock that jumps would not wait."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@settings(max_examples=150, deadline=None)
@given(
    written=options(),
    steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 40)), max_size=25),
)
@pytest.mark.behaviour(
    "policies.md#a-process-that-waits",
    "policies.md#soft-dependencies",
    "policies.md#the-order-of-stopping",
    "policies.md#on_dependency_stop",
)
def test_whatever_is_asked_the_dependencies_hold(
    written: dict[str, str], steps: list[tuple[str, int]]
) -> None:
    async def play() -> None:
        async with trio.open_nursery() as nursery:
            world = DependentWorld(nursery, configuration(written))
            may_start = Coordinator.may_start

            def watched(self: Coordinator, wait: Wait) -> bool:
                result = may_start(self, wait)
                if result:
                    world.spawns(wait)
                return result

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Coordinator, "may_start", watched)
                patch.setattr(trio.to_thread, "run_sync", at_once)
                nursery.start_soon(world.live)
                await wait_all_tasks_blocked()
                world.check()
                for what, number in steps:
                    await world.step(what, number)
                await world.end()

    trio.run(play, clock=MockClock(autojump_threshold=0))
