"""A log and its backups as one stretch of bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.runtime.logs.rotated import (
    Position,
    is_log,
    open_at,
    open_next,
    read_end,
)

ALL = b"oldest\nolder\nnewest\n"


def rotate(log: Path) -> None:
    for number in (2, 1, 0):
        path = Path(f"{log}.{number}") if number else log
        if path.exists():
            path.rename(f"{log}.{number + 1}")
    log.touch()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three generations."""
    log = tmp_path / "log"
    for number, text in enumerate(ALL.splitlines(keepends=True)):
        if number:
            rotate(log)
        log.write_bytes(text)
        os.utime(log, (1000 + number, 1000 + number))
    return log


def read(found: tuple[int, int] | None) -> bytes | None:
    """What the file has from the position on."""
    if found is None:
        return None
    fd, position = found
    try:
        return os.pread(fd, 100, position)
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [*range(len(ALL) + 1), 1000])
def test_the_end(log: Path, size: int) -> None:
    end = read_end(str(log), size)
    assert end.data == ALL[max(0, len(ALL) - size) :]
    assert end.since(1).data == end.data[1:]


@pytest.mark.parametrize("rotations", [0, 1])
def test_every_place_is_found_again(log: Path, rotations: int) -> None:
    """From any place the rest of its file follows, whichever file the place is counted from."""
    places = [read_end(str(log), size).position for size in range(len(ALL) + 1)]
    for _ in range(rotations):
        rotate(log)
    for size, place in enumerate(places):
        assert Position.parse(str(place)) == place
        rest = ALL[len(ALL) - size :]
        line, newline, _ = rest.partition(b"\n")
        assert read(open_at(str(log), place)) == line + newline
    # Counted forward from the oldest.
    for count in range(len(ALL)):
        found = read(open_at(str(log), places[-1].moved(count)))
        assert found is not None
        assert ALL[count:].startswith(found)


def test_places_that_are_gone(log: Path) -> None:
    place = read_end(str(log), 0).position
    for wrong in (place.moved(1), place.moved(-1000), Position(place.log, 1, 0)):
        assert open_at(str(log), wrong) is None
    assert open_at(f"{log}.1", place) is None  # the same file, but another log
    for path in log.parent.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError):
        open_at(str(log), place)


@pytest.mark.parametrize("text", ["", "1-2", "x-1-1"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"int\(\)|not enough values"):
        Position.parse(text)


def test_the_next_file(log: Path) -> None:
    fd = os.open(f"{log}.2", os.O_RDONLY)
    try:
        for expected in (b"older\n", b"newest\n"):
            following = open_next(str(log), fd)
            os.close(fd)
            fd = following
            assert os.pread(fd, 100, 0) == expected
    finally:
        os.close(fd)


def test_a_file_that_was_pushed_out(log: Path) -> None:
    fd = os.open(f"{log}.2", os.O_RDONLY)
    os.unlink(f"{log}.2")
    assert read((open_next(str(log), fd), 0)) == b"older\n"
    os.close(fd)


def test_a_log_that_was_removed(log: Path) -> None:
    """Its backups are older than it."""
    fd = os.open(log, os.O_RDONLY)
    log.unlink()
    log.write_bytes(b"fresh\n")
    assert read((open_next(str(log), fd), 0)) == b"fresh\n"
    os.close(fd)


def test_no_rotation_is_missed_by_who_follows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"0\n")
    follower = LogFollower(str(log))
    assert follower.poll() == b"0\n"
    for number in (1, 2, 3):  # between two polls
        rotate(log)
        log.write_bytes(b"%d\n" % number)
    assert [follower.poll() for _ in range(4)] == [b"1\n", b"2\n", b"3\n", b""]
    follower.close()


def test_a_rotation_during_the_look(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that has just got another name is not read twice."""
    real = os.open
    todo = [rotate]

    def open_and_rotate(path: str, flags: int, mode: int = 0o777, **options: int) -> int:
        fd = real(path, flags, mode, **options)
        if todo and path == log.name and not flags & os.O_PATH:
            todo.pop()(log)
        return fd

    monkeypatch.setattr(os, "open", open_and_rotate)
    assert read_end(str(log), 1000).data == ALL


@pytest.mark.parametrize("gap", [0, 1, 2])
def test_in_the_middle_of_a_rotation(log: Path, gap: int) -> None:
    """Files have moved up to where there is a gap now; the log's own is the last."""
    place = read_end(str(log), len(ALL)).position
    fd = os.open(f"{log}.1", os.O_RDONLY)
    for number in (2, 1, 0):
        if number >= gap:
            path = Path(f"{log}.{number}") if number else log
            path.rename(f"{log}.{number + 1}")
    assert is_log(str(log))
    assert read_end(str(log), 1000).data == ALL
    assert read(open_at(str(log), place)) == b"oldest\n"
    assert read((open_next(str(log), fd), 0)) == b"newest\n"
    os.close(fd)


def test_nothing_newer_yet(log: Path) -> None:
    fd = os.open(log, os.O_RDONLY)
    log.replace(f"{log}.1")
    with pytest.raises(FileNotFoundError):
        open_next(str(log), fd)
    os.close(fd)


def test_what_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "none", tmp_path / "fifo", "/dev/null", "/dev/stdout"):
        assert not is_log(str(path))
