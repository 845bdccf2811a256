"""``python -m benchmarks.embedded``: the cost of a supervisor inside a trio program.

Supervisor has no counterpart to compare with. Each run is a fresh interpreter, so that memory of
one run does not affect the next.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import trio

from benchmarks.probe import memory
from trio_supervisor import State, open_supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor import Supervisor
    from trio_supervisor.core.config.model import Severity

    Add = Callable[[Supervisor, int], None]

RUNS = 5
TASKS = 1000
PROCESSES = 200
STARTING = 300
#: Seconds that the sampled loop sleeps, as an application would that must react quickly.
TICK = 0.001
SLEEPER = ["/bin/sleep", "1000"]


async def task_memory() -> float:
    """KiB per idle task: 1000 tasks, with 200 processes in the same supervisor."""
    return await _memory_of(TASKS, _add_task, beside=(PROCESSES, _add_process))


async def process_memory() -> float:
    """KiB per idle process: 200 processes, with 1000 tasks in the same supervisor."""
    return await _memory_of(PROCESSES, _add_process, beside=(TASKS, _add_task))


async def total_memory() -> float:
    """MiB of the whole program with 1000 idle tasks and 200 idle processes."""
    async with open_supervisor(log=_silent) as supervisor:
        for count, add in ((PROCESSES, _add_process), (TASKS, _add_task)):
            _add_all(supervisor, count, add)
        await _all_running(supervisor)
        return memory(os.getpid())["Rss"]


async def stalls() -> float:
    """ms of delay of a 1 ms tick while 300 programs start, 99th percentile."""
    late: list[float] = []

    async def sample() -> None:
        while True:
            before = time.perf_counter()
            await trio.sleep(TICK)
            late.append(time.perf_counter() - before - TICK)

    async with open_supervisor(log=_silent) as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(sample)
        for number in range(STARTING):
            supervisor.add_program(f"p{number}", SLEEPER, startsecs=1, stopsignal=9)
            await trio.lowlevel.checkpoint()
        await _all_running(supervisor)
        nursery.cancel_scope.cancel()
    return statistics.quantiles(late, n=100)[98] * 1000


async def _memory_of(count: int, add: Add, *, beside: tuple[int, Add]) -> float:
    async with open_supervisor(log=_silent) as supervisor:
        _add_all(supervisor, *beside)
        add(supervisor, count)  # the first one loads shared code and data
        await _all_running(supervisor)
        before = memory(os.getpid())["Rss"]
        _add_all(supervisor, count, add)
        await _all_running(supervisor)
        return (memory(os.getpid())["Rss"] - before) / count * 1024


def _add_all(supervisor: Supervisor, count: int, add: Add) -> None:
    for number in range(count):
        add(supervisor, number)


def _add_task(supervisor: Supervisor, number: int) -> None:
    supervisor.add_task(f"t{number}", trio.sleep_forever, startsecs=0)


def _add_process(supervisor: Supervisor, number: int) -> None:
    supervisor.add_program(f"p{number}", SLEEPER, startsecs=0, stopsignal=9)


def _silent(severity: Severity, text: str) -> None:
    """Discard log messages: writing them is not part of the measurement."""


async def _all_running(supervisor: Supervisor) -> None:
    for process in supervisor.processes():
        await process.wait_for(State.RUNNING)


MEASURES: dict[str, Callable[[], Awaitable[float]]] = {
    measure.__name__: measure for measure in (task_memory, process_memory, total_memory, stalls)
}


def main() -> None:
    if len(sys.argv) > 1:
        print(trio.run(MEASURES[sys.argv[1]]))
        return
    for name, measure in MEASURES.items():
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.embedded", name],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(RUNS)
        ]
        low, middle, high = min(runs), statistics.median(runs), max(runs)
        print(f"{middle:8.2f}  ({low:.2f} to {high:.2f})  {measure.__doc__}", flush=True)


if __name__ == "__main__":
    main()
