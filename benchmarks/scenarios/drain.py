"""Scenario: throughput and cost of writing one busy program's output to its log file."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError, cpu_seconds
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

#: Enough to measure the processor time, which is counted in steps of 10 ms, to a few percent.
_BYTES = 1_000_000_000

#: The capacity of a pipe, so that the writer is as fast as the pipe allows.
_BLOCK = 64 * 1024

_NAME = "writer"

_WRITER = f"""\
import os
left = {_BYTES}
block = bytes(range(32, 95)) + b"\\n"
block *= {_BLOCK} // len(block)
while left:
    left -= os.write(1, block[:left])
"""

_PROGRAM = """\
[program:{name}]
command = {python} {script}
autostart = false
autorestart = false
startsecs = 0
stdout_logfile = {log}
stdout_logfile_maxbytes = 0
"""


def _run(subject: Subject, directory: Path) -> Sample:
    free = shutil.disk_usage(directory).free
    if free < 2 * _BYTES:
        raise MeasurementError(f"{directory} has only {free / 1e9:.1f} GB free; set TMPDIR")
    script, log = directory / "writer.py", directory / "writer.log"
    script.write_text(_WRITER)
    python = sys.executable.replace("%", "%%")
    program = _PROGRAM.format(name=_NAME, python=python, script=script, log=log)
    with running(subject, directory, program) as daemon:
        daemon.wait_for_answer()
        processor = cpu_seconds(daemon.pid)
        daemon.rpc.start(_NAME)
        began = daemon.wait(lambda: _size(log) > 0, "the first output")
        written = _size(log)
        ended = daemon.wait(lambda: _size(log) >= _BYTES, "the last output")
        processor = cpu_seconds(daemon.pid) - processor
    return {
        "throughput": (_BYTES - written) / 1e6 / (ended - began),
        "processor": processor / (_BYTES / 1e9),
    }


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


SCENARIO = Scenario(
    name="drain",
    what=(
        f"draining one fast writer: a child writes {_BYTES // 1_000_000} MB to stdout in"
        f" {_BLOCK // 1024} KiB blocks, into a log file without rotation: rate from the first to"
        " the last byte, and processor time of the daemon (user and system)."
    ),
    measures=(
        Measure("throughput", "MB/s", "higher"),
        Measure("processor", "CPU s/GB", "lower"),
    ),
    run=_run,
)
