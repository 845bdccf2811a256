"""Processor time and memory of every process over the last minutes, for those who watch.

Nothing runs here: who watches asks for a fresh sample, and the first to ask after an interval takes
it for all. When nobody watches nothing is looked at, and what was seen last stays for a while.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.inspect.procfs import NOTHING, usages
from trio_supervisor.runtime.system.threads import NoThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_supervisor.runtime.inspect.procfs import Usage
    from trio_supervisor.runtime.process.lifecycle import Process

#: Seconds between two samples: a pass over ``/proc`` costs some milliseconds on a busy machine.
INTERVAL = 2.0
#: Seconds that charts reach back.
SPAN = 300.0
PERCENT = 100


@dataclass(frozen=True, slots=True)
class UsageSample:
    """``cpu`` is percent of one processor since the sample before (None: there was none);
    ``memory`` is resident bytes. Both of the child and its descendants."""

    cpu: float | None = None
    memory: int = 0


UNKNOWN = UsageSample()


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """``time`` is monotonic; only processes with a child are in it, by their full name."""

    time: float
    vitals: Mapping[str, UsageSample] = field(default_factory=dict)


class UsageSampler:
    """The samples of one supervisor."""

    def __init__(self, processes: Callable[[], Iterable[Process]]) -> None:
        self.samples: deque[Sample] = deque()
        """Of the last SPAN seconds, oldest first."""
        self._processes = processes
        self._used: dict[str, tuple[int, float]] = {}
        self._lock = trio.Lock()

    def of(self, name: str) -> UsageSample:
        """What the last sample says of a process."""
        return self.samples[-1].vitals.get(name, UNKNOWN) if self.samples else UNKNOWN

    @property
    def due(self) -> float:
        """When the next sample may be taken, on trio's clock."""
        return self.samples[-1].time + INTERVAL if self.samples else -1.0

    async def refresh(self) -> None:
        """Take a sample, unless the last one is fresh."""
        async with self._lock:
            if trio.current_time() < self.due:
                return
            pids = {p.full_name: p.pid for p in self._processes() if p.pid}
            try:
                used = await in_thread(usages, list(pids.values())) if pids else {}
            except NoThread:
                used = {}
            self._add(trio.current_time(), pids, used)

    def _add(self, now: float, pids: Mapping[str, int], used: Mapping[int, Usage]) -> None:
        since = now - self.samples[-1].time if self.samples else 0.0
        vitals = {}
        for name, pid in pids.items():
            usage = used.get(pid, NOTHING)
            last_pid, last_seconds = self._used.get(name, (0, 0.0))
            known = last_pid == pid and since > 0
            spent = max(0.0, usage.cpu_seconds - last_seconds)  # less when a descendant has ended
            vitals[name] = UsageSample(PERCENT * spent / since if known else None, usage.memory)
            self._used[name] = pid, usage.cpu_seconds
        self._used = {name: last for name, last in self._used.items() if name in pids}
        self.samples.append(Sample(now, vitals))
        while self.samples[0].time < now - SPAN:
            self.samples.popleft()
