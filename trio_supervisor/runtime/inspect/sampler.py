"""Processor time and memory of the processes of a supervisor: now, and over the last minutes.

There is no task here. A client that watches asks for a fresh sample, and the first request after an
interval takes it for all clients. While no client watches, nothing is read, and the last samples
stay for a while.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import field
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.inspect.procfs import NOTHING, ProcessTable
from trio_supervisor.runtime.system.threads import NoThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from trio_supervisor.runtime.inspect.procfs import Usage
    from trio_supervisor.runtime.process.process import Process

#: Seconds for which a pass over ``/proc`` may be used again: many clients together cause at most
#: four passes a second, and rates over two seconds are right within an eighth.
FRESH = 0.25
#: Seconds between two samples: a pass over ``/proc`` takes some milliseconds on a busy machine.
INTERVAL = 2.0
#: Seconds that charts reach back.
SPAN = 300.0
PERCENT = 100


@dataclass(frozen=True, slots=True)
class UsageSample:
    """Usage of a child and its descendants: ``cpu`` is percent of one processor since the sample
    before, None if there was none; ``memory`` is resident bytes."""

    cpu: float | None = None
    memory: int = 0


UNKNOWN = UsageSample()


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The usage of all processes that have a child, by full name; ``time`` is monotonic."""

    time: float
    usage: Mapping[str, UsageSample] = field(default_factory=dict)


class UsageSampler:
    """Reads ``/proc`` for one supervisor and keeps its samples."""

    def __init__(self, processes: Callable[[], Iterable[Process]]) -> None:
        self.samples: deque[Sample] = deque()
        """Those of the last SPAN seconds, oldest first."""
        self._processes = processes
        self._table = ProcessTable({}, {})
        self._read_at = -math.inf
        self._last: dict[str, tuple[int, float]] = {}
        """Pid and processor time of each process in the last sample."""
        self._lock = trio.Lock()

    async def read(self, pids: Collection[int]) -> dict[int, Usage]:
        """Return the usage of each of these processes and its descendants.

        It is at most FRESH seconds old, and older if no thread can be started to read it.
        """
        if not pids:
            return {}
        async with self._lock:
            await self._update(pids)
            table = self._table
        return {pid: table.usage(pid) for pid in pids}

    def of(self, name: str) -> UsageSample:
        """Return the usage of a process in the last sample."""
        return self.samples[-1].usage.get(name, UNKNOWN) if self.samples else UNKNOWN

    @property
    def due(self) -> float:
        """Time of trio's clock at which the next sample may be taken."""
        return self.samples[-1].time + INTERVAL if self.samples else -1.0

    async def refresh(self) -> None:
        """Take a sample, unless the last one is younger than INTERVAL."""
        async with self._lock:
            if trio.current_time() < self.due:
                return
            pids = {p.full_name: p.pid for p in self._processes() if p.pid}
            if pids and await self._update(pids.values()):
                used = {pid: self._table.usage(pid) for pid in pids.values()}
                self._add(self._read_at, pids, used)
            else:
                self._add(trio.current_time(), pids, {})

    async def _update(self, pids: Collection[int]) -> bool:
        """Read the process table unless it is fresh and has all pids; False if it is stale."""
        if trio.current_time() - self._read_at > FRESH or not self._table.own.keys() >= {*pids}:
            try:
                self._table = await in_thread(ProcessTable.read)
            except NoThread:
                return False
            self._read_at = trio.current_time()
        return True

    def _add(self, now: float, pids: Mapping[str, int], used: Mapping[int, Usage]) -> None:
        since = now - self.samples[-1].time if self.samples else 0.0
        samples = {}
        for name, pid in pids.items():
            usage = used.get(pid, NOTHING)
            last_pid, last_seconds = self._last.get(name, (0, 0.0))
            known = last_pid == pid and since > 0
            spent = max(0.0, usage.cpu_seconds - last_seconds)  # less when a descendant has ended
            samples[name] = UsageSample(PERCENT * spent / since if known else None, usage.memory)
            self._last[name] = pid, usage.cpu_seconds
        self._last = {name: last for name, last in self._last.items() if name in pids}
        self.samples.append(Sample(now, samples))
        while self.samples[0].time < now - SPAN:
            self.samples.popleft()
