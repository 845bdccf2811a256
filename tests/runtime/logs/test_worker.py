"""Log files on disks that hang: nobody waits for them but their own program."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import log_lines
from trio_supervisor.runtime.logs import worker as disk_worker
from trio_supervisor.runtime.logs.filesink import TASK_TIMEOUT, DiskCall, FileSink
from trio_supervisor.runtime.logs.growth import LogWrites
from trio_supervisor.runtime.logs.logfile import LogFile, clear_log, open_log
from trio_supervisor.runtime.logs.reports import ReportQueue
from trio_supervisor.runtime.logs.rotation import RotationScheme
from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT, QUEUE_LIMIT, ROOM

PATIENCE = 30


class HangingDisk:
    """Every write waits until ``resume``; those made before the hanging do not."""

    def __init__(self) -> None:
        self._runs = threading.Event()
        self._runs.set()
        self.held = threading.Semaphore(0)

    def hang(self) -> None:
        self._runs.clear()

    def resume(self) -> None:
        self._runs.set()

    def write(self, fd: int, data: memoryview) -> int:
        if not self._runs.is_set():
            self.held.release()
            assert self._runs.wait(PATIENCE)
        return os.write(fd, data)


class Office:
    """Two logs: ``slow`` on a disk that may hang, ``other`` on one that never does."""

    def __init__(self, directory: Path) -> None:
        self.disk = HangingDisk()
        self.worker = DiskWorker()
        self.lines: list[str] = []
        self.directory = directory
        self.slow = self.sink("slow", self.disk.write)
        self.other = self.sink("other", os.write)

    def sink(self, name: str, write: Callable[[int, memoryview], int]) -> FileSink:
        path = str(self.directory / name)

        report, reports = log_lines(self.lines), ReportQueue()
        file = LogFile(
            path,
            open_log(path),
            rotation=RotationScheme(),
            report=report,
            reports=reports,
            write=write,
        )
        return FileSink(file, self.worker, LogWrites(), report, reports)

    def hang(self) -> None:
        """Make the disk hang, with one write on its way."""
        self.disk.hang()
        self.slow.write(b"<")
        assert self.disk.held.acquire(timeout=PATIENCE)

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def wait_for(self, name: str, data: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.read(name) != data:
            assert time.monotonic() < deadline, f"{self.read(name)!r} in {name}"
            time.sleep(0.001)

    def close(self) -> None:
        self.disk.resume()
        self.slow.close()
        self.other.close()
        self.worker.settle(PATIENCE)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_the_logs_on_other_disks_go_on(office: Office) -> None:
    office.hang()
    office.other.write(b"first")
    office.wait_for("other", b"first")  # though nothing else happens that could wake somebody
    office.other.write(b" second")
    office.worker.settle(PATIENCE)
    office.wait_for("other", b"first second")
    assert office.read("slow") == b""


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_a_disk_that_hangs_stops_no_other_log_of_the_same_batch(office: Office) -> None:
    office.disk.hang()
    with office.worker.batch():
        office.slow.write(b"held\n")
        office.other.write(b"other\n")
    deadline = time.monotonic() + PATIENCE
    while (office.directory / "other").read_bytes() != b"other\n":  # nothing else is submitted
        assert time.monotonic() < deadline
        time.sleep(0.001)
    office.disk.resume()


def test_a_call_waits_for_its_job_also_within_a_batch(office: Office) -> None:
    path = office.directory / "other"
    with office.worker.batch():
        office.other.write(b"other\n")
        DiskCall(office.worker, clear_log, str(path), id).wait()
        assert path.read_bytes() == b""


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_what_waited_is_written_once_and_in_order(office: Office) -> None:
    office.hang()
    numbers = [b"%d\n" % number for number in range(1000)]
    for number in numbers:
        office.slow.write(number)
    office.disk.resume()
    office.wait_for("slow", b"<" + b"".join(numbers))
    assert office.lines == []


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@pytest.mark.parametrize("written", [b"", b"second"], ids=["nothing", "something"])
def test_the_log_of_the_next_child_is_written_after_that_of_the_one_before(
    office: Office, written: bytes
) -> None:
    """Also if that disk hangs, and with a third child when the second has written nothing."""
    office.hang()
    office.slow.write(b"first")
    office.slow.close()
    second, third = (office.sink("slow", os.write) for _ in range(2))
    second.follow(office.slow)
    third.follow(second)
    if written:
        second.write(written)
    third.write(b"third")
    office.other.write(b"other")
    office.wait_for("other", b"other")
    assert office.read("slow") == b""
    office.disk.resume()
    office.wait_for("slow", b"<first" + written + b"third")
    second.close()
    third.close()
    office.worker.settle(PATIENCE)
    third, fourth = (office.sink("slow", os.write) for _ in range(2))
    fourth.follow(third)  # it has nothing to write, so that nothing has to be waited for
    fourth.write(b".")
    office.wait_for("slow", b"<first" + written + b"third.")
    third.close()
    office.slow = fourth


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_settling_waits_for_a_disk_that_was_given_up_and_comes_back(office: Office) -> None:
    office.hang()
    office.other.write(b"first")
    office.wait_for("other", b"first")  # by another thread: nothing else is to do
    settling = threading.Thread(target=office.worker.settle, args=(PATIENCE,))
    settling.start()
    settling.join(0.05)
    assert settling.is_alive()
    office.disk.resume()
    settling.join(PATIENCE)
    assert not settling.is_alive()
    assert office.read("slow") == b"<"


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@pytest.mark.parametrize("action", ["reopen", "clear"])
async def test_a_slow_disk_holds_up_only_the_task_that_waits_for_it(
    office: Office, mock_clock: MockClock, action: str
) -> None:
    office.hang()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(getattr(office.slow, action))
        await wait_all_tasks_blocked()
        mock_clock.jump(TASK_TIMEOUT * 0.9)
        await wait_all_tasks_blocked()
        office.disk.resume()
    office.slow.write(b">")
    office.worker.settle(PATIENCE)
    assert office.read("slow") == (b"<>" if action == "reopen" else b">")


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
async def test_reading_pauses_when_1_MiB_waits(office: Office) -> None:
    office.hang()
    while office.slow.backlog < BACKLOG_LIMIT:
        office.slow.write(b"x" * 65536)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.slow.room)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        office.disk.resume()
    assert office.slow.backlog <= ROOM


def test_a_disk_that_hangs_for_days_does_not_take_all_memory(office: Office) -> None:
    office.hang()
    for _ in range(QUEUE_LIMIT // 65536 + 10):
        office.slow.write(b"x" * 65536)
    assert office.slow.backlog <= QUEUE_LIMIT
    path = office.directory / "slow"
    lost = f"ERRO cannot write log {path}: its disk is too slow; output is dropped until it works"
    assert office.lines == [lost]
    office.disk.resume()
    office.worker.settle(PATIENCE)
    written = len(office.read("slow"))
    office.slow.write(b">")
    office.worker.settle(PATIENCE)
    assert office.read("slow")[written:] == b"\n>"  # not in the middle of a line that was cut
    dropped = (QUEUE_LIMIT // 65536 + 10) * 65536 + 1 - written
    assert office.lines == [lost, f"INFO log {path} works again; {dropped} bytes were dropped"]


@pytest.mark.behaviour("output.md#disks-that-are-slow-when-the-daemon-ends")
def test_what_was_dropped_is_counted_also_if_the_disk_does_not_come_back(office: Office) -> None:
    office.hang()
    written = 1
    while office.slow.backlog + 65536 <= QUEUE_LIMIT:
        office.slow.write(b"x" * 65536)
        written += 65536
    for _ in range(3):
        office.slow.write(b"x" * 65536)
    office.slow.close()
    path = office.directory / "slow"
    assert office.lines == [
        f"ERRO cannot write log {path}: its disk is too slow; output is dropped until it works",
        f"ERRO log {path} is closed; {3 * 65536} bytes were dropped",
    ]
    assert office.worker.left() == [(str(path), written)]
    assert office.worker.left() == []
    office.disk.resume()
    office.worker.settle(PATIENCE)
    assert office.read("slow") == b"<" + b"x" * (written - 1)
    office.slow = office.sink("slow", os.write)


async def unanswered(action: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError, match="its disk does not answer"):
        await action()


@pytest.mark.parametrize("action", ["reopen", "clear"])
async def test_what_cannot_be_done_now_is_said_and_done_later(
    office: Office, mock_clock: MockClock, action: str
) -> None:
    office.slow.write(b"old")
    office.worker.settle(PATIENCE)
    office.hang()
    if action == "reopen":
        (office.directory / "slow").rename(office.directory / "moved")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(unanswered, getattr(office.slow, action))
        await wait_all_tasks_blocked()
        mock_clock.jump(TASK_TIMEOUT)
    office.slow.write(b"new")
    office.disk.resume()
    office.worker.settle(PATIENCE)
    office.wait_for("slow", b"new")
    if action == "reopen":
        assert office.read("moved") == b"old<"


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
async def test_errors_of_an_action_come_back(office: Office) -> None:
    (office.directory / "slow").unlink()
    (office.directory / "slow").mkdir()
    with pytest.raises(IsADirectoryError):
        await office.slow.reopen()
    office.slow.write(b"stays open")


def test_opening_does_not_wait_for_ever(tmp_path: Path) -> None:
    worker = DiskWorker()
    go, opened = threading.Event(), []

    def slowly(path: str) -> int:
        assert go.wait(PATIENCE)
        opened.append(open_log(path))
        return opened[0]

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TimeoutError, match="its disk does not answer"):
        DiskCall(worker, slowly, str(tmp_path / "x"), os.close).wait()
    go.set()
    worker.settle(PATIENCE)
    assert opened
    assert len(os.listdir("/proc/self/fd")) == before  # nobody wanted it any more


def test_without_a_thread_the_caller_does_the_work(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_worker, "_start", lambda function: False)
    for number in range(2000):
        office.other.write(b"%d\n" % number)
    assert office.read("other") == b"".join(b"%d\n" % number for number in range(2000))


class Pipe:
    """A source of bytes for a log; what is written to it is read from it."""

    def __init__(self) -> None:
        self.fd, self.writing = os.pipe()
        os.set_blocking(self.fd, False)
        self.lock: AbstractContextManager[object] = threading.Lock()
        self.is_over = False

    def write(self, data: bytes) -> None:
        os.write(self.writing, data)

    def read(self, room: int) -> bytes:
        try:
            return b"" if self.is_over else os.read(self.fd, 1000)
        except BlockingIOError:
            return b""

    def give_up(self) -> None:
        raise AssertionError("threads and descriptors are left")

    def end(self, sink: FileSink) -> None:
        with self.lock:
            self.is_over = True
            sink.forget(self)
        os.close(self.fd)
        os.close(self.writing)


@pytest.fixture
def pipes(office: Office) -> Iterator[tuple[Pipe, Pipe]]:
    """Those from which the logs ``slow`` and ``other`` are written."""
    before = len(os.listdir("/proc/self/fd"))
    slow, other = Pipe(), Pipe()
    office.slow.write_from(slow)
    office.other.write_from(other)
    yield slow, other
    office.disk.resume()
    slow.end(office.slow)
    other.end(office.other)
    office.worker.settle(PATIENCE)
    assert len(os.listdir("/proc/self/fd")) == before


def test_logs_are_written_from_pipes(office: Office, pipes: tuple[Pipe, Pipe]) -> None:
    slow, other = pipes
    for number in range(1, 4):
        slow.write(b"one ")
        other.write(b"two ")
        office.wait_for("other", b"two " * number)
    office.wait_for("slow", b"one one one ")


@pytest.mark.usefixtures("pipes")
def test_a_job_is_done_while_the_thread_waits_for_pipes(office: Office) -> None:
    for number in range(1, 101):
        office.other.write(b"x")
        office.wait_for("other", b"x" * number)


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_pipes_are_read_while_another_disk_hangs(office: Office, pipes: tuple[Pipe, Pipe]) -> None:
    slow, other = pipes
    office.disk.hang()
    slow.write(b"held ")
    assert office.disk.held.acquire(timeout=PATIENCE)
    for number in range(1, 4):
        other.write(b"x")
        office.wait_for("other", b"x" * number)
    slow.write(b"behind")
    assert office.read("slow") == b""
    assert office.slow.backlog == len(b"held ")
    office.disk.resume()
    office.wait_for("slow", b"held behind")
