"""How runs alternate, and what a daemon that does not work looks like."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.probe import MeasurementError
from benchmarks.scenario import alternate
from benchmarks.subjects import Subject, running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample

OURS, SUPERVISOR = Subject("ours", ("a",)), Subject("Supervisor", ("b",))


def test_rounds_start_with_the_other_subject_after_an_uncounted_one() -> None:
    order: list[str] = []

    def run(subject: Subject, directory: Path) -> Sample:
        assert list(directory.iterdir()) == []
        order.append(subject.name)
        return {"position": len(order)}

    samples, failures = alternate("order", run, (OURS, SUPERVISOR), runs=2)
    assert order == ["ours", "Supervisor", "Supervisor", "ours", "ours", "Supervisor"]
    assert samples == {
        "ours": [{"position": 4}, {"position": 5}],
        "Supervisor": [{"position": 3}, {"position": 6}],
    }
    assert failures == []


def test_failing_subject_is_run_once_and_the_other_one_goes_on() -> None:
    def run(subject: Subject, directory: Path) -> Sample:
        if subject is OURS:
            raise MeasurementError("no daemon")
        return {"value": 1}

    samples, failures = alternate("failing", run, (OURS, SUPERVISOR), runs=2)
    assert samples == {"ours": [], "Supervisor": [{"value": 1}, {"value": 1}]}
    assert [str(failure) for failure in failures] == ["no daemon"]


def test_daemon_that_ends_at_start_is_reported_with_its_output(tmp_path: Path) -> None:
    broken = Subject("ours", (sys.executable, "-c", "raise SystemExit('out of order')"))
    with (
        pytest.raises(MeasurementError, match=r"ours: the daemon ended with 1:\nout of order"),
        running(broken, tmp_path, programs="") as daemon,
    ):
        daemon.wait_for_answer()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(("/nonexistent/supervisord",), "cannot run", id="missing"),
        pytest.param((sys.executable, "-c", "raise SystemExit('broken')"), "broken", id="broken"),
    ],
)
def test_version_of_a_daemon_that_cannot_run(command: tuple[str, ...], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        Subject("ours", command).version()
