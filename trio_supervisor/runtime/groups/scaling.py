"""The number of processes of a program, changed while its group runs.

A request takes effect at once: it adds the processes that are missing, and begins to stop those
that are too many, the last first. What follows is done by tasks of the group, so that a request
that is cancelled leaves nothing half done. The last request wins: a process that stops in order to
be removed is kept, and started again, if it is wanted again.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.programs import MOST_PROCESSES
from trio_supervisor.core.errors import (
    AlreadyStarted,
    BadName,
    ConfigError,
    RequestError,
    ShuttingDown,
    StillRunning,
)
from trio_supervisor.core.plan import stop_order
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.guards import run_logged
from trio_supervisor.runtime.process.process import Result, cleaned_up
from trio_supervisor.runtime.requester import cause_of_request, requested_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.config.model import GroupConfig, ProcessConfig, Program
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.process import Process


class Members(Protocol):
    """A group, as far as the number of its processes is concerned."""

    config: GroupConfig
    processes: dict[str, Process]

    @property
    def closed(self) -> bool:
        """Whether it was removed, or the supervisor has ended."""

    def add(self, config: ProcessConfig) -> Process:
        """Add a process; nothing is started."""

    def remove(self, name: str) -> None:
        """Remove a process that has ended. Raises BadName or StillRunning."""


class Scaling:
    """Adds and removes processes of one group, as many as were asked for."""

    def __init__(self, group: Members, host: Host, nursery: trio.Nursery | None) -> None:
        """``nursery``: that of the group's tasks; None until ``run_in``."""
        self._group = group
        self._host = host
        self._nursery = nursery
        self._leaving: set[Process] = set()
        """Processes that are to be removed when they have ended."""
        self._delayed: list[Callable[[], Awaitable[None]]] = []
        """What was begun before the group had a nursery."""
        self.unscaled = group.config
        """The group as its configuration has it."""

    def run_in(self, nursery: trio.Nursery) -> None:
        """Carry out what is asked for in this nursery."""
        self._nursery = nursery
        delayed, self._delayed = self._delayed, []
        for act in delayed:
            nursery.start_soon(act)

    async def scale(self, name: str | None, count: int) -> list[Result]:
        """Give a program so many processes; return when they are RUNNING and the others removed.

        ``name`` is that of the program; None: the only one of the group. Results are of the
        processes that were added or removed, in order of completion; ``error`` is what
        ``Process.start`` would raise. Raises TypeError or ValueError for the number, BadName,
        ConfigError for a program without numbers, and ShuttingDown.
        """
        if not isinstance(count, int) or isinstance(count, bool):
            raise TypeError(f"the number of processes is an integer, not {count!r}")
        if not 0 <= count <= MOST_PROCESSES:
            raise ValueError(f"{count} processes: give a number from 0 to {MOST_PROCESSES}")
        changes = self._begin(self._program(name), count)
        results: list[Result] = []

        async def collect(change: _Change) -> None:
            await change.done.wait()
            results.append(Result(change.process, change.error))

        async with trio.open_nursery() as nursery:
            for change in changes:
                nursery.start_soon(collect, change)
        return results

    def _program(self, name: str | None) -> Program:
        group = self._group.config
        if self._group.closed:
            raise BadName(group.name)
        if not self._host.accepting:
            raise ShuttingDown
        if not group.programs:
            text = f"{group.name} cannot be scaled: it has processes without numbers"
            raise ConfigError(text, hint="add it with add_programs or add_tasks")
        programs = {program.name: program for program in group.programs}
        if name is None and len(programs) > 1:
            hint = f"write {group.name}:{min(programs)}"
            raise ConfigError(f"{group.name} has programs {', '.join(programs)}", hint=hint)
        found = min(programs) if name is None else name
        if found not in programs:
            raise BadName(f"{group.name}:{found}")
        return programs[found]

    def _begin(self, program: Program, count: int) -> list[_Change]:
        """Begin everything that leads to so many processes. Raises ConfigError, having done
        nothing."""
        wanted = replace(program, count=count)
        configs = {config.name: config for config in wanted.processes()}
        known = {config.name for config in program.processes()}
        members = self._group.processes
        surplus = [p for name, p in members.items() if name in known and name not in configs]
        group = self._group.config
        programs = (wanted if each.name == wanted.name else each for each in group.programs)
        self._group.config = replace(group, programs=tuple(programs))
        with requested_by(self._note(program, count)):
            changes = [self._leave(process) for process in stop_order(surplus)]
            for name, config in configs.items():
                process = members.get(name)
                if process is None:
                    changes.append(self._carry_out(self._group.add(config), _start))
                elif process in self._leaving:
                    self._leaving.discard(process)
                    changes.append(self._carry_out(process, _start))
        return changes

    def _note(self, program: Program, count: int) -> Cause:
        """Record the request; return it as the cause of what follows."""
        cause = Cause(CauseKind.CONFIGURATION, cause_of_request().who)
        if program.count == count:
            return cause
        name = full_name(program.name, self._group.config.name)
        return self._host.journal.scaled(cause, name, program.count, count)

    def _leave(self, process: Process) -> _Change:
        """Begin to remove a process."""
        self._leaving.add(process)
        _stop(process)  # here, because tasks run in any order
        return self._carry_out(process, self._remove)

    async def _remove(self, process: Process) -> None:
        """Remove a process when it has ended, unless it is wanted again meanwhile."""
        while process in self._leaving and not process.removed:
            _stop(process)  # somebody may have started it
            await process.ended()
            await cleaned_up(process)
            if process in self._leaving and not process.removed:
                with contextlib.suppress(StillRunning):
                    self._group.remove(process.name)
                    self._host.journal.memory.remove(process.full_name)
        self._leaving.discard(process)

    def _carry_out(self, process: Process, act: Callable[[Process], Awaitable[None]]) -> _Change:
        change = _Change(process, self._host)
        run = partial(run_logged, partial(change.run, act), f"scaling of {process}", self._host.log)
        if self._nursery is None:
            self._delayed.append(run)
        else:
            self._nursery.start_soon(run)
        return change


class _Change:
    """What is done with one process, and how that has ended."""

    def __init__(self, process: Process, host: Host) -> None:
        self.process = process
        self.error: RequestError | None = None
        self.done = trio.Event()
        self._cause = cause_of_request()
        self._host = host

    async def run(self, act: Callable[[Process], Awaitable[None]]) -> None:
        try:
            with requested_by(self._cause):
                await act(self.process)
        except RequestError as error:
            self.error = error
        except trio.Cancelled:  # the group is closed
            gone = BadName(self.process.full_name)
            self.error = gone if self._host.accepting else ShuttingDown()
            raise
        finally:
            self.done.set()


def _stop(process: Process) -> None:
    with contextlib.suppress(RequestError):  # it does not run, or cannot be signalled: in the log
        process.request_stop()


async def _start(process: Process) -> None:
    with contextlib.suppress(AlreadyStarted):
        await process.start()
