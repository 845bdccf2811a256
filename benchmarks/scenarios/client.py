"""Scenario: duration of a call of the command-line client. Both clients talk to our daemon."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import fleet
from benchmarks.subjects import ours, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.report import Sample
    from benchmarks.subjects import Subject

#: Calls of each action in a run; the median of that many is stable.
_CALLS = 11

#: The script as it is in the wheel; whoever installs it puts the interpreter into its first line.
_SCRIPT = Path(__file__).parents[2] / "trio_supervisor/cli/scripts/tsupervisorctl"


def _run(subject: Subject, directory: Path) -> Sample:
    command = [_client(subject, directory), "-c", str(directory / "ctl.conf")]
    everything = [command[0], "-c", str(directory / "whole.conf")]
    # Bytecode may be cached, because both clients are installed programs.
    environment = os.environ | subject.environment | {"PYTHONDONTWRITEBYTECODE": ""}
    with running(ours(), directory, fleet.programs()) as daemon:
        daemon.wait_for_running(fleet.COUNT)
        section = f"[supervisorctl]\nserverurl = unix://{directory}/supervisor.sock\n"
        (directory / "ctl.conf").write_text(section)
        (directory / "whole.conf").write_text(
            (directory / "supervisord.conf").read_text() + section
        )
        sample: dict[str, float] = {}
        for name, line in (
            ("pid", [*command, "pid"]),
            ("pid, long file", [*everything, "pid"]),
            ("status", [*command, "status"]),
            ("status, one name", [*command, "status", "idle-007"]),
        ):
            sample[name], sample[f"{name}: processor"] = _time(line, environment)
        return sample


def _client(subject: Subject, directory: Path) -> str:
    if subject.name != ours().name:
        return str(Path(subject.command[0]).with_name("supervisorctl"))
    script = directory / "tsupervisorctl"
    script.write_text(_SCRIPT.read_text().replace("#!python", f"#!{sys.executable}"))
    script.chmod(0o755)
    return str(script)


def _time(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the milliseconds of a successful call: from fork to exit, and of processor time."""
    whole, processor = [], []
    for _ in range(_CALLS):
        began = time.monotonic()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        whole.append((time.monotonic() - began) * 1000)
        processor.append((used.ru_utime + used.ru_stime) * 1000)
        if process.returncode != 0:
            raise MeasurementError(f"{' '.join(command)} ended with {process.returncode}")
    return statistics.median(whole), statistics.median(processor)


SCENARIO = Scenario(
    name="client",
    what=(
        f"a call of the client, from fork to exit, median of {_CALLS}, both clients with our daemon"
        f" and {fleet.COUNT} programs; the file has only the client's section, or all programs."
    ),
    measures=tuple(
        Measure(f"{name}{what}", "ms", "lower")
        for what in ("", ": processor")
        for name in ("pid", "pid, long file", "status", "status, one name")
    ),
    run=_run,
)
