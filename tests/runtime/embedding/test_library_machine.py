"""Whatever several tasks ask for, in whatever order: it ends, in time, and nothing is left.

Most examples have fake children and a virtual clock, so that hours pass in no time; a few have real
programs.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import hypothesis.strategies as st
import pytest
import trio
from trio.testing import MockClock

from tests.kit.daemon import alive
from tests.kit.fakes import FakeChild, FakeLauncher, ignore_all_but_kill
from trio_supervisor import (
    ConfigError,
    ProcessFailed,
    ProgramOptions,
    RequestError,
    StateUnreachable,
    Supervisor,
    open_supervisor,
)
from trio_supervisor.runtime import supervisor as module
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.supervisor import KILL_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ("a", "b", "c")
STOP_WITHIN = 5.0
OPERATIONS = (
    *("add", "add_essential", "add_dependent", "add_several", "add_task", "scale"),
    *("start", "start_all", "stop", "restart", "restart_all", "remove", "job"),
    *("wait_for", "wait", "changed", "signal", "output", "events", "stdin", "shutdown"),
)
MANNERS = ("good", "deaf", "crash", "short")


@dataclass(frozen=True)
class Step:
    operation: str
    name: str
    manner: str
    pause: float
    """Seconds before it."""
    patience: float
    """Seconds after which it is cancelled."""


def steps(draw: Any) -> Step:
    return Step(
        draw(st.sampled_from(OPERATIONS)),
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(MANNERS)),
        draw(st.sampled_from([0.0, 0.0, 0.5, 3.0])),
        draw(st.sampled_from([0.0, 0.2, 2.0, 60.0])),
    )


STEPS = st.composite(steps)()
LISTS = st.lists(st.lists(STEPS, min_size=1, max_size=8), min_size=1, max_size=4)
REAL = {
    "good": "exec sleep 3600",
    "deaf": "trap '' TERM; while :; do sleep 0.1; done",
    "crash": "exit 3",
    "short": "exit 0",
}


#: What a process that depends on another one does when that has ended.
WHEN_STOPPED = {"good": "keep", "deaf": "stop", "crash": "restart", "short": "restart"}


async def work(manner: str) -> None:
    """A task. A deaf one goes on for a while after it was cancelled."""
    if manner == "crash":
        raise OSError("no disk")
    if manner == "short":
        return
    try:
        await trio.sleep_forever()
    finally:
        if manner == "deaf":
            with trio.CancelScope(shield=True):
                await trio.sleep(0.3)


def add(supervisor: Supervisor, step: Step) -> None:
    words = ["/bin/sh", "-c", REAL[step.manner]]
    options: ProgramOptions = {"startsecs": 1, "startretries": 1, "stopwaitsecs": 2}
    other = NAMES[NAMES.index(step.name) - 1]
    match step.operation:
        case "add":
            supervisor.add_program(step.name, words, **options)
        case "add_essential":
            options["essential"] = True
            supervisor.add_program(step.name, words, **options)
        case "add_dependent":
            options["depends_on"] = other if step.manner == "deaf" else f"{other}?"
            options["on_dependency_stop"] = WHEN_STOPPED[step.manner]
            supervisor.add_program(step.name, words, **options)
        case "add_several":
            supervisor.add_programs(step.name, words, 2, **options)
        case "add_task":
            essential = step.patience == 60
            supervisor.add_task(
                step.name, work, step.manner, startsecs=0, stopwaitsecs=1, essential=essential
            )


async def perform(supervisor: Supervisor, step: Step) -> None:
    """Ask for one thing. Everything that it may raise is told in docs/library.md."""
    words = ["/bin/sh", "-c", REAL[step.manner]]
    if step.operation.startswith("add"):
        add(supervisor, step)
    elif step.operation == "scale":
        await supervisor.scale(step.name, MANNERS.index(step.manner))
    elif step.operation == "job":
        await supervisor.run_job(words, timeout=1, stopwaitsecs=2)
    elif step.operation == "start_all":
        await supervisor.start(supervisor.processes())
    elif step.operation == "restart_all":
        await supervisor.restart(supervisor.processes())
    elif step.operation == "remove":
        await supervisor.remove(step.name)
    elif step.operation == "events":
        async with supervisor.events("PROCESS_STATE", buffer_size=2) as events:
            await anext(events)
    elif step.operation == "shutdown":
        if step.manner == "deaf":  # seldom: nothing happens after it
            await supervisor.shutdown(within=1)
    else:
        await perform_on_process(supervisor, step)


async def perform_on_process(supervisor: Supervisor, step: Step) -> None:
    members = list(supervisor.group(step.name))
    if not members:  # scaled to none
        return
    process = members[-1]
    match step.operation:
        case "start":
            await process.start(wait=step.manner != "short")
        case "stop":
            await process.stop()
        case "restart":
            await process.restart()
        case "wait_for":
            await process.wait_for("RUNNING", "BACKOFF")
        case "wait":
            await process.wait()
        case "changed":
            await process.changed()
        case "signal":
            process.signal("KILL")
        case "stdin":
            await process.write_stdin(b"x" * 200_000)
        case "output":
            with process.output(overflow="block", buffer_bytes=10) as output:
                await anext(output)


EXPECTED = (ConfigError, RequestError, StateUnreachable, ProcessFailed, StopAsyncIteration)


async def act(supervisor: Supervisor, wanted: Sequence[Step]) -> None:
    for step in wanted:
        await trio.sleep(step.pause)
        with trio.move_on_after(step.patience), contextlib.suppress(*EXPECTED):
            await perform(supervisor, step)


async def live(lists: Sequence[Sequence[Step]], length: float) -> None:
    """Let the tasks act; leave the block after ``length`` seconds, whatever they do then."""
    left_at = math.inf
    async with trio.open_nursery() as nursery:
        with contextlib.suppress(ProcessFailed):  # of an essential one, which ends the block
            async with open_supervisor(
                stop_within=STOP_WITHIN, log=lambda *line: None
            ) as supervisor:
                for name in NAMES[:2]:
                    supervisor.add_program(
                        name, ["/bin/sh", "-c", REAL["good"]], startsecs=0, stopwaitsecs=2
                    )
                for wanted in lists:
                    nursery.start_soon(act, supervisor, wanted)
                try:
                    await trio.sleep(length)
                finally:
                    left_at = trio.current_time()
        took = trio.current_time() - left_at
        assert took <= STOP_WITHIN + 2 * KILL_PATIENCE
    assert all(process.pid == 0 for process in supervisor.processes())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Launcher(FakeLauncher):
    """Makes children that behave as the command says."""

    def __init__(self, **options: object) -> None:
        super().__init__()

    async def __call__(self, spec: Any) -> FakeChild:
        script = spec.command.argv[-1]
        if script == REAL["short"] and len(self.children) % 5 == 4:
            self.failures = [SpawnError("no memory")]
        child = await super().__call__(spec)
        if script == REAL["deaf"]:
            child.on_signal = ignore_all_but_kill
        elif script == REAL["crash"]:
            child.die(3)
        elif script == REAL["short"]:
            child.die(0)
        return child


async def call(function: Callable[..., object], *arguments: object) -> object:
    await trio.lowlevel.checkpoint()
    return function(*arguments)


@hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(LISTS, st.sampled_from([0.0, 1.0, 7.0]))
def test_whatever_is_asked_for_ends_in_time_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, lists: list[list[Step]], length: float
) -> None:
    launchers: list[Launcher] = []

    def make(**options: object) -> Launcher:
        launchers.append(Launcher(**options))
        return launchers[-1]

    async def main() -> None:
        tasks = trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(10_000):  # of the virtual clock
            await live(lists, length)
        assert trio.lowlevel.current_statistics().tasks_living == tasks

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(module, "ProcessLauncher", make)
        patch.setattr(module, "in_thread_if_possible", call)  # the clock would jump meanwhile
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert descriptors() == before
    assert not any(child.alive for launcher in launchers for child in launcher.children)


def random_step(chance: random.Random) -> Step:
    return Step(
        chance.choice(OPERATIONS[:-1]),
        chance.choice(NAMES),
        chance.choice(MANNERS),
        chance.choice([0.0, 0.0, 0.05]),
        chance.choice([0.0, 0.05, 0.5]),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_the_same_with_real_programs(seed: int) -> None:
    chance = random.Random(seed)
    lists = [[random_step(chance) for _ in range(15)] for _ in range(4)]
    tasks = trio.lowlevel.current_statistics().tasks_living
    before, others = descriptors(), children()
    await live(lists, 1.0)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert descriptors() <= before + 1  # the fork server's, once for the whole program
    assert not [pid for pid in children() if alive(pid) and pid not in others]


def children() -> list[int]:
    """The children of all threads of this program, but for the fork server."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        found += map(int, path.read_text().split())
    return [pid for pid in found if b"fork_server" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
