"""``python -m benchmarks.others``: boot and memory beside other supervisors that users would pick.

Each starts the same 300 programs that sleep; they take turns. A supervisor that is not installed
is named with how to get it, and left out.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import contenders, probe
from benchmarks.launched import adopt_orphans
from benchmarks.report import Measure, comparison
from benchmarks.scenario import alternate
from benchmarks.scenarios import fleet
from benchmarks.starts import Executables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.launched import Launched
    from benchmarks.report import Sample

_RUNS = 5
#: Seconds after the last start in which a supervisor completes what it does for the starts.
_SETTLE = 1.0

MEASURES = (
    Measure("each program", "ms", "lower"),
    Measure("processor time", "s", "lower"),
    Measure("memory", "MiB", "lower"),
    Measure("processes", "", ""),
)


def boot(contender: Contender, directory: Path) -> Sample:
    """Start all programs by one supervisor and measure what that has taken."""
    with Executables(directory, fleet.COUNT) as executables:
        reaped = _reaped_seconds()
        with contender.launch(directory, executables) as launched:
            started = launched.wait_for_starts(executables, fleet.COUNT)
            if contender.background:
                launched.wait_for_command()
            launched.wait(lambda: len(_programs(launched)) == fleet.COUNT, "all programs")
            time.sleep(_SETTLE)
            own = launched.processes() - _programs(launched)
            return {
                "each program": (started - launched.launched) / fleet.COUNT * 1000,
                "processor time": sum(map(probe.cpu_seconds, own)) + _reaped_seconds() - reaped,
                "memory": sum(probe.memory(pid)["Pss"] for pid in own),
                "processes": len(own),
            }


def _programs(launched: Launched) -> set[int]:
    return {pid for pid in launched.processes() if probe.executes(pid, "sleep")}


def _reaped_seconds() -> float:
    """Return the processor time of all children that have ended, such as the command of pm2."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; return 0 if every run succeeded, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.others", description=__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, metavar="N", help="default: %(default)s")
    runs = parser.parse_args(argv).runs
    # SIGTERM must not leave a supervisor running: SystemExit runs the cleanup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    adopt_orphans()
    found, missing = contenders.available()
    for reason in missing:
        print(f"not measured: {reason}", file=sys.stderr)
    samples, failures = alternate("others", boot, found, runs)
    print(
        f"boot of {fleet.COUNT} programs, {runs} runs of each in turns, after a warm-up:"
        " median (lowest-highest), and ours divided by it\n"
    )
    print(comparison(MEASURES, samples, "ours"))
    for failure in failures:
        print(f"Error: {failure}", file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
