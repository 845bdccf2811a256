"""Scenario: the cost of a thousand programs in one daemon: start, idle, stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import probe
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.starts import Executables
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

_COUNT = 1000
#: Seconds without requests (the kernel counts processor time in steps of 0.01 s), and seconds that
#: the slowest program takes to stop.
_IDLE = 10
_SLOWEST = 2

_SLOW = f"""
[program:slow]
command = /bin/sh -c "trap 'sleep {_SLOWEST}; exit' TERM; while :; do sleep 300 & wait; done"
startsecs = 0
killasgroup = true
"""


def _run(subject: Subject, directory: Path) -> Sample:
    with Executables(directory, _COUNT) as executables:
        programs = fleet.programs(_COUNT, executables=executables)
        with running(subject, directory, programs + _SLOW) as daemon:
            # No requests before that: Supervisor looks at all programs for each of them.
            daemon.wait_for_starts(executables, _COUNT)
            reported = daemon.wait_for_last("slow") - daemon.launched
            daemon.wait_for_running(_COUNT + 1)
            used = probe.cpu_seconds(daemon.pid)
            time.sleep(_IDLE)
            used = probe.cpu_seconds(daemon.pid) - used
            begun = time.monotonic()
            daemon.rpc.stop_all()
            return {
                "all RUNNING": reported,
                "idle": used / _IDLE * 100,
                "stop all": time.monotonic() - begun - _SLOWEST,
            }


SCENARIO = Scenario(
    name="thousand",
    what=(
        f"{_COUNT} programs: from exec of the daemon until XML-RPC reports the last as RUNNING;"
        f" processor time of the daemon, in percent of one processor, without any requests for"
        f" {_IDLE} s; and stopAllProcesses with one more program that takes {_SLOWEST} s to stop,"
        " minus these."
    ),
    measures=(
        Measure("all RUNNING", "s", "lower"),
        Measure("idle", "%", "lower"),
        Measure("stop all", "s", "lower"),
    ),
    run=_run,
)
