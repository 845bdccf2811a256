"""The end of a supervisor besides a request of its owner: signals, kills, and what has ended."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.signals import signal_name
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.requester import requested_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.runtime.process.process import Process


class Stoppable(Protocol):
    """The supervisor, as far as signals need it."""

    def request_shutdown(self) -> None:
        """Begin to stop everything."""

    def processes(self) -> list[Process]:
        """All processes."""


def stop_on_signals(supervisor: Stoppable, signals: Iterable[int]) -> Callable[[], Awaitable[None]]:
    """Catch these signals from now on; return what is to be run until the end.

    The first one requests a shutdown, each further one kills what is left. Raises RuntimeError
    outside the main thread.
    """
    receiver = trio.open_signal_receiver(*map(signal.Signals, signals))
    received = receiver.__enter__()  # at once: nobody waits until the task has begun

    async def listen() -> None:
        try:
            first = True
            async for number in received:
                if first:
                    with requested_by(Cause(CauseKind.REQUEST, f"signal {signal_name(number)}")):
                        supervisor.request_shutdown()
                else:
                    await kill_all(supervisor.processes())
                first = False
        finally:
            receiver.__exit__(None, None, None)

    return listen


async def kill_all(processes: Iterable[Process]) -> None:
    """Send SIGKILL to all that live, also to a child that is just being made."""
    async with trio.open_nursery() as nursery:
        for process in processes:
            nursery.start_soon(_kill, process)


async def _kill(process: Process) -> None:
    if process.state is State.STARTING:
        await process.spawned()
    with contextlib.suppress(RequestError):  # it has just ended, or the log has the reason
        process.signal(signal.SIGKILL)


def blocked_for_good(processes: Iterable[Process], graph: Graph | None) -> set[Key]:
    """Return those that wait for a dependency that has ended for good, directly or not."""
    blocked: set[Key] = set()
    if graph is None or graph.is_empty:
        return blocked
    by_key = {process.key: process for process in processes}
    dependents = graph.dependents()
    pending = [key for key, process in by_key.items() if process.record.ended_unasked]
    while pending:
        for key in dependents.get(pending.pop(), ()):
            if key not in blocked and key in by_key and by_key[key].attempt.waits_in_vain:
                blocked.add(key)
                pending.append(key)
    return blocked
