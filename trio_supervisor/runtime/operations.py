"""Requests for several processes at once. Each is carried out by the process itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import AbnormalTermination, RequestError
from trio_supervisor.core.process.states import RUNNING_STATES, SIGNALLABLE_STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.process.state_machine import StartAttempt

#: Seconds one spawn may take before the next in the start order is begun all the same: order
#: (P-150) is kept on any healthy machine, and one hanging exec does not hold up the others.
SPAWN_PATIENCE = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one process in a request for several; ``error`` is None for success."""

    process: Process
    error: RequestError | None = None


async def start_all(processes: Iterable[Process], *, wait: bool = True) -> list[Result]:
    """Start those outside the running set in the order given, then wait for all (P-153).

    Results come in order of completion.
    """
    results: list[Result] = []

    async def finish(process: Process, attempt: StartAttempt) -> None:
        results.append(await _result(process, process.outcome(attempt, wait=wait)))

    async with trio.open_nursery() as nursery:
        for process in processes:
            await process.end_recorded()
            if process.state in RUNNING_STATES:
                continue
            try:
                attempt = process.request_start()
            except RequestError as error:
                results.append(Result(process, error))
                continue
            nursery.start_soon(finish, process, attempt)
            with trio.move_on_after(SPAWN_PATIENCE):
                await process.spawned()
    return results


async def stop_all(
    processes: Iterable[Process], *, wait: bool = True, to_restart: bool = False
) -> list[Result]:
    """Stop those in the running set, last first, then wait for all (P-154, Q-18).

    Stops that are under way are joined. ``to_restart``: the first half of a restart.
    """
    results: list[Result] = []

    async def finish(process: Process) -> None:
        if wait:
            await process.ended()
        results.append(Result(process))

    async with trio.open_nursery() as nursery:
        for process in reversed(list(processes)):
            if process.state in RUNNING_STATES or process.stopping:
                try:
                    process.request_stop(to_restart=to_restart)
                except RequestError as error:
                    results.append(Result(process, error))
                else:
                    nursery.start_soon(finish, process)
    return results


async def restart_all(
    processes: Iterable[Process],
    *,
    wait: bool = True,
    check: Callable[[], object] = lambda: None,
) -> list[Result]:
    """Stop those in the running set, then start all; results are those of the starts.

    ``check`` is called before the starts; what it raises leaves all stopped. A process that
    somebody else has stopped since is not started, which is AbnormalTermination.
    """
    before = [(process, process.stops) for process in processes]
    await stop_all((process for process, _ in before), to_restart=True)
    check()
    called_off = [
        Result(process, AbnormalTermination(process.full_name))
        for process, stops in before
        if process.stops != stops
    ]
    wanted = (process for process, stops in before if process.stops == stops)
    return [*called_off, *await start_all(wanted, wait=wait)]


def signal_all(processes: Iterable[Process], signal: int) -> list[Result]:
    """Send a signal to those that have a child."""
    results = []
    for process in processes:
        if process.state in SIGNALLABLE_STATES:
            error = None
            try:
                process.signal(signal)
            except RequestError as caught:
                error = caught
            results.append(Result(process, error))
    return results


async def _result(process: Process, request: Awaitable[None]) -> Result:
    try:
        await request
    except RequestError as error:
        return Result(process, error)
    return Result(process)
