"""A log and its backups, plain and compressed, read from any place in either direction."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import tracemalloc
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.daemon import eventually
from tests.kit.fakes import log_lines
from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.core.logs.place import LogPlace
from trio_supervisor.core.logs.times import Marks, Stamps, Stretch
from trio_supervisor.runtime.logs.compression import Compressor
from trio_supervisor.runtime.logs.history import (
    PlaceGone,
    end_of,
    lines_after,
    lines_before,
    place_of_time,
    read_after,
    read_before,
    size_of,
)
from trio_supervisor.runtime.logs.logfile import LogFile, open_log
from trio_supervisor.runtime.logs.rotation import Rotations, RotationScheme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNKNOWN = Marks((), 0)


class Written:
    """A log that is written, rotated and compressed by the daemon's own code."""

    def __init__(self, directory: Path, *, maxbytes: int = 100, backups: int = 300) -> None:
        self.path = str(directory / "x.log")
        self.all = b""
        self.reports: list[str] = []
        rotations = Rotations()
        self._compressor = Compressor(rotations)
        self._file = LogFile(
            self.path,
            open_log(self.path),
            rotation=RotationScheme(maxbytes, backups, compressed=True),
            report=log_lines(self.reports),
            compressor=self._compressor,
            rotations=rotations,
        )

    def write(self, data: bytes) -> None:
        self.all += data
        self._file.write(data)

    def settle(self) -> None:
        eventually(lambda: not self._compressor._runs, "the thread being done")

    def close(self) -> None:
        self.settle()
        self._file.close()
        assert self.reports == []


def backwards(path: str, size: int, between: Callable[[], object] = lambda: None) -> bytes:
    """All that is read block by block from the end to the beginning."""
    place, found = end_of(path), b""
    assert place is not None
    while True:
        block = read_before(path, place, size)
        found = block.data + found
        if block.is_first:
            return found
        place = LogPlace.parse(str(block.place(0)))
        between()


def forwards(path: str, size: int, between: Callable[[], object] = lambda: None) -> bytes:
    place, found = None, b""
    while True:
        block = read_after(path, place, size)
        found += block.data
        if block.is_last:
            return found
        place = LogPlace.parse(str(block.place(len(block.data))))
        between()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.mark.behaviour("http.md#places-in-logs")
@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=150), min_size=1, max_size=12),
    more=st.lists(st.binary(min_size=1, max_size=150), max_size=12),
    size=st.integers(1, 300),
)
def test_every_byte_once_while_the_log_is_rotated_and_compressed(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], more: list[bytes], size: int
) -> None:
    log = Written(tmp_path_factory.mktemp("log"))
    for piece in pieces:
        log.write(piece)
    before = log.all
    new = iter(more)

    def go_on() -> None:
        log.write(next(new, b"later\n"))
        if size % 2:
            log.settle()

    try:
        assert backwards(log.path, size, go_on) == before
        assert forwards(log.path, 1000) == log.all
        before = log.all
        assert forwards(log.path, max(size, 200), go_on).startswith(before)
        assert size_of(log.path) == len(log.all)
    finally:
        log.close()
        shutil.rmtree(os.path.dirname(log.path))


@pytest.mark.behaviour("http.md#places-in-logs")
def test_identical_files_are_told_apart_although_inodes_are_used_again(tmp_path: Path) -> None:
    log = Written(tmp_path, backups=300)
    line = b"always the same line\n" * 5
    for _ in range(10):
        log.write(line)
        log.settle()
    rotations = iter(range(6))

    def rotate() -> None:
        if next(rotations, None) is not None:
            log.write(line)
            log.settle()

    before = log.all
    assert backwards(log.path, 70, rotate) == before
    log.close()


@pytest.mark.behaviour("http.md#places-in-logs")
def test_while_a_thread_rotates_as_fast_as_it_can(tmp_path: Path) -> None:
    """Old files are removed meanwhile, so all is read from some line on."""
    log = Written(tmp_path, maxbytes=1000, backups=20)
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set() and number < 200_000:
            log.write(b"%09d\n" % number * 5)
            number += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        found: list[bytes] = []
        while len(found) < 10 or not any(found):  # the thread may be faster than all ten
            with suppress(PlaceGone, Failed, NoFile):
                found.append(b"")
                for line in _back_from_the_end(log.path):
                    found[-1] = line + found[-1]
    finally:
        stop.set()
        thread.join()
        log.close()
    assert all(one in log.all for one in found)


def _back_from_the_end(path: str) -> Iterator[bytes]:
    place = end_of(path)
    while place is not None:
        block = read_before(path, place, 777)
        yield block.data
        place = None if block.is_first else block.place(0)


@pytest.mark.behaviour("http.md#places-in-logs")
def test_a_place_that_is_gone(written: Written) -> None:
    log = Path(written.path)
    written.write(b"one\n" * 10)
    place = end_of(written.path)
    assert place is not None
    log.write_bytes(b"two\n" * 20)
    for read in (read_before, read_after):
        with pytest.raises(PlaceGone):
            read(written.path, place)
    with pytest.raises(PlaceGone):
        size_of(written.path, place)
    log.write_bytes(b"")
    with pytest.raises(PlaceGone):
        read_before(written.path, place)
    log.unlink()
    with pytest.raises(NoFile):
        read_before(written.path, place)
    assert end_of(written.path) is None
    log.mkdir()
    with pytest.raises(Failed, match="cannot read"):
        end_of(written.path)
    log.rmdir()


def test_files_of_other_programs(tmp_path: Path) -> None:
    """Such as those that logrotate makes, whose compressed files have no number of an inode."""
    log = tmp_path / "x.log"
    texts = [b"%04d a line of a certain length, so that it tells\n" % n * 3 for n in range(5)]
    log.write_bytes(texts[4])
    place = end_of(str(log))
    assert place is not None
    for number in range(4):
        older = tmp_path / f"x.log.{4 - number}"
        older.write_bytes(texts[number])
    (tmp_path / "x.log.7").symlink_to("x.log.1")
    (tmp_path / "x.log.x").write_text("none of it")
    (tmp_path / "x.log.30").mkdir()
    half = read_before(str(log), place, 300).place(0)
    for number in (4, 3, 2):
        plain = tmp_path / f"x.log.{number}"
        with gzip.open(f"{plain}.gz", "wb") as file, plain.open("rb") as source:
            shutil.copyfileobj(source, file)
        plain.unlink()
    block = read_before(str(log), half, 10_000)
    assert block.is_first
    assert block.data == b"".join(texts)[:-300]
    assert block.behind == 300
    # What was appended is read too, and of a damaged file what comes before the damage.
    with (tmp_path / "x.log.4.gz").open("ab") as file:
        file.write(gzip.compress(b"more\n"))
        file.write(b"\x1f\x8b\x08no more")
    assert read_after(str(log), None, 1000).data.startswith(texts[0] + b"more\n" + texts[1])


def test_lines_in_either_direction(written: Written) -> None:
    text = b"".join(b"line %d%s\n" % (n, b"-" * (n % 50)) for n in range(200))
    for start in range(0, len(text), 130):
        written.write(text[start : start + 130])
    written.write(b"unfinished")
    written.settle()
    lines = [*text.splitlines(), b"unfinished"]
    end = end_of(written.path)
    assert end is not None
    for size in (64, 100, 1000, 100_000):
        back = list(lines_before(written.path, end, "stdout", UNKNOWN, size))
        assert [line.data for line in back][::-1] == lines
        on = list(lines_after(written.path, None, "stdout", UNKNOWN, size))
        assert [line.data for line in on] == lines
        assert [line.is_whole for line in on] == [True] * 200 + [False]
        assert all(one.end == two.start for one, two in pairwise(on))
    written.close()


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a\n" + b"x" * 500 + b"\nb\n")
    end = end_of(str(log))
    assert end is not None
    for lines in (
        list(lines_before(str(log), end, "stdout", UNKNOWN, 100))[::-1],
        list(lines_after(str(log), None, "stdout", UNKNOWN, 100)),
    ):
        assert b"".join(line.data for line in lines) == b"a" + b"x" * 500 + b"b"
        assert [line.data for line in lines if line.is_whole][-1] == b"b"
        assert len(lines) > 5


def test_times_by_marks_and_by_the_files(tmp_path: Path) -> None:
    for number, (text, time) in enumerate([(b"6\n7\n", 300), (b"4\n5\n", 200), (b"2\n3\n", 100)]):
        path = tmp_path / ("log" if not number else f"log.{number}")
        path.write_bytes(text)
        os.utime(path, (time, time))
    marks = Marks((Stretch(0, 250.0, 260.0),), written=2)
    lines = list(lines_after(str(tmp_path / "log"), None, "stdout", marks))
    bounds = [(line.when.earliest, line.when.latest) for line in lines if line.when]
    assert bounds == [
        *[(float("-inf"), 100)] * 2,
        *[(100, 200)] * 2,
        (200, 250),  # before the first mark
        (250, 260),
    ]
    # Among lines of another log they are spread over their interval.
    order = [line.order for line in lines]
    assert order == [100, 100, 100, 150, 200, 250]


def test_times_by_the_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"no time\n2026-11-30T12:00:00.100Z a stdout one\nstill one\n"
        b"2026-11-30T12:00:00.200Z a stdout two\n"
    )
    lines = list(lines_after(str(log), None, "stdout", Stamps()))
    assert [line.when is not None for line in lines] == [False, True, False, True]
    assert [round(line.order % 1, 3) for line in lines] == [0.1, 0.1, 0.1, 0.2]
    assert [line.data[line.stamp :] for line in lines if line.stamp] == [
        b"a stdout one",
        b"a stdout two",
    ]


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0, 0, 1, 5]), min_size=1, max_size=60),
    wanted=st.integers(0, 100),
    cuts=st.lists(st.integers(0, 60), max_size=3),
)
def test_the_place_of_a_time(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], wanted: int, cuts: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    path = str(directory / "log")
    seconds = list(accumulate(gaps))
    lines = [
        f"2026-11-30T00:{at // 60:02}:{at % 60:02}.000Z {n} {'x' * (n % 7 * 4000)}\n".encode()
        for n, at in enumerate(seconds)
    ]
    ends = [*sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    for number, (start, end) in enumerate(pairwise([0, *ends])):
        age = len(ends) - 1 - number
        data = b"".join(lines[start:end])
        if age >= 2:
            with gzip.open(f"{path}.{age}.gz", "wb") as file:
                file.write(data)
        else:
            Path(f"{path}.{age}" if age else path).write_bytes(data)
    origin = next(iter(lines_after(path, None, "", Stamps()))).order - seconds[0]
    place = place_of_time(path, origin + wanted, Stamps())
    found = [line.order - origin for line in lines_after(path, place, "", Stamps())]
    assert found == [at for at in seconds if at >= wanted]
    shutil.rmtree(directory)


@pytest.mark.behaviour("http.md#places-in-logs")
def test_memory_stays_flat_however_much_a_compressed_file_holds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"end\n")
    with gzip.open(f"{log}.2.gz", "wb") as file:
        for _ in range(64):
            file.write(b"0" * 1023 + b"\n" + b"\0" * 1024 * 1023)
        file.write(b"\nlast\n")
    place = end_of(str(log))
    assert place is not None
    tracemalloc.start()
    try:
        with suppress(StopIteration):
            assert read_before(str(log), place, 1000).data.endswith(b"\nlast\nend\n")
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
