"""The file of the journal: what is written is read again, and no state of the file does harm."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from trio_supervisor.core.journal.entry import NO_FACTS, Facts, JournalEntry, What
from trio_supervisor.core.journal.memory import select
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.journal.database import (
    COMPANIONS,
    RESERVE,
    SMALLEST,
    Database,
    JournalUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = 20 * 1024 * 1024


def entry(number: int, process: str = "web", *, evidence: Facts = NO_FACTS) -> JournalEntry:
    cause = Cause(CauseKind.REQUEST, "ann from ::1", 7)
    return JournalEntry(
        *(number, number + 0.5, number + 0.25, "boot", process, What.STATE, "STOPPED", "STARTING"),
        *(cause, evidence, 3, 1.5),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(str(path), LARGE)
    yield database
    database.close(0)


def numbers(database: Database, **wanted: object) -> list[int]:
    asked: dict[str, object] = {"names": (), "since": None, "kind": None, "limit": None, **wanted}
    return [each.number for each in database.read(**asked)]  # type: ignore[arg-type]  # any filter


@pytest.mark.behaviour("journal.md#the-journal-on-disk")
def test_what_is_written_is_read_again(database: Database, path: Path) -> None:
    facts: Facts = {"pid": 7, "exit": "exit status 3", "expected": False, "lifetime": 1.5}
    entries = [entry(1, evidence=facts), entry(2, "grp:\udcff"), entry(3, "")]
    database.write(entries, (), 3)
    found = database.read((), None, None, None)
    assert found[0] == entries[0]
    assert found[0].cause.entry == 7
    assert found[1].process == "grp:\\udcff"
    assert found[2].process == ""
    assert database.find(1) == entries[0]
    assert database.find(9) is None
    database.write([entry(4)], [1, 2], 4)
    assert numbers(database) == [3, 4]
    modes = {stat.S_IMODE(os.stat(f"{path}{name}").st_mode) for name in ("", "-wal", ".lock")}
    assert modes == {0o600}


def test_filters_are_those_of_the_memory(database: Database) -> None:
    entries = [
        entry(1),
        entry(2, "grp:a"),
        entry(3, "", evidence={"group": "grp"}),
        entry(4, ""),
        entry(5),
    ]
    database.write(entries, (), 5)
    for wanted in (
        {},
        {"names": ["web"]},
        {"names": ["grp"]},
        {"names": ["grp:a", "nobody"]},
        {"since": 3.0},
        {"since": 99.0},
        {"kind": "request"},
        {"kind": "exit"},
        {"limit": 2},
        {"names": ["web"], "limit": 1, "since": 1.5},
    ):
        chosen = select(entries, **wanted)
        assert numbers(database, **wanted) == [each.number for each in chosen], wanted


def test_entries_of_a_later_version_are_left_out(database: Database) -> None:
    database.write([entry(1), entry(2)], (), 2)
    database._database.execute("UPDATE entries SET kind = 'new kind' WHERE number = 1")
    assert numbers(database) == [2]


@pytest.mark.behaviour("journal.md#numbers-order-the-entries")
def test_numbers_are_not_used_again(path: Path) -> None:
    database = Database(str(path), LARGE)
    assert (database.reserved, database.is_after_crash) == (0, False)
    database.write([entry(1)], (), 1)
    database.close(1)
    again = Database(str(path), LARGE)
    assert (again.reserved, again.is_after_crash) == (1, False)
    again.write([entry(2)], (), 2)
    again._close_files()  # as after SIGKILL: entries 3 to ... may have been seen and lost
    crashed = Database(str(path), LARGE)
    assert (crashed.reserved, crashed.is_after_crash) == (2 + RESERVE, True)
    crashed.close(crashed.reserved)


@pytest.mark.behaviour("journal.md#the-file-of-the-journal-is-safe")
def test_files_that_are_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"")
    for name in ("", *COMPANIONS, ".lock"):
        link = tmp_path / f"journal{name}"
        link.symlink_to(other)
        with pytest.raises((JournalUnusable, OSError)):
            Database(str(path), LARGE)
        link.unlink()
        for rest in tmp_path.glob("journal*"):
            rest.unlink()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE t(x)")
    with pytest.raises(JournalUnusable, match="another program"):
        Database(str(path), LARGE)
    with closing(sqlite3.connect(path)) as foreign:
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    path.unlink()
    Database(str(path), LARGE).close(0)
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalUnusable, match="another version"):
        Database(str(path), LARGE)


@pytest.mark.behaviour("journal.md#the-file-of-the-journal-is-safe")
def test_a_file_that_another_daemon_has(path: Path) -> None:
    script = (
        "import sys\nfrom trio_supervisor.runtime.journal.database import Database\n"
        f"database = Database({str(path)!r}, 10**6)\nprint('open', flush=True)\ninput()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(JournalUnusable, match=f"another daemon, with pid {other.pid}$"):
            Database(str(path), LARGE)
        other.communicate(b"\n")
    Database(str(path), LARGE).close(0)


@pytest.mark.behaviour("journal.md#a-damaged-journal")
@pytest.mark.parametrize("damage", ["header", "middle", "zeros"])
def test_a_damaged_file_is_moved_away(path: Path, tmp_path: Path, damage: str) -> None:
    database = Database(str(path), LARGE)
    database.write([entry(n, evidence={"x": "y" * 500}) for n in range(1, 200)], (), 200)
    database.close(200)
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:100] = b"garbage" * 14 + b".."
    elif damage == "middle":
        data[8192:16384] = os.urandom(8192)
    else:
        data = bytearray(len(data))
    path.write_bytes(data)
    database = Database(str(path), LARGE)
    [moved] = tmp_path.glob("journal.damaged-*")
    assert moved.read_bytes() == data
    assert str(moved) in database.remark
    database.write([entry(1)], (), 1)
    assert numbers(database) == [1]
    database.close(1)


@pytest.mark.behaviour("journal.md#a-damaged-journal")
def test_a_file_that_is_damaged_while_it_is_open(path: Path, tmp_path: Path) -> None:
    database = Database(str(path), LARGE)
    database.write([entry(n, evidence={"x": "y" * 500}) for n in range(1, 200)], (), 199)
    database._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    # A fresh connection has nothing in its cache.
    database._database.close()
    database._connect()
    database.write([entry(300, evidence={"x": "y" * 500})], range(1, 200), 300)
    assert len(list(tmp_path.glob("journal.damaged-*"))) == 1
    assert numbers(database) == [300]
    assert database.reserved >= 300
    database.close(300)


@pytest.mark.behaviour("journal.md#the-size-of-the-journal")
def test_the_size_is_bounded(path: Path) -> None:
    database = Database(str(path), 1)
    largest = 0
    for turn in range(100):
        first = turn * 50
        entries = [entry(first + n, evidence={"x": "y" * 200}) for n in range(50)]
        database.write(entries, (), first + 50)
        sizes = [os.stat(f"{path}{name}").st_size for name in ("", "-wal")]
        largest = max(largest, sum(sizes))
    assert largest <= SMALLEST
    kept = numbers(database)
    assert kept[-1] == 4999
    assert kept == list(range(kept[0], 5000))
    database.close(5000)


@pytest.mark.behaviour("journal.md#the-size-of-the-journal")
def test_a_smaller_limit_shrinks_the_file(path: Path) -> None:
    database = Database(str(path), LARGE)
    database.write([entry(n, evidence={"x": "y" * 500}) for n in range(1000)], (), 1000)
    database.close(1000)
    assert path.stat().st_size > SMALLEST
    database = Database(str(path), SMALLEST)
    assert numbers(database)[-1] == 999
    database.close(1000)
    assert path.stat().st_size <= SMALLEST
