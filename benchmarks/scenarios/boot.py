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
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject


#: A user that every machine has, and whose programs only root can start.
_USER = "nobody"
#: Seconds after the answer in which a daemon completes what it does for the stops: logs are closed.
_SETTLE = 0.2


def _run(subject: Subject, directory: Path, *, user: str | None = None) -> Sample:
    options = ""
    if user is not None:
        if os.getuid() != 0:
            raise MeasurementError(f"only root can start programs of user {user}")
        options = f"user = {user}"
    with running(subject, directory, fleet.programs(options=options)) as daemon:
        first = daemon.wait(partial(_has_program, daemon), "the first program")
        spawned = daemon.wait_for_children(fleet.COUNT)
        reported = daemon.wait_for_running(fleet.COUNT)
        booted = probe.cpu_seconds(daemon.pid)
        begun = time.monotonic()
        daemon.rpc.stop_all()
        stopped = time.monotonic()
        time.sleep(_SETTLE)
        used = probe.cpu_seconds(daemon.pid) - booted
        return {
            "first child": first - daemon.launched,
            "all spawned": spawned - daemon.launched,
            "first to last": spawned - first,
            "all RUNNING": reported - daemon.launched,
            "processor time": booted,
            "stop all": stopped - begun,
            "each stop": used / fleet.COUNT * 1000,
        }


def _has_program(daemon: Daemon) -> bool:
    """Return True if a program runs. Trio has a child of its own, ``ldconfig``, when imported."""
    return any(probe.executes(child, "sleep") for child in probe.children(daemon.pid))


_WHAT = (
    f"boot of {fleet.COUNT} programs, from exec of the daemon: until its first child, until"
    " all children exist (seen in /proc), and until XML-RPC reports all RUNNING (startsecs=0)."
    " Supervisor sleeps 1 s before its first spawn; that second is included, except in"
    " 'first to last'. Then stopAllProcesses; 'each stop' is the processor time for one of them."
    " Processor time is that of the daemon alone."
)
_MEASURES = (
    Measure("first child", "s", "lower"),
    Measure("all spawned", "s", "lower"),
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
