"""Medians, ratios and the result table. Pure: samples in, text out."""

from __future__ import annotations

import statistics
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

#: The values measured by one run, by name of the measure.
Sample = Mapping[str, float]

_HEAD = (
    *("measure", "unit", "ours", "Supervisor", "ratio", "better"),
    *("ours min-max", "Supervisor min-max"),
)
_TEXT_COLUMNS = {0, 1, 5}
_MISSING = "-"


@dataclass(frozen=True)
class Measure:
    """One number that a scenario measures."""

    name: str
    unit: str
    better: str
    """``lower``, ``higher``, or empty if neither is: there is no ratio then."""


@dataclass(frozen=True)
class Summary:
    """Summary of one measure of one subject over all runs."""

    median: float
    low: float
    high: float


def summarize(samples: Sequence[Sample], measure: str) -> Summary | None:
    """Summarize one measure; None if no run succeeded."""
    values = [sample[measure] for sample in samples]
    if not values:
        return None
    return Summary(statistics.median(values), min(values), max(values))


def ratio(ours: Summary | None, other: Summary | None) -> float | None:
    """Return ours divided by the other's; None if one is missing or the divisor is 0."""
    if ours is None or other is None or other.median == 0:
        return None
    return ours.median / other.median


def table(measures: Sequence[Measure], ours: Sequence[Sample], supervisor: Sequence[Sample]) -> str:
    """Format the results of one scenario as a plain text table."""
    rows = [_HEAD]
    for measure in measures:
        mine, theirs = summarize(ours, measure.name), summarize(supervisor, measure.name)
        quotient = ratio(mine, theirs)
        rows.append(
            (
                measure.name,
                measure.unit,
                _MISSING if mine is None else _number(mine.median),
                _MISSING if theirs is None else _number(theirs.median),
                _MISSING if quotient is None else _quotient(quotient),
                measure.better,
                _range(mine),
                _range(theirs),
            )
        )
    return _columns(rows, _TEXT_COLUMNS)


def comparison(
    measures: Sequence[Measure], samples: Mapping[str, Sequence[Sample]], base: str
) -> str:
    """Format the results of several subjects as a plain text table.

    Each measure has two columns: the median with the lowest and highest run, and the median of
    ``base`` divided by that of the subject.
    """
    head, rows = [""], [[name] for name in samples]
    for measure in measures:
        mine = summarize(samples[base], measure.name)
        head.append(f"{measure.name} ({measure.unit})".removesuffix(" ()"))
        if measure.better:
            head.append(f"{base}/it")
        for row, found in zip(rows, samples.values(), strict=True):
            summary = summarize(found, measure.name)
            row.append(
                _MISSING if summary is None else f"{_number(summary.median)} ({_range(summary)})"
            )
            if measure.better:
                quotient = ratio(mine, summary)
                row.append(_MISSING if quotient is None else _quotient(quotient))
    return _columns([head, *rows], {0})


def _columns(rows: Sequence[Sequence[str]], text_columns: Container[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths, text_columns) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int], text_columns: Container[int]) -> str:
    cells = (
        cell.ljust(width) if column in text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _range(summary: Summary | None) -> str:
    return _MISSING if summary is None else f"{_number(summary.low)}-{_number(summary.high)}"


def _quotient(value: float) -> str:
    """Format with two decimals, or two significant digits if that says more."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _number(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
