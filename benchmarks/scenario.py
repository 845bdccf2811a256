"""What a scenario is, and how its runs alternate between the daemons."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.report import Measure, Sample
    from benchmarks.subjects import Subject


@dataclass(frozen=True)
class Scenario:
    """One question put to both daemons."""

    name: str
    what: str
    """What is done and measured, in a sentence or two; printed above the table."""
    measures: tuple[Measure, ...]
    run: Callable[[Subject, Path], Sample]
    """Measures one daemon once, in an empty temporary directory; raises MeasurementError."""


def alternate(
    scenario: Scenario, subjects: Sequence[Subject], runs: int
) -> tuple[dict[str, list[Sample]], list[MeasurementError]]:
    """Run the scenario ``runs`` times with each subject; samples by subject name, and failures.

    A first round is not counted: it compiles bytecode and makes the machine provide the memory of
    the page cache, which has been seen to make it four times slower. Each round starts with the
    other subject. A subject that fails is not run again: its error would only repeat.
    """
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    failures: list[MeasurementError] = []
    left = list(subjects)
    for number in range(runs + 1):
        for subject in tuple(left):
            which = f"run {number} of {runs}" if number else "warm-up"
            print(f"{scenario.name}: {which}, {subject.name}", file=sys.stderr, flush=True)
            try:
                sample = _run_once(scenario, subject)
            except MeasurementError as error:
                failures.append(error)
                left.remove(subject)
            else:
                if number:
                    samples[subject.name].append(sample)
        left.reverse()
    return samples, failures


def _run_once(scenario: Scenario, subject: Subject) -> Sample:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        return scenario.run(subject, Path(directory))
