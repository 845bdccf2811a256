"""Scenario: processor time of a log line, with many programs that write a little all the time."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.probe import cpu_seconds
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

_PROGRAMS = 50
_RATE = 100
_SECONDS = 5.0
#: Bytes of a line, with its end.
_LINE = 100

_WRITER = f"""\
import os, time
line = b"x" * {_LINE - 1} + b"\\n"
due = time.monotonic()
while True:
    os.write(1, line)
    due += 1 / {_RATE}
    time.sleep(max(0, due - time.monotonic()))
"""

_PROGRAM = """\
[program:{name}]
command = {python} -S -E {script}
startsecs = 0
stdout_logfile = {directory}/{name}.log
stdout_logfile_maxbytes = 0
"""


def _run(subject: Subject, directory: Path) -> Sample:
    script = directory / "writer.py"
    script.write_text(_WRITER)
    names = [f"writer-{number}" for number in range(_PROGRAMS)]
    logs = [directory / f"{name}.log" for name in names]
    sections = "\n".join(
        _PROGRAM.format(
            name=name,
            python=sys.executable.replace("%", "%%"),
            script=script,
            directory=directory,
        )
        for name in names
    )

    def written() -> int:
        return sum(log.stat().st_size for log in logs if log.exists())

    with running(subject, directory, sections) as daemon:
        daemon.wait_for_running(_PROGRAMS)
        daemon.wait(
            lambda: all(log.exists() and log.stat().st_size for log in logs), "a line of each"
        )
        processor, before = cpu_seconds(daemon.pid), written()
        time.sleep(_SECONDS)
        processor, after = cpu_seconds(daemon.pid) - processor, written()
    return {"processor": processor * 1e6 / ((after - before) / _LINE)}


SCENARIO = Scenario(
    name="lines",
    what=(
        f"{_PROGRAMS} children write {_RATE} lines of {_LINE} bytes a second each, for"
        f" {_SECONDS:.0f} s: processor time of the daemon for each line in the logs."
    ),
    measures=(Measure("processor", "us/line", "lower"),),
    run=_run,
)
