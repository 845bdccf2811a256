"""Scenario: time until a killed program runs again."""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.probe import children
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: Ages in seconds at which the victims of one run are killed. Above one second, because a restart
#: is delayed until a second after the previous start; spread, so that the kills do not stay in
#: phase with a daemon that polls once a second.
_AGES = (1.2, 1.55, 1.9)

_NAME = "victim"

#: stopsignal: Supervisor loses a TERM that arrives between fork and exec, and would then wait for
#: 10 s at the end.
_PROGRAM = f"""\
[program:{_NAME}]
command = /bin/sleep 300
startsecs = 0
autorestart = true
stopsignal = KILL
"""


def _run(subject: Subject, directory: Path) -> Sample:
    with running(subject, directory, _PROGRAM) as daemon:
        daemon.wait_for_children(1)
        daemon.wait_for_running(1)
        pairs = [_kill_once(daemon, age) for age in _AGES]
    spawned, reported = zip(*pairs, strict=True)
    return {"spawned": statistics.median(spawned), "reported": statistics.median(reported)}


def _kill_once(daemon: Daemon, age: float) -> tuple[float, float]:
    """Return the milliseconds until another child exists, and until the daemon reports its pid.

    The child is looked for in /proc only, because a request would wake up the daemon.
    """
    [victim] = children(daemon.pid)
    time.sleep(age)  # it was spawned a moment ago
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    spawned = daemon.wait(lambda: bool(children(daemon.pid) - {victim}), "the new child")
    reported = daemon.wait(
        lambda: children(daemon.pid) == {daemon.rpc.pid(_NAME)}, "the pid of the new child"
    )
    return (spawned - killed) * 1000, (reported - killed) * 1000


SCENARIO = Scenario(
    name="restart",
    what=(
        "restart after kill -9: until the new child exists (seen in /proc, without requests to the"
        " daemon) and until XML-RPC reports its pid. Each run is the median of"
        f" {len(_AGES)} kills of a program that has run for more than a second."
    ),
    measures=(Measure("spawned", "ms", "lower"), Measure("reported", "ms", "lower")),
    run=_run,
)
