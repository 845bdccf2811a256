"""A supervisor with fake children whose programs depend on each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, FakeLauncher, RecordingBus, log_lines, program
from trio_supervisor.core.config.depends_on import (
    Dependencies,
    OnDependencyStop,
    parse_dependencies,
)
from trio_supervisor.core.config.model import Config, GroupConfig, ProcessConfig
from trio_supervisor.core.events import Event, ProcessState
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.process.process import Process


def process(
    name: str,
    needs: str = "",
    on_stop: OnDependencyStop = OnDependencyStop.KEEP,
    **options: object,
) -> ProcessConfig:
    """A process with ``depends_on = needs``."""
    if options.get("oneshot"):
        options.setdefault("startsecs", 0)
    dependencies = Dependencies(parse_dependencies(needs), on_stop)
    return program(name, dependencies=dependencies, **options)


def single(
    name: str,
    needs: str = "",
    priority: int = 999,
    on_stop: OnDependencyStop = OnDependencyStop.KEEP,
    **options: object,
) -> GroupConfig:
    """A program that is a group of its own."""
    only = process(name, needs, on_stop, priority=priority, **options)
    return GroupConfig(name, (only,), priority)


class DependentStage:
    """The supervisor, its children, and all that it says."""

    def __init__(self, *groups: GroupConfig, reload: Callable[[], Config] | None = None) -> None:
        self.launcher = FakeLauncher()
        self.events: list[Event] = []
        self.lines: list[str] = []
        log = log_lines(self.lines)
        self.supervisor = Supervisor(
            Config(groups=groups),
            log=log,
            environment={"PATH": "/bin:/usr/bin"},
            reload=reload,
            bus=RecordingBus(self.events, log),
            launch=self.launcher,
            wall_clock=lambda: 1_700_000_000.0,
        )

    def __getitem__(self, name: str) -> Process:
        return self.supervisor.process(name)

    def child(self, name: str) -> FakeChild:
        """The living child of a process."""
        (child,) = (c for c in self.launcher.children if c.alive and c.pid == self[name].pid)
        return child

    def states(self) -> dict[str, str]:
        """The name of the state of each process."""
        return {p.full_name: p.state.name for p in self.supervisor.processes()}

    def moves(self, *states: str) -> list[str]:
        """The processes that have come to one of these states, in order; all without states."""
        return [
            f"{event.process} {event.name.removeprefix('PROCESS_STATE_')}"
            if len(states) != 1
            else event.process
            for event in self.events
            if isinstance(event, ProcessState)
            if not states or event.name.removeprefix("PROCESS_STATE_") in states
        ]

    def state(self, name: str) -> str:
        """The name of the state of one process."""
        return self[name].state.name

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the supervisor; the virtual clock must be set by the test."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.supervisor.run)
            await wait_all_tasks_blocked()
            try:
                yield
            finally:
                self.supervisor.request_shutdown()
            assert not any("internal error" in line for line in self.lines), self.lines
