"""Scenario: delay of reactions, from the timestamps of the activity log (no requests are sent)."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: startsecs and stopwaitsecs of the programs below.
_STARTSECS = 1
_STOPWAITSECS = 1

_PROGRAMS = f"""\
[program:victim]
command = /bin/sleep 300
startsecs = {_STARTSECS}
autorestart = false

[program:phoenix]
command = /bin/sleep 300
startsecs = {_STARTSECS}

[program:deaf]
command = /bin/sh -c "trap '' TERM; while :; do sleep 1; done"
startsecs = 0
stopwaitsecs = {_STOPWAITSECS}
killasgroup = true
"""


def _run(subject: Subject, directory: Path) -> Sample:
    log = directory / "supervisord.log"
    with running(subject, directory, _PROGRAMS) as daemon:
        daemon.wait_for_running(3)
        promoted = _stamp(daemon, log, "success: victim") - _stamp(daemon, log, "spawned: 'victim'")
        victim = daemon.rpc.pid("victim")
        killed = time.time()
        os.kill(victim, signal.SIGKILL)
        noticed = _stamp(daemon, log, "exited: victim") - killed
        phoenix = daemon.rpc.pid("phoenix")
        burnt = time.time()
        os.kill(phoenix, signal.SIGKILL)
        risen = _stamp(daemon, log, "spawned: 'phoenix'", number=2) - burnt
        asked = time.time()
        daemon.rpc.stop("deaf")
        escalated = _stamp(daemon, log, "killing 'deaf'") - asked
        told = time.time()
        os.kill(daemon.pid, signal.SIGTERM)
        heard = _stamp(daemon, log, "received SIGTERM") - told
    return {
        "promotion": (promoted - _STARTSECS) * 1000,
        "exit noticed": noticed * 1000,
        "restart": risen * 1000,
        "SIGKILL": (escalated - _STOPWAITSECS) * 1000,
        "TERM": heard * 1000,
    }


def _stamp(daemon: Daemon, log: Path, text: str, *, number: int = 1) -> float:
    """Wait for the n-th log line with this text; return its timestamp in wall-clock seconds."""
    pattern = re.compile(rf"^(\S+ \S+),(\d+) \w+ {re.escape(text)}", re.MULTILINE)
    daemon.wait(lambda: len(pattern.findall(log.read_text())) >= number, f"the log line {text!r}")
    seconds, milliseconds = pattern.findall(log.read_text())[number - 1]
    return time.mktime(time.strptime(seconds, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1000


SCENARIO = Scenario(
    name="reaction",
    what=(
        "delay of the daemon, from its own log (resolution 1 ms): promotion to RUNNING after"
        f" startsecs={_STARTSECS}, exit of a child noticed, its successor spawned, SIGKILL after"
        f" stopwaitsecs={_STOPWAITSECS}, SIGTERM to the daemon handled."
    ),
    measures=(
        Measure("promotion", "ms", "lower"),
        Measure("exit noticed", "ms", "lower"),
        Measure("restart", "ms", "lower"),
        Measure("SIGKILL", "ms", "lower"),
        Measure("TERM", "ms", "lower"),
    ),
    run=_run,
)
