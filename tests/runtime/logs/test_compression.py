"""Rotated logs are compressed in a thread, and read as if they were not."""

from __future__ import annotations

import gzip
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import eventually
from tests.kit.fakes import log_lines
from trio_supervisor.runtime.logs.compression import Compressor
from trio_supervisor.runtime.logs.logfile import LogCreation, LogFile
from trio_supervisor.runtime.logs.rotated import read_end
from trio_supervisor.runtime.logs.rotation import Rotations, RotationScheme

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKUPS = 6


class Bench:
    """A log whose backups are compressed, and the lines that it should hold."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "x.log"
        rotations = Rotations()
        self.compressor = Compressor(rotations)
        self.reports: list[str] = []
        self._file = LogFile(
            str(self.path),
            LogCreation(0o640).open(str(self.path)),
            rotation=RotationScheme(100, BACKUPS, compressed=True),
            report=log_lines(self.reports),
            creation=LogCreation(0o640),
            compressor=self.compressor,
            rotations=rotations,
        )
        self._number = 0

    def rotate(self) -> bytes:
        """Write so much that the log is rotated; return it."""
        self._number += 1
        data = b"%099d\n" % self._number
        self._file.write(data)
        return data

    @property
    def names(self) -> set[str]:
        return {name.removeprefix("x.log") for name in os.listdir(self.directory)}

    def settle(self) -> None:
        eventually(lambda: not self.compressor._runs, "the thread being done")

    def close(self) -> None:
        self.settle()
        self._file.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.behaviour("output.md#compressed-backups")
def test_backups_but_the_newest_are_compressed(bench: Bench) -> None:
    written = []
    for _ in range(BACKUPS + 3):
        written.append(bench.rotate())
        bench.settle()
    assert bench.names == {"", ".1", *(f".{n}.gz" for n in range(2, BACKUPS + 1))}
    kept = written[-BACKUPS:]
    with gzip.open(f"{bench.path}.3.gz") as third:
        assert third.read() == kept[-3]
    assert (bench.directory / "x.log.3.gz").stat().st_mode & 0o777 == 0o640
    assert read_end(str(bench.path), 10_000).data == b"".join(kept)
    assert read_end(str(bench.path), 350).data == b"".join(kept)[-350:]
    assert bench.reports == []


@pytest.mark.behaviour("output.md#compressed-backups")
def test_rotations_while_a_backup_is_compressed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has another number when it is complete; and one that is no longer kept is dropped."""
    going, go = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(fd: int) -> None:
        going.set()
        assert go.wait(30)
        fsync(fd)

    monkeypatch.setattr("trio_supervisor.runtime.logs.compression.os.fsync", slow)
    written = [bench.rotate(), bench.rotate()]
    assert going.wait(30)
    written += [bench.rotate(), bench.rotate()]
    go.set()
    bench.settle()
    assert bench.names == {"", ".1", ".2.gz", ".3.gz", ".4.gz"}
    assert read_end(str(bench.path), 10_000).data == b"".join(written)
    going.clear()
    go.clear()
    written.append(bench.rotate())
    assert going.wait(30)
    written += [bench.rotate() for _ in range(BACKUPS)]
    go.set()
    bench.settle()
    assert bench.names == {"", ".1", *(f".{n}.gz" for n in range(2, BACKUPS + 1))}
    assert read_end(str(bench.path), 10_000).data == b"".join(written[-BACKUPS:])


@pytest.mark.behaviour("output.md#compressed-backups")
def test_what_a_killed_daemon_left_is_repaired(bench: Bench) -> None:
    """A part that is not complete, and a compressed file whose plain one is still there."""
    first = bench.rotate()
    (bench.directory / ".x.log.gz.part").write_bytes(b"half")
    (bench.directory / "x.log.1.gz").write_bytes(b"older, or not complete")
    assert read_end(str(bench.path), 1000).data == first
    second = bench.rotate()
    bench.settle()
    assert bench.names == {"", ".1", ".2.gz"}
    assert read_end(str(bench.path), 1000).data == first + second


@pytest.mark.behaviour("output.md#compressed-backups")
def test_a_full_disk_leaves_the_backup_as_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trio_supervisor.runtime.logs.compression.os.fsync", full)
        written = [bench.rotate(), bench.rotate()]
        bench.settle()
    assert bench.names == {"", ".1", ".2"}
    (report,) = bench.reports
    assert "cannot compress the backups of log" in report
    written.append(bench.rotate())
    bench.settle()
    assert bench.names == {"", ".1", ".2.gz", ".3.gz"}
    assert read_end(str(bench.path), 1000).data == b"".join(written)


@pytest.mark.behaviour("output.md#compressed-backups")
def test_a_damaged_backup_hides_only_what_is_older(bench: Bench) -> None:
    written = [bench.rotate() for _ in range(4)]
    bench.settle()
    path = bench.directory / "x.log.3.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert read_end(str(bench.path), 1000).data == b"".join(written[2:])
