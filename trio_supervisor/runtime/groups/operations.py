"""Requests for several processes, and the steps of plans.

Each process carries out its own start or stop. This module keeps the order among them, which
``core/plan.py`` decides, and collects the results.
"""

from __future__ import annotations

import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import AlreadyStarted, NotRunning, RequestError
from trio_supervisor.core.plan import StepKind, stop_order
from trio_supervisor.core.process.start import Starts
from trio_supervisor.core.process.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    State,
)
from trio_supervisor.runtime.process.base import BaseProcess, Restart
from trio_supervisor.runtime.process.process import Result, cleaned_up, follow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.core.plan import Plan, PlanStep
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.process.state_machine import StartAttempt

#: Seconds that one spawn may take before the next in the start order begins: the order is kept on
#: a healthy machine, and an exec that hangs does not delay the others for longer.
SPAWN_TIMEOUT = 0.1
#: Starts that are begun before an earlier one has its child.
AHEAD = 8
#: Seconds a listener pool has to process its queued events before it is stopped.
DRAIN_TIMEOUT = 1
#: Seconds between two "waiting for x to die" lines.
DIE_REMINDER = 3


@dataclass(frozen=True, slots=True)
class StepResult:
    """Result of one step of a plan; ``error`` is None for success."""

    step: PlanStep
    error: RequestError | None = None


class Turns:
    """Begins starts one after the other, so that their children are made in this order.

    A few are begun ahead: while the child of one is made, the next is prepared.
    """

    def __init__(self) -> None:
        self._ahead: deque[Process] = deque()

    async def end(self, process: Process) -> None:
        """Return when the next start may begin after that of this process."""
        self._ahead.append(process)
        with trio.move_on_after(SPAWN_TIMEOUT):
            await process.spawned(ahead=True)
            if len(self._ahead) > AHEAD:
                await self._ahead.popleft().spawned()


class FollowUp(Protocol):
    """Waits for the outcome of a start."""

    async def __call__(self, process: Process, attempt: StartAttempt, /, *, wait: bool) -> None:
        """Return when it is known. Raises RequestError if the start has failed."""


class Groups(Protocol):
    """The active groups, to which the steps of a plan are applied."""

    def is_active(self, name: str) -> bool:
        """Whether there is a group of that name."""

    def is_current(self, name: str) -> bool:
        """Whether the group is active with its current configuration.

        Another update may have replaced it meanwhile.
        """

    def add_group(self, name: str) -> None:
        """Activate the configured group of that name. Raises RequestError."""

    async def remove(self, name: str) -> None:
        """Stop and remove a group. Raises RequestError."""

    def require_running(self) -> None:
        """Raise ShuttingDown during a shutdown or restart."""


def listed(processes: Iterable[Process]) -> list[Process]:
    """Return the processes as a list. Raises TypeError for what are none."""
    if isinstance(processes, (str, BaseProcess)):
        raise TypeError(f"give a list of processes, not {processes!r}")
    found = list(processes)
    for process in found:
        if not isinstance(process, BaseProcess):
            hint = "; supervisor.process(name) has the process of a name"
            raise TypeError(f"not a process: {process!r}{hint if isinstance(process, str) else ''}")
    return found


async def start(processes: Iterable[Process], *, wait: bool = True) -> list[Result]:
    """Start all that are not RUNNING in the order given, then wait for all, as ``Process.start``.

    Results come in order of completion.
    """
    results: list[Result] = []

    async def finish(process: Process, attempt: StartAttempt | None) -> None:
        if attempt is None:
            error = await _error_of(process.start(wait=wait))
            if isinstance(error, AlreadyStarted):  # the start to join has succeeded meanwhile
                error = None
        else:
            error = await _error_of(follow(process, attempt, wait=wait))
        results.append(Result(process, error))

    turns = Turns()
    async with trio.open_nursery() as nursery:
        for process in in_start_order(processes):
            await process.driver.end_recorded()
            attempt: StartAttempt | None = None
            if process.state is State.RUNNING and not process.stopping:
                continue
            if process.state not in RUNNING_STATES and not process.stopping:
                try:
                    attempt = process.request_start(starts=Starts.UNSTOPPED)
                except RequestError as error:
                    results.append(Result(process, error))
                    continue
            nursery.start_soon(finish, process, attempt)
            if attempt is not None:
                await turns.end(process)
    return results


async def start_once(processes: Iterable[Process], *, wait: bool = True) -> list[Result]:
    """Start those outside the running set in the order given, then wait for all.

    This is what clients are answered: a start fails at its first failed try. Results come in order
    of completion.
    """
    results: list[Result] = []

    def begin(process: Process) -> StartAttempt | None:
        if process.state in RUNNING_STATES:
            return None
        return process.request_start(starts=Starts.UNSTOPPED)

    await _begin_in_turn(processes, begin, BaseProcess.outcome, results, wait=wait)
    return results


async def autostart(
    processes: Iterable[Process], cause: Cause, accepting: Callable[[], bool]
) -> None:
    """Start the ``autostart`` processes that were never started; do not wait until they run.

    If a command is missing, its start fails and is retried as any other.
    """
    turns = Turns()
    for process in processes:
        if process.awaits_autostart and accepting():
            process.begin(cause)
            await turns.end(process)


async def stop(
    processes: Iterable[Process], *, wait: bool = True, to_restart: bool = False
) -> list[Result]:
    """Stop those in the running set, last first, then wait for all.

    Stops that are under way are joined. ``to_restart``: the first half of a restart.
    """
    results: list[Result] = []
    stopping: list[Process] = []
    processes = list(processes)
    among = stopped_together(processes)
    for process in stop_order(processes):
        if process.state in RUNNING_STATES or process.stopping:
            try:
                process.request_stop(to_restart=to_restart, among=among)
            except RequestError as error:
                results.append(Result(process, error))
            else:
                stopping.append(process)
        elif process.is_due or process.awaits_autostart:  # no result, but it stays down
            with contextlib.suppress(NotRunning):
                process.request_stop(to_restart=to_restart)

    def finish(process: Process) -> None:
        results.append(Result(process))

    await trio.lowlevel.checkpoint()
    if wait:
        await _ends(stopping, finish)
    else:
        for process in stopping:
            finish(process)
    return results


async def _ends(processes: list[Process], ended: Callable[[Process], None]) -> None:
    """Return when all have ended, as ``Process.ended``; call ``ended`` with each when it has.

    One task waits for all, because many often stop at once.
    """
    alive = dict.fromkeys(processes)
    all_ended = trio.Event()

    def note(process: Process) -> None:
        del alive[process]
        ended(process)
        if not alive:
            all_ended.set()

    for process in processes:
        process.waiters.on_end(partial(note, process))
    while alive:
        with trio.move_on_at(min([process.waiters.remind() for process in alive])):
            await all_ended.wait()


async def restart(
    processes: Iterable[Process],
    *,
    wait: bool = True,
    check: Callable[[], object] = lambda: None,
    once: bool = False,
) -> list[Result]:
    """Stop those in the running set, last first, then start all; results are those of the starts.

    Stops that are under way are joined. ``check`` is called before the starts; what it raises
    leaves all stopped. If another request stops a process meanwhile, its start is called off and
    its result is AbnormalTermination. ``once``: a start fails at its first failed try, as clients
    are answered.
    """
    processes = in_start_order(processes)
    among = stopped_together(processes)
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        restarts = {
            process: stack.enter_context(Restart(process, among, Starts.UNSTOPPED))
            for process in stop_order(processes)
        }
        async with trio.open_nursery() as nursery:
            for each in restarts.values():
                nursery.start_soon(each.stopped)
        check()
        finish = BaseProcess.outcome if once else follow
        await _begin_in_turn(processes, lambda p: restarts[p].begin(), finish, results, wait=wait)
    return results


def signal(processes: Iterable[Process], number: int) -> list[Result]:
    """Send a signal to those that have a child."""
    results = []
    for process in processes:
        if process.state in SIGNALLABLE_STATES:
            error = None
            try:
                process.signal(number)
            except RequestError as caught:
                error = caught
            results.append(Result(process, error))
    return results


async def refresh(processes: Iterable[Process]) -> list[Result]:
    """Refresh all at the same time; results come in order of completion."""
    results: list[Result] = []

    async def finish(process: Process) -> None:
        results.append(Result(process, await _error_of(process.refresh())))

    async with trio.open_nursery() as nursery:
        for process in dict.fromkeys(processes):
            nursery.start_soon(finish, process)
    return results


async def apply(plan: Plan, groups: Groups) -> list[StepResult]:
    """Carry out a plan step by step; a step that fails does not stop the others.

    Each step checks the active groups first and does nothing if another update has carried it out
    meanwhile. Cancelling skips the remaining steps.
    """
    return [StepResult(step, await _error_of(_carry_out(step, groups))) for step in plan.steps]


async def shut_down(
    groups: Collection[Group],
    log: Callable[[Severity, str], None],
    cause: Cause,
    graph: Graph | None = None,
) -> None:
    """Stop the groups one after the other, the last first; return when all processes have ended.

    What follows an end, such as ``post_stop`` of a process that has ended by itself just before, is
    waited for, too. If there is a ``graph`` with edges, processes stop in its order instead.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_announce_waiting, groups, log)
        if graph is not None and not graph.is_empty:
            # Imported here because few configurations have dependencies.
            from trio_supervisor.runtime.dependencies.shutdown import stop_in_order

            await stop_in_order(groups, graph, cause, _drain)
        else:
            for group in stop_order(groups):
                await _drain(group)
                for process in stop_order(group.processes.values()):
                    process.shut_down(cause)
                for process in group.processes.values():
                    await process.waiters.wait_for(*STOPPED_STATES)
        for group in groups:
            for process in group.processes.values():
                await cleaned_up(process)
        nursery.cancel_scope.cancel()


async def _drain(group: Group) -> None:
    """Let a listener pool process its events, for a while."""
    if group.pool is not None:
        with trio.move_on_after(DRAIN_TIMEOUT):
            await group.pool.drained()


def in_start_order(processes: Iterable[Process]) -> list[Process]:
    """Each behind those that it depends on, else in the order given."""
    processes = list(processes)
    coordination = processes[0].coordination if processes else None
    if coordination is None:
        return processes
    by_key = {process.key: process for process in processes}
    return [by_key[key] for key in coordination.in_start_order(by_key)]


def running(processes: Iterable[Process]) -> list[Process]:
    """Return those that are RUNNING."""
    return [process for process in processes if process.state is State.RUNNING]


def stopped_together(processes: list[Process]) -> frozenset[Key]:
    """Return the arguments of ``request_stop`` that keep the order; empty without dependencies."""
    is_needed = len(processes) > 1 and processes[0].coordination is not None
    return frozenset(process.key for process in processes) if is_needed else frozenset()


async def _begin_in_turn(
    processes: Iterable[Process],
    begin: Callable[[Process], StartAttempt | None],
    follow_up: FollowUp,
    results: list[Result],
    *,
    wait: bool,
) -> None:
    """Begin starts one after the other, each after the previous one has a child; wait for all.

    ``begin`` returns None to skip a process, and may raise RequestError. ``follow_up`` waits for
    the outcome of a start.
    """

    async def finish(process: Process, attempt: StartAttempt) -> None:
        error = await _error_of(follow_up(process, attempt, wait=wait))
        results.append(Result(process, error))

    turns = Turns()
    async with trio.open_nursery() as nursery:
        for process in in_start_order(processes):
            await process.driver.end_recorded()
            try:
                attempt = begin(process)
            except RequestError as error:
                results.append(Result(process, error))
                continue
            if attempt is not None:
                nursery.start_soon(finish, process, attempt)
                await turns.end(process)


async def _carry_out(step: PlanStep, groups: Groups) -> None:
    wanted = step.kind is not StepKind.STOP
    if groups.is_active(step.group) and not (wanted and groups.is_current(step.group)):
        await groups.remove(step.group)
        groups.require_running()
    if wanted and not groups.is_current(step.group):
        groups.add_group(step.group)


async def _error_of(request: Awaitable[None]) -> RequestError | None:
    try:
        await request
    except RequestError as error:
        return error
    return None


async def _announce_waiting(
    groups: Collection[Group], log: Callable[[Severity, str], None]
) -> None:
    while True:
        processes = (p for group in groups for p in group.processes.values())
        alive = [p.name for p in processes if p.state not in STOPPED_STATES]
        if alive:
            log(Severity.INFO, f"waiting for {', '.join(alive)} to die")
        await trio.sleep(DIE_REMINDER)
