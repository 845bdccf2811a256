"""Invariants of a storm that can be seen from outside: processes, descriptors, memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A row of /proc."""

    pid: int
    parent: int
    state: str
    start: int
    """Clock ticks since the boot."""


def processes() -> dict[int, Process]:
    """All processes of the machine that can be seen."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := look(int(entry))):
            found[process.pid] = process
    return found


def look(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return Process(pid, int(fields[1]), fields[0], int(fields[19]))


def children(pid: int) -> dict[int, Process]:
    return {process.pid: process for process in processes().values() if process.parent == pid}


def marked(marker: str) -> set[int]:
    """Processes that have inherited the marker of this storm in their environment."""
    found = set()
    for pid in processes():
        try:
            if marker.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
        except OSError:
            continue  # it has just ended, or belongs to somebody else
    return found


@dataclass(frozen=True)
class Usage:
    """What the daemon holds."""

    descriptors: int
    threads: int
    resident: int
    """KiB."""


def usage(pid: int) -> Usage:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Usage(
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
        resident=int(status["VmRSS"].split()[0]),
    )


def largest(some: Sequence[Usage]) -> Usage:
    """The most of each."""
    return Usage(
        descriptors=max(each.descriptors for each in some),
        threads=max(each.threads for each in some),
        resident=max(each.resident for each in some),
    )


def check_growth(first: Usage, now: Usage, kept: int = 0) -> Iterator[str]:
    """Compare two calm moments with all programs running; yield what has grown.

    ``kept``: KiB that the daemon may have come to keep of the history of its programs.
    """
    if now.descriptors > first.descriptors + 8:  # connections of the storm's own clients
        yield f"{now.descriptors} descriptors, {first.descriptors} before"
    if now.threads > first.threads + 8:  # threads of the disk and of checks come and go
        yield f"{now.threads} threads, {first.threads} before"
    if now.resident > first.resident * 1.15 + 4096 + kept:
        yield f"resident memory {now.resident} KiB, {first.resident} KiB before"
