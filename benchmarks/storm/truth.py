"""What the programs of a storm have recorded themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.storm.actor import RECORD


@dataclass(frozen=True)
class Run:
    """One child of a program."""

    number: int
    pid: int
    begun: int
    """Number of the last line of which the writing has begun."""
    written: int
    """Number of the last line that was written completely."""
    closed: bool
    errno: int
    """Of a write that failed, else 0."""


def runs_of(directory: Path, name: str) -> list[Run]:
    """Return the runs of a program in their order; ``directory`` is that of the storm."""
    records = directory / "records" / name
    runs = []
    for path in records.iterdir() if records.exists() else ():
        data = path.read_bytes()
        if len(data) == RECORD.size:  # otherwise it was killed before its first line
            pid, begun, written, closed, errno = RECORD.unpack(data)
            runs.append(Run(int(path.name), pid, begun, written, bool(closed), errno))
    return sorted(runs, key=lambda run: run.number)
