"""Processor time and memory of processes and their descendants, from ``/proc`` (proc(5)).

A look is one pass over all processes of the machine, so several are asked for at once, in a thread.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Positions in /proc/PID/stat after the command's name (proc(5) counts from 1, and from the pid).
_PPID, _UTIME, _CSTIME, _RSS = 1, 11, 14, 21


@dataclass(frozen=True, slots=True)
class Usage:
    """``cpu_seconds`` counts what a process has used and what its reaped children used; ``memory``
    is resident bytes, pages shared between processes counted for each."""

    cpu_seconds: float = 0.0
    memory: int = 0
    processes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_seconds + other.cpu_seconds,
            self.memory + other.memory,
            self.processes + other.processes,
        )


NOTHING = Usage()


def usages(pids: Iterable[int], proc: Path = PROC) -> dict[int, Usage]:
    """The use of each of these processes, its descendants included; one that is gone uses nothing.

    A descendant whose parent has ended belongs to nobody any more.
    """
    own: dict[int, Usage] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, parent, usage in _all(proc):
        own[pid] = usage
        children[parent].append(pid)
    return {pid: _total(pid, own, children) for pid in pids}


def _all(proc: Path) -> Iterator[tuple[int, int, Usage]]:
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            with open(proc / name / "stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it has just ended
        ticks = sum(int(field) for field in fields[_UTIME : _CSTIME + 1])
        usage = Usage(ticks / _TICKS, int(fields[_RSS]) * _PAGE, 1)
        yield int(name), int(fields[_PPID]), usage


def _total(pid: int, own: dict[int, Usage], children: dict[int, list[int]]) -> Usage:
    total, unseen = NOTHING, [pid]
    while unseen:
        pid = unseen.pop()
        total += own.get(pid, NOTHING)
        unseen += children.get(pid, ())
    return total
