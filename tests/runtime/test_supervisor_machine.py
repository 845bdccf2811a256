"""Random interleavings of everything that can be asked of a supervisor.

Requests for processes and groups, changes of the file, rereads, restarts and a shutdown, while
children die as they like; after each step the invariants are checked. Children are fakes, the
clock is virtual. What one process does with a child that cannot be signalled is in
``test_process_machine.py``.
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

from tests.kit.fakes import (
    FakeChild,
    FakeLauncher,
    RecordingBus,
    die_of_it,
    ignore_all_but_kill,
    log_lines,
    program,
)
from trio_supervisor.core.config.model import Autorestart, Config, GroupConfig
from trio_supervisor.core.errors import ConfigError, RequestError
from trio_supervisor.core.events import Event, ProcessGroupAdded, ProcessState
from trio_supervisor.core.process.states import MOVES, State
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process

#: Virtual seconds in which every request must have ended, whatever the children do.
PATIENCE = 300
MEMBERS = {"a": ("a",), "b": ("b",), "g": ("p", "q")}
ALIVE = (State.STARTING, State.RUNNING, State.STOPPING)


def group(name: str, variant: int) -> GroupConfig:
    processes = tuple(
        program(
            member,
            startsecs=variant % 2,
            startretries=variant,
            stopwaitsecs=3,
            autorestart=list(Autorestart)[variant % 3],
            autostart=variant != 2,
        )
        for member in MEMBERS[name]
    )
    return GroupConfig(name=name, processes=processes, priority=variant)


class World:
    """The daemon's incarnations, the file they read, and those who ask."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.launcher = FakeLauncher()
        self.launcher.prepare = self._prepare
        self.manner: Callable[[FakeChild, int], None] = die_of_it
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.file: dict[str, int] = {"a": 0, "g": 1}
        self.broken = False
        self.requests = 0
        self.over = trio.Event()
        self.supervisor = self._incarnation(self._read())
        self.remembered = self.processes

    async def live(self) -> None:
        """What the daemon does (cli/daemon_run.py), without what is around it."""
        while True:
            await self.supervisor.run()
            assert not self.alive
            if self.supervisor.successor is None:
                self.over.set()
                return
            self.supervisor = self._incarnation(self.supervisor.successor)

    @property
    def alive(self) -> list[FakeChild]:
        return [child for child in self.launcher.children if child.alive]

    @property
    def processes(self) -> list[Process]:
        return self.supervisor.processes()

    def request(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask without waiting here for the answer; a refusal is one."""

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
        await getattr(self, f"_{what}")(number)
        await wait_all_tasks_blocked()
        self.check()

    def check(self) -> None:
        assert not any("internal error" in line for line in self.lines)
        # Who is alive belongs to a process that says so, and to one only.
        owners = {process.pid: process for process in self.processes if process.pid}
        assert sorted(child.pid for child in self.alive) == sorted(owners)
        for process in self.processes:
            assert (process.pid != 0) <= (process.state in ALIVE)
            if process.state in (State.RUNNING, State.STOPPING):
                assert process.pid in owners
        # Nothing lost and nothing doubled: each event begins where the one before ended.
        states: dict[tuple[str, str], State] = {}
        for event in self.events:
            if isinstance(event, ProcessGroupAdded):
                for member in MEMBERS[event.group]:
                    states[event.group, member] = State.STOPPED
            elif isinstance(event, ProcessState):
                name = event.group, event.process
                assert event.from_state is states[name]
                states[name] = State[event.name.removeprefix("PROCESS_STATE_")]
                assert states[name] in MOVES[event.from_state]
        for process in self.processes:
            assert states[process.group, process.name] is process.state

    async def end(self) -> None:
        """Every request ends and so does the daemon, once nobody is deaf and time passes."""
        await self.step("manner", 0)
        if self.launcher.gate is not None:
            await self.step("gate", 0)
        self.supervisor.request_shutdown()
        with trio.fail_after(PATIENCE):
            await self.over.wait()
            while self.requests:
                await self.step("wait", 40)
        assert not self.alive

    def _prepare(self, child: FakeChild) -> None:
        child.on_signal = self.manner

    def _read(self) -> Config:
        if self.broken:
            raise ConfigError("broken")
        return Config(groups=tuple(group(*item) for item in self.file.items()))

    def _incarnation(self, config: Config) -> Supervisor:
        log = log_lines(self.lines)
        return Supervisor(
            config,
            log=log,
            environment={"PATH": "/bin:/usr/bin"},
            reload=self._read,
            bus=RecordingBus(self.events, log),
            launch=self.launcher,
            wall_clock=lambda: 1_700_000_000.0,
        )

    def _some(self, number: int) -> Process:
        """One that is there, or one that somebody remembers who has not heard of its removal."""
        self.remembered += [p for p in self.processes if p not in self.remembered]
        return self.remembered[-1 - number % len(self.remembered)]

    async def _start(self, number: int) -> None:
        self.request(partial(self._some(number).start, wait=bool(number % 2)))

    async def _stop(self, number: int) -> None:
        self.request(partial(self._some(number).stop, wait=bool(number % 2)))

    async def _again(self, number: int) -> None:
        self.request(self._some(number).restart)

    async def _signal(self, number: int) -> None:
        self.supervisor.signal(self.processes, signal.SIGUSR1)

    async def _start_all(self, number: int) -> None:
        self.request(partial(self.supervisor.start, self.processes))

    async def _stop_all(self, number: int) -> None:
        self.request(partial(self.supervisor.stop, self.processes, wait=bool(number % 2)))

    async def _exit(self, number: int) -> None:
        if self.alive:
            self.alive[number % len(self.alive)].die(number % 3)

    async def _kill(self, number: int) -> None:
        for child in self.alive:
            child.die(signal=signal.SIGKILL)

    async def _fail(self, number: int) -> None:
        self.launcher.failures.append(SpawnError("no"))

    async def _gate(self, number: int) -> None:
        """From now on a spawn takes time; from now on, none does."""
        if self.launcher.gate is None:
            self.launcher.gate = trio.Event()
        else:
            self.launcher.gate.set()
            self.launcher.gate = None

    async def _manner(self, number: int) -> None:
        self.manner = (die_of_it, ignore_all_but_kill)[number % 2]
        for child in self.alive:
            child.on_signal = self.manner

    async def _edit(self, number: int) -> None:
        name = "abg"[number % 3]
        if number % 4 and name in self.file:
            del self.file[name]
        else:
            self.file[name] = number % 5

    async def _spoil(self, number: int) -> None:
        self.broken = not self.broken

    async def _reread(self, number: int) -> None:
        self.request(self.supervisor.reread)

    async def _add(self, number: int) -> None:
        async def add() -> None:
            self.supervisor.add_group("abg"[number % 3])

        self.request(add)

    async def _remove(self, number: int) -> None:
        async def remove() -> None:
            name = "abg"[number % 3]
            if number % 2:
                await self.supervisor.remove(name)
            else:
                self.supervisor.remove_group(name)

        self.request(remove)

    async def _reload(self, number: int) -> None:
        self.request(self.supervisor.reload)

    async def _shutdown(self, number: int) -> None:
        self.supervisor.request_shutdown()

    async def _wait(self, number: int) -> None:
        await trio.sleep(number / 4)


OFTEN = ("start", "stop", "again", "exit", "kill", "wait", "edit", "reread", "add", "remove")
SELDOM = ("signal", "start_all", "stop_all", "fail", "gate", "manner", "spoil", "reload")
STEPS = st.lists(
    st.tuples(st.sampled_from([*OFTEN, *OFTEN, *SELDOM, "shutdown"]), st.integers(0, 40)),
    max_size=40,
)


async def at_once(function: Callable[..., object], *args: object, **options: object) -> object:
    """In place of a thread, for which a clock that jumps would not wait."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@pytest.mark.behaviour(
    "process.md#the-eight-states-and-their-codes",
    "process.md#sets-of-states",
    "process.md#legal-transitions",
    "process.md#one-event-for-each-transition",
    "process.md#a-stopped-process-stays-stopped",
    "process.md#shutdown",
    "process.md#restart-of-the-daemon",
)
@settings(max_examples=150)
@given(steps=STEPS)
def test_whatever_is_asked_the_invariants_hold(steps: list[tuple[str, int]]) -> None:

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            world = World(nursery)
            nursery.start_soon(world.live)
            for what, number in steps:
                await world.step(what, number)
            await world.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        trio.run(play, clock=MockClock(autojump_threshold=0))
