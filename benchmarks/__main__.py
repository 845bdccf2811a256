"""``python -m benchmarks``: run scenarios with both daemons and compare the results."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks import supervisor_venv
from benchmarks.launched import adopt_orphans
from benchmarks.picture import draw
from benchmarks.probe import MeasurementError
from benchmarks.report import table
from benchmarks.scenario import Scenario, alternate
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import Subject, ours, supervisor

#: The smallest number of runs whose median is not affected by two outliers.
_DEFAULT_RUNS = 5

EXIT_FAILED = 1


def main(argv: list[str] | None = None) -> int:
    """Run the selected scenarios; return 0 if every run succeeded, otherwise 1."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:<20} {scenario.what}")
        return 0
    scenarios = [SCENARIOS[name] for name in arguments.scenario or SCENARIOS]
    # SIGTERM must not leave the daemon running: SystemExit runs the cleanup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_FAILED))
    try:
        adopt_orphans()
        supervisord = supervisor_venv.ensure(arguments.supervisor_venv)
        subjects = (ours(), supervisor(supervisord))
        print(_setting(subjects, arguments.runs), flush=True)
    except MeasurementError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_FAILED
    failed = [
        _measure(scenario, subjects, arguments.runs, arguments.pictures) for scenario in scenarios
    ]
    return EXIT_FAILED if any(failed) else 0


def _measure(
    scenario: Scenario, subjects: tuple[Subject, Subject], runs: int, pictures: Path | None
) -> bool:
    """Run one scenario and print its table; return True if a run failed."""
    samples, failures = alternate(scenario.name, scenario.run, subjects, runs)
    mine, theirs = (samples[subject.name] for subject in subjects)
    print(f"\n{scenario.name}: {scenario.what}")
    print(f"Successful runs: {len(mine)} ours, {len(theirs)} Supervisor.\n")
    print(table(scenario.measures, mine, theirs), flush=True)
    if pictures is not None and scenario.plot is not None and mine and theirs:
        picture = draw(scenario.name, scenario.plot, {"ours": mine, "Supervisor": theirs})
        (pictures / f"{scenario.name}.svg").write_text(picture)
    for failure in failures:
        print(f"Error: {scenario.name}: {failure}", file=sys.stderr)
    return bool(failures)


def _setting(subjects: tuple[Subject, Subject], runs: int) -> str:
    """Describe the measurement: versions, machine and method."""
    mine, theirs = subjects
    return (
        f"ours: trio-supervisor {mine.version()}; Supervisor {theirs.version()}\n"
        f"Python {platform.python_version()}, {platform.system()} {platform.release()},"
        f" {os.cpu_count()} processors\n"
        f"{runs} runs of each, in alternation, after a warm-up;"
        " medians; ratio = ours / Supervisor"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--scenario",
        action="append",
        choices=list(SCENARIOS),
        metavar="NAME",
        help="scenario to run (may be repeated; default: all)",
    )
    parser.add_argument(
        "--runs", type=_positive, default=_DEFAULT_RUNS, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--pictures",
        type=_directory,
        metavar="DIR",
        help="existing directory for NAME.svg, the curves of each scenario that has some",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument(
        "--supervisor-venv",
        type=Path,
        default=supervisor_venv.default_directory(),
        metavar="DIR",
        help=f"virtual environment of Supervisor {supervisor_venv.VERSION}, created if missing "
        f"(default: ${supervisor_venv.VARIABLE}, or a directory in the user's cache)",
    )
    return parser


def _directory(text: str) -> Path:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no directory; create it first")
    return Path(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
