"""``python -m benchmarks``: run scenarios with both daemons and print how they compare."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks import reference
from benchmarks.probe import MeasurementError
from benchmarks.report import table
from benchmarks.scenario import Scenario, alternate
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import Subject, adopt_orphans, ours
from benchmarks.subjects import reference as reference_subject

#: The least number of runs whose median is not thrown off by one or two outliers.
_DEFAULT_RUNS = 5

EXIT_FAILED = 1


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 when every run of every scenario gave its numbers."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:<10} {scenario.what}")
        return 0
    scenarios = [SCENARIOS[name] for name in arguments.scenario or SCENARIOS]
    # A benchmark that is told to end still ends its daemon: SystemExit runs the cleanup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_FAILED))
    try:
        adopt_orphans()
        supervisord = reference.ensure(arguments.reference_venv)
        subjects = (ours(), reference_subject(supervisord))
        print(_setting(subjects, arguments.runs), flush=True)
    except MeasurementError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_FAILED
    failed = [_measure(scenario, subjects, arguments.runs) for scenario in scenarios]
    return EXIT_FAILED if any(failed) else 0


def _measure(scenario: Scenario, subjects: tuple[Subject, Subject], runs: int) -> bool:
    """Run one scenario and print its table; returns whether something failed."""
    samples, failures = alternate(scenario, subjects, runs)
    mine, theirs = (samples[subject.name] for subject in subjects)
    print(f"\n{scenario.name}: {scenario.what}")
    print(f"Successful runs: {len(mine)} ours, {len(theirs)} reference.\n")
    print(table(scenario.measures, mine, theirs), flush=True)
    for failure in failures:
        print(f"Error: {scenario.name}: {failure}", file=sys.stderr)
    return bool(failures)


def _setting(subjects: tuple[Subject, Subject], runs: int) -> str:
    """What the numbers are of: versions, machine, and how they come about."""
    mine, theirs = subjects
    return (
        f"ours: trio-supervisor {mine.version()}; reference: Supervisor {theirs.version()}\n"
        f"Python {platform.python_version()}, {platform.system()} {platform.release()},"
        f" {os.cpu_count()} processors\n"
        f"{runs} runs of each, in alternation, after one that is not counted;"
        " medians; ratio = ours / reference"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--scenario",
        action="append",
        choices=list(SCENARIOS),
        metavar="NAME",
        help="a scenario to run (may be repeated; default: all)",
    )
    parser.add_argument(
        "--runs", type=_positive, default=_DEFAULT_RUNS, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument(
        "--reference-venv",
        type=Path,
        default=reference.default_directory(),
        metavar="DIR",
        help=f"virtual environment with supervisor {reference.VERSION}, made if it is not there "
        f"(default: ${reference.VARIABLE}, or a directory of the user's cache)",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
