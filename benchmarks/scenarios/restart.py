"""Scenarios: time until a killed program runs again, alone and beside many others."""

from __future__ import annotations

import math
import os
import signal
import statistics
import time
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.starts import Executables
from benchmarks.subjects import running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: Programs that are killed, each once. A program that was killed twice would have to run for a
#: second before.
_KILLS = 20
#: Seconds of life before the first kill. Above one second, because a restart is delayed until a
#: second after the previous start.
_AGE = 1.2
#: Seconds before each kill, in turns: spread, so that the kills do not stay in phase with a daemon
#: that polls.
_PAUSES = (0.1, 0.17, 0.24)
#: Seconds after which no more programs are killed: Supervisor takes a second for each restart.
_LIMIT = 6.0
#: Programs beside them.
_OTHERS = 1000

#: stopsignal: Supervisor loses a TERM that arrives between fork and exec, and would then wait for
#: 10 s at the end.
_PROGRAM = """\
[program:victim-{number}]
command = {path} 300
startsecs = 0
autorestart = true
stopsignal = KILL
"""


def _run(subject: Subject, directory: Path, *, others: int = 0) -> Sample:
    with Executables(directory, _KILLS) as victims:
        sections = [
            _PROGRAM.format(number=number, path=victims.paths[number]) for number in range(_KILLS)
        ]
        with running(subject, directory, "\n".join([*sections, fleet.programs(others)])) as daemon:
            daemon.wait_for_starts(victims, _KILLS)
            daemon.wait_for_children(_KILLS + others)
            daemon.wait_for_running(_KILLS + others)
            pids = [daemon.rpc.pid(_name(number)) for number in range(_KILLS)]
            time.sleep(_AGE)
            started, reported = _kill_all(daemon, victims, pids)
    return {
        "started": statistics.median(started),
        "95th percentile": sorted(started)[math.ceil(len(started) * 0.95) - 1],
        "reported": statistics.median(reported),
    }


def _kill_all(
    daemon: Daemon, victims: Executables, pids: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Kill one program after the other.

    Return the milliseconds of each kill until the program is executed again, and until the daemon
    reports another pid.
    """
    started, reported = [], []
    begun = time.monotonic()
    for number, (pid, pause) in enumerate(zip(pids, cycle(_PAUSES), strict=False)):
        time.sleep(pause)
        if time.monotonic() - begun > _LIMIT:
            break
        victims.started.clear()
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        started.append((daemon.wait_for_starts(victims, 1) - killed) * 1000)
        seen = daemon.wait(partial(_is_back, daemon, number, pid), "the pid of the new child")
        reported.append((seen - killed) * 1000)
    return started, reported


def _is_back(daemon: Daemon, number: int, killed: int) -> bool:
    return daemon.rpc.pid(_name(number)) not in (0, killed)  # 0: there is no child yet


def _name(number: int) -> str:
    return f"victim-{number}"


_WHAT = (
    f"restart after kill -9 of one of {_KILLS} programs: until the program is executed again (told"
    " by the kernel, without requests to the daemon), median and 95th percentile of a run, and"
    f" until XML-RPC reports its pid. Each of them is killed once, for {_LIMIT:.0f} s at most."
)
_MEASURES = (
    Measure("started", "ms", "lower"),
    Measure("95th percentile", "ms", "lower"),
    Measure("reported", "ms", "lower"),
)
SCENARIO = Scenario(name="restart", what=_WHAT, measures=_MEASURES, run=_run)
THOUSAND_SCENARIO = Scenario(
    name="restart-thousand",
    what=f"the same beside {_OTHERS} other programs.",
    measures=_MEASURES,
    run=partial(_run, others=_OTHERS),
)
