"""Scenario: how the memory of the daemon grows with the number of its programs."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks import probe
from benchmarks.report import Measure
from benchmarks.scenario import Plot, Scenario
from benchmarks.scenarios import fleet
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

_COUNTS = (1, 10, 100, 1000, 3000)
#: Open files that 3000 programs need; many containers allow no more.
_MINFDS = 20_000
#: Timeout in seconds of one daemon, and of its programs: a busy machine may take minutes for 3000.
_LIMIT = 600.0
#: Seconds after which threads that have nothing more to do have ended.
_SETTLE = 2


def _run(subject: Subject, directory: Path) -> Sample:
    memory = {count: _with(subject, directory / str(count), count) for count in _COUNTS}
    sample = {_total(count): memory[count] for count in _COUNTS}
    for few, many in pairwise(_COUNTS):
        sample[_each(few, many)] = (memory[many] - memory[few]) / (many - few) * 1024
    return sample


def _with(subject: Subject, directory: Path, count: int) -> float:
    directory.mkdir()
    programs = fleet.programs(count, lifetime=int(_LIMIT))
    with running(subject, directory, programs, minfds=_MINFDS, limit=_LIMIT) as daemon:
        daemon.wait_for_children(count)
        daemon.wait_for_running(count)
        time.sleep(_SETTLE)
        return probe.memory(daemon.pid)["Pss"]


def _total(count: int) -> str:
    return f"Pss with {count}"


def _each(few: int, many: int) -> str:
    return f"each from {few} to {many}"


SCENARIO = Scenario(
    name="slope",
    what=(
        "memory of the daemon (Pss, without its children) with"
        f" {', '.join(map(str, _COUNTS))} idle programs, each in a daemon of its own, and what"
        " each further program takes."
    ),
    measures=(
        *(Measure(_total(count), "MiB", "lower") for count in _COUNTS),
        *(Measure(_each(few, many), "KiB", "lower") for few, many in pairwise(_COUNTS)),
    ),
    run=_run,
    plot=Plot("programs", "PSS in MiB", {_total(count): count for count in _COUNTS}),
)
