"""Following a log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.logs.logfollow import CHUNK, HISTORY, TRUNCATED, LogFollower


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "x.log"
    path.write_bytes(b"old\n")
    return path


@pytest.fixture
def follower(log: Path) -> Iterator[LogFollower]:
    follower = LogFollower(str(log))
    yield follower
    follower.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_history_then_growth(log: Path, follower: LogFollower) -> None:
    assert follower.modified == log.stat().st_mtime
    assert follower.poll() == b"old\n"
    assert follower.poll() == b""
    append(log, b"new \xff")
    assert follower.poll() == b"new \xff"


def test_history_is_the_last_1024_bytes(log: Path) -> None:
    log.write_bytes(b"a" * 10 + b"b" * HISTORY)
    follower = LogFollower(str(log))
    assert follower.poll() == b"b" * HISTORY
    follower.close()


def test_a_lot_comes_in_chunks(log: Path, follower: LogFollower) -> None:
    follower.poll()
    append(log, b"x" * CHUNK + b"y")
    assert [follower.poll(), follower.poll(), follower.poll()] == [b"x" * CHUNK, b"y", b""]


def test_rotation_reads_the_old_file_to_its_end_first(log: Path, follower: LogFollower) -> None:
    follower.poll()
    append(log, b"last of the old")
    log.rename(f"{log}.1")
    log.write_bytes(b"first of the new")
    assert follower.poll() == b"last of the old"
    assert follower.poll() == b"first of the new"
    append(log, b"more")
    assert follower.poll() == b"more"


def test_rotation_to_an_empty_file(log: Path, follower: LogFollower) -> None:
    follower.poll()
    log.rename(f"{log}.1")
    log.touch()
    assert follower.poll() == b""
    append(log, b"new")
    assert follower.poll() == b"new"


@pytest.mark.behaviour("http.md#rotation-and-truncation-under-a-stream")
def test_a_removed_file_is_followed_until_there_is_a_new_one(
    log: Path, follower: LogFollower
) -> None:
    follower.poll()
    with log.open("ab") as file:
        log.unlink()
        file.write(b"unlinked")
    assert follower.poll() == b"unlinked"
    assert follower.poll() == b""
    log.write_bytes(b"new")
    assert follower.poll() == b"new"


def test_truncation_is_announced(log: Path, follower: LogFollower) -> None:
    follower.poll()
    os.truncate(log, 0)
    append(log, b"n")
    assert follower.poll() == TRUNCATED
    assert follower.poll() == b"n"


def test_a_name_that_becomes_something_else_is_left_alone(log: Path, follower: LogFollower) -> None:
    follower.poll()
    log.rename(f"{log}.1")
    os.mkfifo(log)
    assert follower.poll() == b""


def test_missing_or_unreadable(tmp_path: Path) -> None:
    with pytest.raises(NoFile):
        LogFollower(str(tmp_path / "none"))
    with pytest.raises(Failed):
        LogFollower(str(tmp_path))
