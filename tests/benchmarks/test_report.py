"""Medians, ratios and the table of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks.report import Measure, Summary, comparison, ratio, summarize, table

RATE = Measure("rate", "MB/s", "higher")


def test_summary_is_median_and_extremes_whatever_the_order() -> None:
    samples = [{"rate": 9.0}, {"rate": 1.0}, {"rate": 2.0}]
    assert summarize(samples, "rate") == Summary(median=2.0, low=1.0, high=9.0)


def test_median_of_an_even_number_of_runs_lies_between() -> None:
    summary = summarize([{"rate": 1.0}, {"rate": 2.0}], "rate")
    assert summary is not None
    assert summary.median == 1.5


def test_no_runs_have_no_summary() -> None:
    assert summarize([], "rate") is None


@pytest.mark.parametrize(
    ("ours", "supervisor", "expected"),
    [
        pytest.param(Summary(3, 0, 9), Summary(2, 0, 9), 1.5, id="medians"),
        pytest.param(None, Summary(2, 2, 2), None, id="ours-failed"),
        pytest.param(Summary(2, 2, 2), None, None, id="supervisor-failed"),
        pytest.param(Summary(2, 2, 2), Summary(0, 0, 0), None, id="nothing-to-divide-by"),
    ],
)
def test_ratio(ours: Summary | None, supervisor: Summary | None, expected: float | None) -> None:
    assert ratio(ours, supervisor) == expected


def test_table_has_a_line_for_each_measure() -> None:
    measures = [RATE, Measure("time", "s", "lower")]
    ours = [{"rate": 2000.0, "time": 0.5}, {"rate": 1000.0, "time": 0.25}]
    supervisor = [{"rate": 1000.4, "time": 12.34}]
    assert table(measures, ours, supervisor).splitlines() == [
        "measure  unit   ours  Supervisor  ratio  better  ours min-max  Supervisor min-max",
        "rate     MB/s   1500        1000   1.50  higher     1000-2000           1000-1000",
        "time     s     0.375        12.3   0.03  lower       0.25-0.5           12.3-12.3",
    ]


def test_table_shows_what_is_missing() -> None:
    line = table([RATE], [], [{"rate": 5.0}]).splitlines()[1]
    assert line.split() == ["rate", "MB/s", "-", "5", "-", "higher", "-", "5-5"]


def test_comparison_has_a_line_for_each_subject() -> None:
    measures = [Measure("time", "s", "lower"), Measure("processes", "", "")]
    samples = {
        "ours": [{"time": 3.0, "processes": 1.0}, {"time": 1.0, "processes": 1.0}],
        "other": [{"time": 4.0, "processes": 301.0}],
        "broken": [],
    }
    assert comparison(measures, samples, "ours").splitlines() == [
        "        time (s)  ours/it      processes",
        "ours     2 (1-3)     1.00        1 (1-1)",
        "other    4 (4-4)     0.50  301 (301-301)",
        "broken         -        -              -",
    ]


def test_small_ratios_have_two_digits() -> None:
    assert table([RATE], [{"rate": 3.0}], [{"rate": 1004.0}]).split()[-4] == "0.003"
