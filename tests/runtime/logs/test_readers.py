"""Reading logs in threads while some of their disks hang."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE
from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.logs.readers import READERS, READERS_OF_FILE, InThreads, Readers


class Disk:
    """Reads ``path`` when it works, and does not return from that when it hangs."""

    def __init__(self) -> None:
        self._works = threading.Event()
        self._lock = threading.Condition()
        self.reading = 0
        self.undone: list[str] = []
        self.closed = threading.Event()

    def read(self, path: str, *arguments: object) -> str:
        with self._lock:
            self.reading += 1
            self._lock.notify_all()
        assert self._works.wait(PATIENCE)
        return path

    def undo(self, result: str) -> None:
        self.undone.append(result)
        self.closed.set()

    def use(self) -> str:
        return self.read("used")

    def close(self) -> None:
        self.closed.set()

    def go_on(self) -> None:
        self._works.set()

    async def hangs(self, count: int) -> None:
        """Return when so many threads wait for this disk."""

        def wait() -> bool:
            with self._lock:
                return self._lock.wait_for(lambda: self.reading >= count, PATIENCE)

        assert await trio.to_thread.run_sync(wait)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.go_on()


def read(path: str, *arguments: object) -> tuple[str, tuple[object, ...]]:
    return path, arguments


def fail(path: str) -> None:
    raise NoFile(path)


async def test_what_is_read_and_what_is_raised() -> None:
    readers = Readers()
    assert await readers.run(read, "a", 1, 2) == ("a", (1, 2))
    with pytest.raises(NoFile):
        await readers.run(fail, "a")


async def test_files_that_hang_hold_up_no_other_files(disk: Disk, autojump_clock: object) -> None:
    readers = Readers()
    async with trio.open_nursery() as nursery:
        for number in range(2 * READERS):
            nursery.start_soon(readers.run, disk.read, str(number))
        await disk.hangs(READERS)
        assert await readers.run(read, "other") == ("other", ())
        await disk.hangs(2 * READERS)
        disk.go_on()


async def test_a_file_that_hangs_takes_few_threads(disk: Disk, autojump_clock: object) -> None:
    readers = Readers()
    async with trio.open_nursery() as nursery:
        for _ in range(5 * READERS_OF_FILE):
            nursery.start_soon(readers.run, disk.read, "a")
        await disk.hangs(READERS_OF_FILE)
        await wait_all_tasks_blocked()
        assert disk.reading == READERS_OF_FILE
        nursery.cancel_scope.cancel()
    disk.go_on()
    assert await readers.run(read, "a") == ("a", ())


async def test_nobody_waits_for_a_late_result(disk: Disk) -> None:
    readers = Readers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: readers.run(disk.read, "a", undo=disk.undo))
        await disk.hangs(1)
        nursery.cancel_scope.cancel()
    assert disk.undone == []
    disk.go_on()
    assert await trio.to_thread.run_sync(disk.closed.wait, PATIENCE)
    assert disk.undone == ["a"]


async def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    readers = Readers()
    with monkeypatch.context() as patch:
        patch.setattr(trio.lowlevel, "start_thread_soon", refuse)
        for _ in range(READERS + READERS_OF_FILE):
            with pytest.raises(Failed, match="can't start new thread"):
                await readers.run(read, "a")
    assert await readers.run(read, "a") == ("a", ())


async def test_a_resource_is_closed_when_no_thread_uses_it(disk: Disk) -> None:
    resource = InThreads(disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(resource.use, Disk.use)
        await disk.hangs(1)
        nursery.cancel_scope.cancel()
    resource.close()
    assert not disk.closed.is_set()
    disk.go_on()
    assert await trio.to_thread.run_sync(disk.closed.wait, PATIENCE)


async def test_an_unused_resource_is_closed_at_once(disk: Disk) -> None:
    disk.go_on()
    resource = InThreads(disk)
    assert await resource.use(Disk.use) == "used"
    resource.close()
    assert disk.closed.is_set()
    with pytest.raises(ValueError, match="closed"):
        await resource.use(Disk.use)


async def test_a_resource_that_hangs_holds_up_no_other(disk: Disk) -> None:
    other = Disk()
    other.go_on()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(InThreads(disk).use, Disk.use)
        await disk.hangs(1)
        assert await InThreads(other).use(Disk.use) == "used"
        disk.go_on()
