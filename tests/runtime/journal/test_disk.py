"""The queue of entries for the disk: a disk that fails or hangs costs entries, and nothing else."""

from __future__ import annotations

import sqlite3
import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.daemon import PATIENCE
from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.cause import EXIT, POLICY
from trio_supervisor.runtime.journal import disk as disk_module
from trio_supervisor.runtime.journal.database import Database
from trio_supervisor.runtime.journal.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.diagnostics import Severity


class Desk:
    """A journal with a file, and its log."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal()
        self.lines: list[str] = []
        self.daemon = DaemonConfig(journal=str(path))

    def log(self, severity: Severity, text: str) -> None:
        self.lines.append(text)

    def record(self, process: str, new: str = "EXITED") -> int:
        return self.journal.record(process, What.STATE, EXIT, old="RUNNING", new=new)

    async def numbers(self) -> list[int]:
        return [entry.number for entry in await self.journal.select()]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a thread is waited for
            await trio.sleep(0.01)


def written(database: Database, counts: list[int]) -> bool:
    """Whether the entries of the file have happened so often."""
    return [entry.count for entry in database.read((), None, None, None)] == counts


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "INTERVAL", 0.01)


@pytest.mark.behaviour("journal.md#the-journal-on-disk", "journal.md#numbers-order-the-entries")
async def test_a_second_journal_goes_on(tmp_path: Path) -> None:
    first = Desk(tmp_path / "j")
    await first.journal.open(first.daemon, first.log)
    first.record("a")
    first.record("b")
    await first.journal.close()
    assert await first.numbers() == [1, 2]  # in memory
    second = Desk(tmp_path / "j")
    await second.journal.open(second.daemon, second.log)
    assert second.record("c") == 3
    assert await second.numbers() == [1, 2, 3]
    found = await second.journal.select(["a", "c"], None, None, 1)
    assert [entry.number for entry in found] == [3]
    assert second.journal.lost == 0
    other = DaemonConfig(journal=str(tmp_path / "other"))
    await second.journal.open(other, second.log)  # another file after a reload
    assert await second.numbers() == [3]
    await second.journal.close()
    assert first.lines == second.lines == []


async def test_loops_are_folded_in_the_file_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "j")
    await desk.journal.open(desk.daemon, desk.log)
    writer = desk.journal.writer
    assert writer is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        database = desk.journal._disk._database  # type: ignore[union-attr]  # it is open
        for turn in range(1, 5):
            for old, new in (("EXITED", "STARTING"), ("STARTING", "EXITED")):
                desk.journal.record("a", What.STATE, POLICY, old=old, new=new)
            turns = [turn, turn]
            await until(partial(written, database, turns))
        nursery.cancel_scope.cancel()
    assert [entry.count for entry in await desk.journal.select()] == [4, 4]
    # What is dropped, and not deleted in the file yet, is not shown.
    for old, new in (("EXITED", "STARTING"), ("STARTING", "EXITED")):
        desk.journal.record("a", What.STATE, POLICY, old=old, new=new)
    assert [entry.count for entry in await desk.journal.select()] == [5, 5]
    assert [entry.count for entry in await desk.journal.select(limit=1)] == [5]
    await desk.journal.close()


#: A state that is recorded; then, whether what waits is given to the disk, and whether that fails.
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.booleans(), st.booleans()), min_size=8, max_size=30
)


@settings(max_examples=60)
@given(steps=STEPS)
@pytest.mark.behaviour("journal.md#loops-are-folded", "journal.md#full-and-hanging-disks")
def test_the_file_has_what_memory_has_however_writes_fail(
    steps: list[tuple[str, bool, bool]],
) -> None:
    fails = False
    real = Database.write

    def write(self: Database, *arguments: object) -> None:
        if fails:
            raise sqlite3.OperationalError("database or disk is full")
        real(self, *arguments)  # type: ignore[arg-type]  # passed on

    def give_to_the_disk() -> None:
        disk._write()
        disk._worker.settle(PATIENCE)

    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "write", write)
        desk = Desk(Path(directory, "j"))
        database = Database(str(desk.daemon.journal), 1_000_000)
        desk.journal._disk = disk = disk_module.DiskJournal(database, desk.log)
        for new, is_written, fails in steps:  # noqa: B007 - read by ``write``
            desk.record("a", new)
            if is_written:
                give_to_the_disk()
        fails = False
        give_to_the_disk()  # the last one may have failed
        give_to_the_disk()
        expected = {entry.number: entry.count for entry in desk.journal.memory.all()}
        found = database.read((), None, None, None)
        database.close(0)
        assert {entry.number: entry.count for entry in found} == expected


@pytest.mark.behaviour("journal.md#full-and-hanging-disks")
async def test_a_full_disk_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "MOST_WAITING", 3)
    desk = Desk(tmp_path / "j")
    await desk.journal.open(desk.daemon, desk.log)
    real, tries, broken = Database.write, 0, True

    def write(self: Database, *arguments: object) -> None:
        nonlocal tries
        tries += 1
        if broken:
            raise sqlite3.OperationalError("database or disk is full")
        real(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(Database, "write", write)
    writer = desk.journal.writer
    assert writer is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        for name in "abcde":
            desk.record(name)
        await until(lambda: tries > 2)
        assert desk.journal.lost == 2
        broken = False
        await until(lambda: len(desk.lines) == 2)
        nursery.cancel_scope.cancel()
    assert desk.lines == [
        f"journal {tmp_path}/j cannot be written, tried again: database or disk is full",
        f"journal {tmp_path}/j is written again, 2 lost",
    ]
    await desk.journal.close()
    again = Desk(tmp_path / "j")
    await again.journal.open(again.daemon, again.log)
    assert await again.numbers() == [3, 4, 5]
    await again.journal.close()


@pytest.mark.behaviour("journal.md#full-and-hanging-disks")
async def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(disk_module, "PATIENCE", 0.05)
    desk = Desk(tmp_path / "j")
    hold, arrived = threading.Event(), threading.Event()
    real = Database.write

    def write(self: Database, *arguments: object) -> None:
        arrived.set()
        hold.wait()
        real(self, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(disk_module, "PATIENCE", PATIENCE)
    await desk.journal.open(desk.daemon, desk.log)
    monkeypatch.setattr(disk_module, "PATIENCE", 0.05)
    monkeypatch.setattr(Database, "write", write)
    writer = desk.journal.writer
    assert writer is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        desk.record("a")
        await until(arrived.is_set)
        assert desk.record("b") == 2
        assert await desk.numbers() == [1, 2]
        await desk.journal.close()  # gives up
        nursery.cancel_scope.cancel()
    hold.set()
    assert any("not in the file" in line for line in desk.lines)


@pytest.mark.behaviour("journal.md#the-file-of-the-journal-is-safe")
async def test_what_cannot_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "missing" / "j")
    await desk.journal.open(desk.daemon, desk.log)
    assert desk.journal.writer is None
    assert desk.record("a") == 1
    [line] = desk.lines
    assert line.startswith(f"journal {tmp_path}/missing/j is not kept on disk: ")
    hold = threading.Event()

    def hang(path: str, maxbytes: int) -> None:
        hold.wait()

    monkeypatch.setattr(disk_module, "PATIENCE", 0.05)
    monkeypatch.setattr(disk_module, "Database", hang)
    slow = Desk(tmp_path / "j")
    await slow.journal.open(slow.daemon, slow.log)
    hold.set()
    assert slow.lines == [f"journal {tmp_path}/j is not kept on disk: its disk does not answer"]


@pytest.mark.behaviour("journal.md#a-damaged-journal")
async def test_a_remark_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"garbage" * 1000)
    desk = Desk(tmp_path / "j")
    await desk.journal.open(desk.daemon, desk.log)
    desk.record("a")
    await desk.journal.close()
    [line] = desk.lines
    assert "was damaged" in line
