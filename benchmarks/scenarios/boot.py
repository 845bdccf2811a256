"""Scenarios: the start of many programs, with and without ``user=``, and the stop of all."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import probe
from benchmarks.probe import MeasurementError
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.starts import Executables
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject


#: A user that every machine has, and whose programs only root can start.
_USER = "nobody"
#: Seconds in which a daemon completes what it does for the starts, and after the answer for the
#: stops: logs are closed.
_SETTLE = 0.2


def _run(subject: Subject, directory: Path, *, user: str | None = None) -> Sample:
    options = ""
    if user is not None:
        if os.getuid() != 0:
            raise MeasurementError(f"only root can start programs of user {user}")
        options = f"user = {user}"
        directory.chmod(0o711)  # the user must find the files to execute
    with Executables(directory, fleet.COUNT) as executables:
        programs = fleet.programs(options=options, executables=executables)
        with running(subject, directory, programs) as daemon:
            first = daemon.wait_for_starts(executables, 1)
            started = daemon.wait_for_starts(executables, fleet.COUNT)
            reported = daemon.wait_for_last(fleet.name(fleet.COUNT - 1))
            time.sleep(_SETTLE)
            booted = probe.cpu_seconds(daemon.pid)
            # Belongs to neither measurement: Supervisor takes 50 ms of processor time for it.
            daemon.wait_for_running(fleet.COUNT)
            idle = probe.cpu_seconds(daemon.pid)
            begun = time.monotonic()
            daemon.rpc.stop_all()
            stopped = time.monotonic()
            time.sleep(_SETTLE)
            used = probe.cpu_seconds(daemon.pid) - idle
            return {
                "first program": first - daemon.launched,
                "all started": started - daemon.launched,
                "first to last": started - first,
                "all RUNNING": reported - daemon.launched,
                "processor time": booted,
                "stop all": stopped - begun,
                "each stop": used / fleet.COUNT * 1000,
            }


_WHAT = (
    f"boot of {fleet.COUNT} programs, from exec of the daemon: until its first program is executed,"
    " until all are (told by the kernel), and until XML-RPC reports the last as RUNNING"
    " (startsecs=0)."
    " Supervisor sleeps 1 s before its first spawn; that second is included, except in"
    " 'first to last'. Then stopAllProcesses; 'each stop' is the processor time for one of them."
    " Processor time is that of the daemon alone; it gets no requests before the last start."
)
_MEASURES = (
    Measure("first program", "s", "lower"),
    Measure("all started", "s", "lower"),
    Measure("first to last", "s", "lower"),
    Measure("all RUNNING", "s", "lower"),
    Measure("processor time", "s", "lower"),
    Measure("stop all", "s", "lower"),
    Measure("each stop", "ms", "lower"),
)
SCENARIO = Scenario(name="boot", what=_WHAT, measures=_MEASURES, run=_run)
USER_SCENARIO = Scenario(
    name="boot-user",
    what=f"the same with user={_USER} for each program; needs root.",
    measures=_MEASURES,
    run=partial(_run, user=_USER),
)
