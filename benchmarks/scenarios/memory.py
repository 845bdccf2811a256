"""Scenario: memory of the daemon with many programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import probe
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject


def _run(subject: Subject, directory: Path) -> Sample:
    with running(subject, directory, fleet.programs()) as daemon:
        daemon.wait_for_children(fleet.COUNT)
        daemon.wait_for_running(fleet.COUNT)
        return probe.memory(daemon.pid)


SCENARIO = Scenario(
    name="memory",
    what=(
        f"memory of the daemon (without its children) once XML-RPC reports all {fleet.COUNT}"
        " programs RUNNING: resident, and with shared pages divided by their users."
    ),
    measures=(Measure("Rss", "MiB", "lower"), Measure("Pss", "MiB", "lower")),
    run=_run,
)
