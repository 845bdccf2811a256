"""Scenario: events per second delivered to listeners that do nothing but accept them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: Events queued in each pool when its listeners become ready: enough for about a second of the
#: slower daemon, and few enough that the handling of long queues is not measured.
_EVENTS = 5000
#: Requests in each system.multicall that fills the buffers.
_BATCH = 500
_MANY = 8

#: Reads an event with one system call and answers with one, so that mostly the daemon's work is
#: measured. It writes READY once ``go`` exists, and records the times of its first and last event.
_LISTENER = """\
import os, sys, time
def note(name, when):
    with open(f"{name}.tmp", "w") as file:
        file.write(repr(when))
    os.rename(file.name, name)
directory = sys.argv[1]
me = os.environ["SUPERVISOR_PROCESS_NAME"]
while not os.path.exists(f"{directory}/go"):
    time.sleep(0.01)
os.write(1, b"READY\\n")
event = os.read(0, 65536)
note(f"{directory}/{me}.first", time.monotonic())
while not event.endswith(b"last"):
    os.write(1, b"RESULT 2\\nOKREADY\\n")
    event = os.read(0, 65536)
note(f"{directory}/{me}.last", time.monotonic())
os.write(1, b"RESULT 2\\nOKREADY\\n")
os.read(0, 65536)
"""

_POOL = """\
[eventlistener:{name}]
command = {python} {script} {directory}
process_name = {name}-%(process_num)s
events = REMOTE_COMMUNICATION
buffer_size = {size}
numprocs = {listeners}
startsecs = 0
"""


#: Measures: name -> pools, listeners per pool, and whether there are other programs. Those are
#: idle, but a daemon that polls all pipes in every iteration has to check them.
_CASES = {
    "one listener": (1, 1, True),
    f"a pool of {_MANY}": (1, _MANY, True),
    f"{_MANY} pools of one": (_MANY, 1, True),
    "one listener, alone": (1, 1, False),
    f"a pool of {_MANY}, alone": (1, _MANY, False),
    f"{_MANY} pools of one, alone": (_MANY, 1, False),
}


def _run(subject: Subject, directory: Path) -> Sample:
    return {
        name: _rate(subject, directory / name.replace(" ", "-"), pools, listeners, beside=beside)
        for name, (pools, listeners, beside) in _CASES.items()
    }


def _rate(subject: Subject, directory: Path, pools: int, listeners: int, *, beside: bool) -> float:
    """Return the events delivered per second, to all listeners together."""
    directory.mkdir()
    script = directory / "listener.py"
    script.write_text(_LISTENER)
    programs = "\n".join(
        _POOL.format(
            name=f"pool{number}",
            python=sys.executable.replace("%", "%%"),
            script=script,
            directory=directory,
            size=_EVENTS + 1,
            listeners=listeners,
        )
        for number in range(pools)
    )
    with running(subject, directory, programs + fleet.programs() * beside) as daemon:
        daemon.wait_for_running(pools * listeners + fleet.COUNT * beside)
        _fill(daemon)
        (directory / "go").touch()
        daemon.wait(lambda: len(_times(directory, "last")) == pools, "the last event")
        began, ended = min(_times(directory, "first")), max(_times(directory, "last"))
    return pools * _EVENTS / (ended - began)


def _fill(daemon: Daemon) -> None:
    for _ in range(_EVENTS // _BATCH):
        daemon.rpc.remote_events("t", ["event"] * _BATCH)
    daemon.rpc.remote_events("t", ["last"])


def _times(directory: Path, what: str) -> list[float]:
    return [float(path.read_text()) for path in directory.glob(f"*.{what}")]


SCENARIO = Scenario(
    name="events",
    what=(
        f"{_EVENTS} REMOTE_COMMUNICATION events wait in each pool when its listeners become ready;"
        " they read, answer and are ready again with one system call each. Delivered events per"
        f" second, to all listeners together, while {fleet.COUNT} other programs sleep, and alone."
    ),
    measures=tuple(Measure(name, "events/s", "higher") for name in _CASES),
    run=_run,
)
