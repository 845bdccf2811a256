"""Scenario: time from the start of the daemon until all of many programs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        first = daemon.wait_for_children(1)
        spawned = daemon.wait_for_children(fleet.COUNT)
        reported = daemon.wait_for_running(fleet.COUNT)
        return {
            "first child": first - daemon.launched,
            "all spawned": spawned - daemon.launched,
            "first to last": spawned - first,
            "all RUNNING": reported - daemon.launched,
        }


SCENARIO = Scenario(
    name="boot",
    what=(
        f"boot of {fleet.COUNT} programs, from exec of the daemon: until its first child, until"
        " all children exist (seen in /proc), and until XML-RPC reports all RUNNING (startsecs=0)."
        " Supervisor sleeps 1 s before its first spawn; that second is included, except in"
        " 'first to last'."
    ),
    measures=(
        Measure("first child", "s", "lower"),
        Measure("all spawned", "s", "lower"),
        Measure("first to last", "s", "lower"),
        Measure("all RUNNING", "s", "lower"),
    ),
    run=_run,
)
