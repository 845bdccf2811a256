"""Scenario: draining writers of small blocks, one of them eight times and fifty at once."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.probe import cpu_seconds
from benchmarks.report import Measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import writers
from benchmarks.subjects import running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.report import Sample
    from benchmarks.subjects import Daemon, Subject

#: Drains of one writer in a run: the slowest shows how much the rate varies.
_DRAINS = 8
_BYTES = 256_000_000
#: Writers at once, and the bytes of each.
_MANY = 50
_BYTES_OF_EACH = 20_000_000
#: The buffer size of the C library and of many programs.
_BLOCK = 8 * 1024


def _run(subject: Subject, directory: Path) -> Sample:
    one, many = directory / "one", directory / "many"
    one.mkdir()
    many.mkdir()
    return _one_writer(subject, one) | _many_writers(subject, many)


def _one_writer(subject: Subject, directory: Path) -> dict[str, float]:
    names = [f"writer-{number}" for number in range(_DRAINS)]
    sections = writers.programs(names, directory, amount=_BYTES, block=_BLOCK)
    rates = []
    with running(subject, directory, sections) as daemon:
        daemon.wait_for_answer()
        processor = cpu_seconds(daemon.pid)
        for name in names:
            rates.append(_drain(daemon, directory, [name], _BYTES))
            (directory / f"{name}.log").unlink()
        processor = cpu_seconds(daemon.pid) - processor
    return {
        "one writer": statistics.median(rates),
        "one writer, slowest": min(rates),
        "one writer, processor": processor / (_DRAINS * _BYTES / 1e9),
    }


def _many_writers(subject: Subject, directory: Path) -> dict[str, float]:
    names = [f"writer-{number}" for number in range(_MANY)]
    sections = writers.programs(names, directory, amount=_BYTES_OF_EACH, block=_BLOCK)
    amount = _MANY * _BYTES_OF_EACH
    with running(subject, directory, sections) as daemon:
        daemon.wait_for_answer()
        processor = cpu_seconds(daemon.pid)
        rate = _drain(daemon, directory, names, amount)
        processor = cpu_seconds(daemon.pid) - processor
    return {
        f"{_MANY} writers": rate,
        f"{_MANY} writers, processor": processor / (amount / 1e9),
    }


def _drain(daemon: Daemon, directory: Path, names: list[str], amount: int) -> float:
    """Start these writers and return MB/s from the first byte in a log to the last."""
    for name in names:
        daemon.rpc.start(name)
    began = daemon.wait(lambda: writers.written(directory, names) > 0, "the first output")
    before = writers.written(directory, names)
    ended = daemon.wait(lambda: writers.written(directory, names) >= amount, "the last output")
    return (amount - before) / 1e6 / (ended - began)


SCENARIO = Scenario(
    name="flood",
    what=(
        f"children write to stdout in blocks of {_BLOCK // 1024} KiB, into log files without"
        f" rotation: one child {_BYTES // 1_000_000} MB, {_DRAINS} times one after another, and"
        f" {_MANY} children {_BYTES_OF_EACH // 1_000_000} MB each at once. Rate from the first byte"
        f" to the last (median and slowest of the {_DRAINS}), and processor time of the daemon."
    ),
    measures=(
        Measure("one writer", "MB/s", "higher"),
        Measure("one writer, slowest", "MB/s", "higher"),
        Measure("one writer, processor", "CPU s/GB", "lower"),
        Measure(f"{_MANY} writers", "MB/s", "higher"),
        Measure(f"{_MANY} writers, processor", "CPU s/GB", "lower"),
    ),
    run=_run,
)
