"""The type of a scenario, and the alternation of its runs between the daemons."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.report import Measure, Sample
    from benchmarks.subjects import Subject


@dataclass(frozen=True)
class Plot:
    """How the measures of a scenario form a curve."""

    x: str
    """Name of the axis."""
    y: str
    """Name of the axis, with the unit."""
    places: Mapping[str, float]
    """Place on the x axis of each measure that is a point of the curve."""


@dataclass(frozen=True)
class Scenario:
    """One measurement, made with both daemons."""

    name: str
    what: str
    """Description of the procedure and the measures; printed above the table."""
    measures: tuple[Measure, ...]
    run: Callable[[Subject, Path], Sample]
    """Measure one daemon once, in an empty temporary directory; raises MeasurementError."""
    plot: Plot | None = None
    """None means that the measures are no curve."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Subject = TypeVar("_Subject", bound=_Named)


def alternate(
    name: str, run: Callable[[_Subject, Path], Sample], subjects: Sequence[_Subject], runs: int
) -> tuple[dict[str, list[Sample]], list[MeasurementError]]:
    """Run a measurement ``runs`` times with each subject, in an empty temporary directory.

    Return samples by subject, and failures. The first round is a warm-up and not counted: it
    compiles bytecode and fills the page cache, which made it up to four times slower. Each round
    has the reverse order of the one before. A subject that fails is not run again, because the
    error would most likely repeat.
    """
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    failures: list[MeasurementError] = []
    left = list(subjects)
    for number in range(runs + 1):
        for subject in tuple(left):
            which = f"run {number} of {runs}" if number else "warm-up"
            print(f"{name}: {which}, {subject.name}", file=sys.stderr, flush=True)
            try:
                with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
                    sample = run(subject, Path(directory))
            except MeasurementError as error:
                failures.append(error)
                left.remove(subject)
            else:
                if number:
                    samples[subject.name].append(sample)
        left.reverse()
    return samples, failures
