"""Scenario: time and memory for reading a large configuration, and how they grow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import probe
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: Program sections; the second number shows whether time and memory grow in proportion.
_FEW, _MANY = 1000, 4000
_PER_FILE = 100

#: A typical section of large configurations: expansions, an environment, several processes.
_SECTION = """\
[program:p{number:05}]
command = /bin/sleep %(process_num)d%(numprocs)d
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
environment = NAME="%(program_name)s",HERE="%(here)s",HOME2="%(ENV_HOME)s"
stdout_logfile = %(here)s/%(program_name)s.log
startsecs = 3
stopwaitsecs = 30
"""


def _run(subject: Subject, directory: Path) -> Sample:
    (directory / "conf.d").mkdir()
    with running(subject, directory, "[include]\nfiles = conf.d/*.conf\n") as daemon:
        daemon.wait_for_answer()
        few = _reread(daemon, directory, _FEW)
        memory_few = probe.memory(daemon.pid)["Rss"]
        many = _reread(daemon, directory, _MANY)
        memory_many = probe.memory(daemon.pid)["Rss"]
    return {
        f"{_FEW} sections": few,
        f"{_MANY} sections": many,
        "memory growth": memory_many - memory_few,
    }


def _reread(daemon: Daemon, directory: Path, sections: int) -> float:
    """Return the seconds for rereading this many sections; none of them is started."""
    for first in range(0, sections, _PER_FILE):
        numbers = range(first, first + _PER_FILE)
        text = "\n".join(_SECTION.format(number=number) for number in numbers)
        (directory / "conf.d" / f"{first:05}.conf").write_text(text)
    begun = time.monotonic()
    added = daemon.rpc.reread()
    seconds = time.monotonic() - begun
    if added != sections:
        raise probe.MeasurementError(f"a reread found {added} new groups, not {sections}")
    return seconds


SCENARIO = Scenario(
    name="reread",
    what=(
        f"reread of {_FEW} and then {_MANY} program sections (two processes each, expansions,"
        " environment) in included files: seconds for supervisor.reloadConfig, and how much the"
        " daemon's resident memory grows from the first to the second."
    ),
    measures=(
        Measure(f"{_FEW} sections", "s", "lower"),
        Measure(f"{_MANY} sections", "s", "lower"),
        Measure("memory growth", "MiB", "lower"),
    ),
    run=_run,
)
