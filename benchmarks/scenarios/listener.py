"""Scenarios: events delivered to one ordinary listener, with buffered input and without."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.probe import cpu_seconds
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

_EVENTS = 10_000
#: Requests in each system.multicall that fills the buffer.
_BATCH = 500

#: Flushes the answer and READY apart, as listeners do that use the helper module of either daemon.
_LISTENER = """\
import os, sys, time
directory = sys.argv[1]
def note(name):
    with open(f"{directory}/{name}.tmp", "w") as file:
        file.write(repr(time.monotonic()))
    os.rename(file.name, f"{directory}/{name}")
def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()
while not os.path.exists(f"{directory}/go"):
    time.sleep(0.01)
first = True
while True:
    say("READY\\n")
    headers = dict(pair.split(":") for pair in readline().split())
    payload = read(int(headers["len"]))
    if first:
        note("first")
        first = False
    if payload.endswith("last"):
        note("last")
    say("RESULT 2\\nOK")
"""

#: Reads the header as a line and the payload by its length.
_BUFFERED = """\
import sys
readline, read = sys.stdin.readline, sys.stdin.read
"""
#: Reads the header byte by byte, as any program does whose input has no buffer.
_UNBUFFERED = """\
import os
def readline():
    line = b""
    while not line.endswith(b"\\n"):
        line += os.read(0, 1)
    return line.decode()
def read(size):
    return os.read(0, size).decode()
"""

_POOL = """\
[eventlistener:listener]
command = {python} -S -E {script} {directory}
events = REMOTE_COMMUNICATION
buffer_size = {size}
startsecs = 0
"""


def listener_script(directory: Path, reading: str = _UNBUFFERED) -> str:
    """Write a listener; return its path. Its argument is the directory for its notes."""
    script = directory / "listener.py"
    script.write_text(reading + _LISTENER)
    return str(script)


def _run(subject: Subject, directory: Path, *, reading: str) -> Sample:
    script = listener_script(directory, reading)
    pool = _POOL.format(
        python=sys.executable.replace("%", "%%"),
        script=script,
        directory=directory,
        size=_EVENTS + 1,
    )
    first, last = directory / "first", directory / "last"
    with running(subject, directory, pool) as daemon:
        daemon.wait_for_running(1)
        for _ in range(_EVENTS // _BATCH):
            daemon.rpc.remote_events("t", ["event"] * _BATCH)
        daemon.rpc.remote_events("t", ["last"])
        processor = cpu_seconds(daemon.pid)
        (directory / "go").touch()
        daemon.wait(last.exists, "the last event")
        processor = cpu_seconds(daemon.pid) - processor
    seconds = float(last.read_text()) - float(first.read_text())
    return {"rate": _EVENTS / seconds, "processor": processor * 1e6 / _EVENTS}


_MEASURES = (
    Measure("rate", "events/s", "higher"),
    Measure("processor", "us/event", "lower"),
)
SCENARIO = Scenario(
    name="listener",
    what=(
        f"{_EVENTS} REMOTE_COMMUNICATION events wait for one listener that reads the header as a"
        " line and the payload by its length, and flushes its answer and READY apart. Delivered"
        " events per second, and processor time of the daemon for each."
    ),
    measures=_MEASURES,
    run=partial(_run, reading=_BUFFERED),
)
UNBUFFERED_SCENARIO = Scenario(
    name="listener-unbuffered",
    what="the same with a listener that reads the header byte by byte.",
    measures=_MEASURES,
    run=partial(_run, reading=_UNBUFFERED),
)
