"""How long is a program gone after it was killed?"""

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

#: Kills in one run, so that where in the daemon's second a kill falls averages out.
_KILLS = 5

_NAME = "victim"

#: startsecs: the daemon may restart at once, whatever the program's age. stopsignal: the reference
#: loses a TERM that comes between fork and exec, and would then wait for 10 s at the end.
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
        pairs = [_kill_once(daemon) for _ in range(_KILLS)]
    spawned, reported = zip(*pairs, strict=True)
    return {"spawned": statistics.median(spawned), "reported": statistics.median(reported)}


def _kill_once(daemon: Daemon) -> tuple[float, float]:
    """Milliseconds until another child exists, and until the daemon reports its pid.

    The first is looked for in /proc only: asking the daemon would wake it up.
    """
    [victim] = children(daemon.pid)
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
        "restart after kill -9: until the new child exists (seen in /proc, the daemon undisturbed)"
        " and until XML-RPC reports its pid. Each run is the median of"
        f" {_KILLS} kills."
    ),
    measures=(Measure("spawned", "ms", "lower"), Measure("reported", "ms", "lower")),
    run=_run,
)
