"""The checks of the storm find what they are for."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.storm.actor import RECORD
from benchmarks.storm.fleet import KINDS, Fleet
from benchmarks.storm.health import Usage, check_growth, largest
from benchmarks.storm.history import check_history
from benchmarks.storm.lines import check_lines
from trio_supervisor.runtime.journal.database import _TABLES

#: Decorations of a line by log_format.
FORMATS: dict[str, Callable[[str], str]] = {
    "plain0": lambda line: f"{line}\n",
    "prefix0": lambda line: f"2026-11-30T13:00:00.123Z prefix0 stdout {line}\n",
    "json0": lambda line: (
        json.dumps(
            {"time": "2026-11-30T13:00:00.123Z", "program": "json0", "line": line},
            separators=(",", ":"),
        )
        + "\n"
    ),
}


def line(name: str, run: int, number: int) -> str:
    return f"<{name} {run} {number} {'x' * (number * 7 % 61)}>"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """One program of each format, each with two runs of 20 lines, one of them in a backup."""
    fleet = Fleet(tmp_path, len(KINDS))
    fleet.write()
    fleet.programs = [program for program in fleet.programs if program.name in FORMATS]
    for name, decorate in FORMATS.items():
        records = tmp_path / "records" / name
        records.mkdir()
        texts = []
        for run in range(2):
            (records / str(run)).write_bytes(RECORD.pack(100 + run, 20, 20, 0, 0))
            lines = [decorate(line(name, run, number)) for number in range(1, 21)]
            texts.append("".join(lines).encode())
        (tmp_path / "logs" / f"{name}.log.1.gz").write_bytes(gzip.compress(texts[0]))
        (tmp_path / "logs" / f"{name}.log").write_bytes(texts[1])
    return fleet


def test_complete_logs_are_in_order(fleet: Fleet) -> None:
    assert list(check_lines(fleet)) == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda lines: lines[:5] + lines[6:], id="lost"),
        pytest.param(lambda lines: lines[:-1], id="lost at the end"),
        pytest.param(lambda lines: lines[:5] + lines[4:], id="doubled"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], id="swapped"),
        pytest.param(lambda lines: [lines[0].replace(b" 1 xx", b" 1 x"), *lines[1:]], id="cut"),
        pytest.param(lambda lines: [*lines, b"y" * 500], id="strange"),
    ],
)
def test_what_is_wrong_with_a_log_is_found(
    fleet: Fleet, name: str, spoil: Callable[[list[bytes]], list[bytes]]
) -> None:
    log = fleet.directory / "logs" / f"{name}.log"
    log.write_bytes(b"".join(spoil(log.read_bytes().splitlines(keepends=True))))
    assert any(name in text for text in check_lines(fleet))


@pytest.mark.parametrize(
    ("name", "begin", "middle", "end"),
    [
        (
            "prefix0",
            "2026-11-30T13:00:00.123Z prefix0 stdout+ {}\n",
            "2026-11-30T13:00:02.123Z prefix0 stdout+ {}\n",
            "2026-11-30T13:00:04.123Z prefix0 stdout {}\n",
        ),
        (
            "json0",
            '{{"time":"2026-11-30T13:00:00.123Z","program":"json0","line":"{}","part":true}}\n',
            '{{"time":"2026-11-30T13:00:02.123Z","program":"json0","line":"{}","part":true}}\n',
            '{{"time":"2026-11-30T13:00:04.123Z","program":"json0","line":"{}"}}\n',
        ),
    ],
)
def test_a_line_that_was_written_in_parts_is_whole(
    fleet: Fleet, name: str, begin: str, middle: str, end: str
) -> None:
    log = fleet.directory / "logs" / f"{name}.log"
    whole = line(name, 1, 10)
    parts = begin.format(whole[:6]) + middle.format(whole[6:8]) + end.format(whole[8:])
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([*lines[:9], parts, *lines[10:]]))
    assert list(check_lines(fleet)) == []

    log.write_text("".join([*lines[:9], begin.format(whole[:6]), *lines[10:]]))
    assert any(name in text for text in check_lines(fleet))


def test_the_last_line_of_a_killed_program_may_be_cut(fleet: Fleet) -> None:
    name = "plain0"
    record = fleet.directory / "records" / name / "1"
    record.write_bytes(RECORD.pack(101, 22, 20, 0, 0))
    with (fleet.directory / "logs" / f"{name}.log").open("a") as log:
        log.write(line(name, 1, 21) + "\n" + line(name, 1, 22)[:9])
    assert list(check_lines(fleet)) == []


def test_a_write_that_failed_is_found(fleet: Fleet) -> None:
    record = fleet.directory / "records" / "plain0" / "1"
    record.write_bytes(RECORD.pack(101, 20, 20, 1, 32))
    assert any("could not write: errno 32" in text for text in check_lines(fleet))


#: What happened to plain0: old state, new state, pid.
MOVES = [
    ("STOPPED", "STARTING", 0),
    ("STARTING", "RUNNING", 100),
    ("RUNNING", "EXITED", 100),
    ("EXITED", "STARTING", 0),
    ("STARTING", "RUNNING", 101),
]


def write_history(
    directory: Path, events: list[tuple[str, str, int]], entries: list[tuple[str, str, int]]
) -> None:
    with (directory / "events").open("w") as file:
        for serial, (old, new, pid) in enumerate(events):
            payload = f"processname:plain0 groupname:plain0 from_state:{old}"
            payload += f" pid:{pid}" if pid else " tries:0"
            header = {"poolserial": str(serial), "eventname": f"PROCESS_STATE_{new}"}
            file.write(json.dumps({"header": header, "payload": payload}) + "\n")
    with closing(sqlite3.connect(directory / "journal")) as journal, journal:
        journal.executescript(_TABLES)
        for number, (old, new, pid) in enumerate(entries, 1):
            evidence = json.dumps({"pid": pid}) if pid else ""
            values = (number, 0.0, 0.0, "", "plain0", "state", old, new, "boot", 0, "", evidence)
            journal.execute(
                f"INSERT INTO entries VALUES ({', '.join('?' * 14)})", (*values, 1, 0.0)
            )


@pytest.mark.parametrize(
    ("events", "entries", "found"),
    [
        (MOVES, MOVES, ""),
        (MOVES[:2] + MOVES[3:], MOVES[:2] + MOVES[3:], "but it was RUNNING"),
        (MOVES, MOVES[:-1], "1 entries of the journal"),
        (MOVES[:-1], MOVES, "1 events, 2 entries"),
        (MOVES[:-2], MOVES[:-2], "does not know the children [101]"),
    ],
    ids=["true", "both lack one", "the journal lacks one", "an event is lost", "a child"],
)
def test_what_is_wrong_with_the_history_is_found(
    fleet: Fleet,
    events: list[tuple[str, str, int]],
    entries: list[tuple[str, str, int]],
    found: str,
) -> None:
    write_history(fleet.directory, events, entries)
    problems = "\n".join(
        text for text in check_history(fleet) if text.startswith(("plain0", "event "))
    )
    assert found in problems
    assert bool(found) == bool(problems)


def test_growth_is_found() -> None:
    before = Usage(descriptors=100, threads=7, resident=50_000)
    assert list(check_growth(before, before)) == []
    grown = Usage(descriptors=120, threads=20, resident=90_000)
    assert len(list(check_growth(before, grown))) == 3
    assert largest([before, grown]) == grown
