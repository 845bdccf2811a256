"""Log targets that are not regular files."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import Recorder, log_lines
from tests.kit.pipes import PATIENCE, pipe, read_exactly
from trio_supervisor.core.config.model import ChannelConfig
from trio_supervisor.runtime.logs import writer
from trio_supervisor.runtime.logs.logfile import LogFile
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT, QUEUE_LIMIT, ROOM
from trio_supervisor.runtime.output.channel import OutputChannel, open_channels

CHUNK = 64 * 1024
NO_READER = re.escape(f"[Errno {errno.ENXIO}]")


class Targets:
    """Sinks, and what they reported."""

    def __init__(self, directory: Path) -> None:
        self.lines: list[str] = []
        self.syslog_socket = str(directory / "log")
        self.sinks = Sinks(log_lines(self.lines), tag="daemon", syslog_socket=self.syslog_socket)
        self.file = self.sinks.file

    def settle(self) -> None:
        self.sinks.settle(PATIENCE)


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    targets = Targets(tmp_path)
    yield targets
    targets.settle()
    left = [thread.name for thread in threading.enumerate() if "log writer" in thread.name]
    assert left == []


@pytest.mark.behaviour("process.md#log-targets")
def test_a_regular_file_as_a_log(targets: Targets, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"before ")
    mask = os.umask(0o027)
    try:
        created = targets.file(str(tmp_path / "new.log"), maxbytes=0, backups=0)
    finally:
        os.umask(mask)
    created.close()
    assert stat.S_IMODE((tmp_path / "new.log").stat().st_mode) == 0o640
    sink = targets.file(str(path), maxbytes=10, backups=1)
    sink.write(b"after")
    sink.close()
    targets.settle()
    assert (tmp_path / "x.log.1").read_bytes() == b"before after"


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
def test_a_file_that_cannot_be_opened(targets: Targets, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        targets.file(str(tmp_path / "none" / "x.log"), maxbytes=0, backups=0)


@pytest.mark.behaviour("process.md#special-files-as-logs")
async def test_own_descriptor_shared_by_several(targets: Targets) -> None:
    with pipe() as p:
        one = targets.file(p.path, maxbytes=0, backups=0)
        two = targets.file(p.path, maxbytes=0, backups=0)
        expected = b""
        for i in range(50):
            for sink in (one, two):
                line = b"%d %d\n" % (id(sink), i)
                sink.write(line)
                expected += line
        await one.clear()
        await one.reopen()
        one.write(b"end\n")
        assert p.read(len(expected) + 4) == expected + b"end\n"
        one.close()
        two.close()
    assert targets.lines == []


@pytest.mark.behaviour("process.md#rotation-failures")
def test_one_warning_that_it_is_not_rotated(targets: Targets) -> None:
    with pipe() as p:
        for _ in range(3):
            sink = targets.file(p.path, maxbytes=50, backups=2)
            sink.write(b"x" * 100)
            assert p.read(100) == b"x" * 100
            sink.close()
        assert targets.lines == [
            f"WARN {p.path} is no regular file and not rotated; maxbytes=0 for it ends this warning"
        ]


@pytest.mark.behaviour("process.md#rotation-failures")
async def test_no_warning_for_the_null_device(targets: Targets) -> None:
    sink = targets.file("/dev/null", maxbytes=50, backups=2)
    sink.write(b"x" * 100)
    await sink.clear()
    sink.close()
    targets.settle()
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert targets.lines == []


@pytest.mark.behaviour("process.md#special-files-as-logs")
async def test_own_descriptor_that_is_a_regular_file(targets: Targets, tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    with path.open("wb", buffering=0) as file:
        file.write(b"shell\n")
        sink = targets.file(f"/dev/fd/{file.fileno()}", maxbytes=5, backups=2)
        sink.write(b"ours\n")
        await sink.clear()
        sink.close()
        targets.settle()
        file.write(b"shell\n")
    assert path.read_bytes() == b"shell\nours\nshell\n"
    assert os.listdir(tmp_path) == ["stdout"]
    assert len(targets.lines) == 1


def test_an_inherited_descriptor_keeps_its_mode(targets: Targets) -> None:
    """Blocking or not is a property shared with whoever gave it to us."""
    for blocking in (True, False):
        with pipe() as p:
            os.set_blocking(p.writer, blocking)
            sink = targets.file(p.path, maxbytes=0, backups=0)
            sink.write(b"x" * 3 * CHUNK)
            assert os.get_blocking(p.writer) is blocking
            assert p.read(3 * CHUNK) == b"x" * 3 * CHUNK
            sink.close()
    assert targets.lines == []


@pytest.mark.behaviour("process.md#special-files-as-logs")
def test_opening_a_fifo_without_a_reader_fails(targets: Targets, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match=NO_READER):
        targets.file(str(fifo), maxbytes=0, backups=0)


async def test_fifo_with_reader(targets: Targets, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = targets.file(str(fifo), maxbytes=0, backups=0)
    sink.write(b"x" * 5 * CHUNK)
    assert read_exactly(reader, 5 * CHUNK) == b"x" * 5 * CHUNK
    await sink.clear()
    await sink.reopen()
    sink.write(b"again")
    assert read_exactly(reader, 5) == b"again"
    sink.close()
    targets.settle()
    assert os.read(reader, 1) == b""  # nobody keeps it open
    os.close(reader)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
async def test_a_new_fifo_under_the_old_name(targets: Targets, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    old = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = targets.file(str(fifo), maxbytes=0, backups=0)
    fifo.unlink()
    os.mkfifo(fifo)
    with pytest.raises(OSError, match=NO_READER):
        await sink.reopen()
    sink.write(b"old")  # what is open stays in use
    assert read_exactly(old, 3) == b"old"
    new = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    await sink.reopen()
    sink.write(b"new")
    assert read_exactly(new, 3) == b"new"
    sink.close()
    os.close(old)
    os.close(new)


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
async def test_a_reader_that_sleeps_holds_back_only_its_writers(targets: Targets) -> None:
    with pipe() as p:
        sink = targets.file(p.path, maxbytes=0, backups=0)
        written = b""
        while sink.backlog < BACKLOG_LIMIT:
            chunk = b"%06d" % (len(written) // CHUNK) + b"x" * (CHUNK - 6)
            sink.write(chunk)
            written += chunk
        read = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sink.room)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            while sink.backlog > ROOM:
                read += await trio.to_thread.run_sync(p.read, CHUNK)
        sink.close()
        read += await trio.to_thread.run_sync(p.read, len(written) - len(read))
        assert read == written
    assert targets.lines == []


def test_a_target_stuck_for_days_does_not_take_all_memory(targets: Targets) -> None:
    with pipe() as p:
        sink = targets.file(p.path, maxbytes=0, backups=0)
        for _ in range(QUEUE_LIMIT // CHUNK + 10):
            sink.write(b"x" * CHUNK)
        assert sink.backlog <= QUEUE_LIMIT
        assert targets.lines == [
            f"ERRO cannot write log {p.path}: its reader is too slow; "
            "output is dropped until it works"
        ]
        p.read(QUEUE_LIMIT // CHUNK * CHUNK - CHUNK)  # makes room; one chunk more may have fitted
        sink.write(b"next\n")
        rest = b""
        while not rest.endswith(b"next\n"):
            rest += p.read(1)
        assert rest.endswith(b"x\nnext\n")  # not in the middle of a line that was cut
        p.close_reader()
        sink.close()


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_a_reader_that_is_gone_costs_one_line(targets: Targets, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = targets.file(str(fifo), maxbytes=0, backups=0)
    os.close(reader)
    for _ in range(3):
        sink.write(b"lost")
        targets.settle()
    assert sink.broken
    lost = f"ERRO cannot write log {fifo}: Broken pipe; output is dropped until it works"
    assert targets.lines == [lost]
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink.write(b"back")
    assert read_exactly(reader, 4) == b"back"
    targets.settle()
    sink.write(b"!")
    assert not sink.broken
    assert targets.lines == [lost, f"INFO log {fifo} works again; 12 bytes were dropped"]
    sink.close()
    targets.settle()
    os.close(reader)


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_a_full_device_costs_one_line(targets: Targets) -> None:
    sink = targets.file("/dev/full", maxbytes=0, backups=0)
    sink.write(b"x")
    sink.write(b"y")
    sink.close()
    targets.settle()
    why = os.strerror(errno.ENOSPC)
    assert targets.lines == [
        f"ERRO cannot write log /dev/full: {why}; output is dropped until it works",
        "ERRO log /dev/full is closed; 2 bytes were dropped",
    ]


@pytest.mark.behaviour("output.md#readers-that-are-slow-when-the-daemon-ends")
def test_settle_leaves_a_stuck_target_behind(targets: Targets) -> None:
    with pipe() as p:
        sink = targets.file(p.path, maxbytes=0, backups=0)
        sink.write(b"x" * 10 * CHUNK)
        sink.close()
        targets.sinks.settle(0.01)
        targets.sinks.settle(0.01)
        assert targets.lines == [
            f"ERRO log {p.path}: {10 * CHUNK} bytes are not written before the end, because its"
            " reader is too slow"
        ]
        assert p.pending()
        assert p.read(10 * CHUNK) == b"x" * 10 * CHUNK


@pytest.mark.behaviour("output.md#readers-that-are-slow-when-the-daemon-ends")
def test_settle_waits_for_a_reader_that_is_slow(targets: Targets) -> None:
    """Each message is taken within the pause that is allowed, all together are not."""
    count, pause = 30, 1.0
    listening = Syslog(targets.syslog_socket)
    sink = targets.sinks.syslog("x")
    sink.write(b"".join(b"%d\n" % number for number in range(count)))
    sink.close()
    read: list[bytes] = []

    def read_slowly() -> None:
        while len(read) < count:
            time.sleep(pause / 20)  # it is slow
            read.append(listening.read())

    reader = threading.Thread(target=read_slowly)
    reader.start()
    targets.sinks.settle(pause)
    reader.join(PATIENCE)
    listening.close()
    assert [message.rsplit(b" ", 1)[1] for message in read] == [b"%d" % n for n in range(count)]
    assert targets.lines == []


class Disk:
    """Holds each write to a regular file until ``resume``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.resume = threading.Event()
        write = LogFile.write

        def late(file: LogFile, data: bytes) -> None:
            assert self.resume.wait(PATIENCE)
            write(file, data)

        monkeypatch.setattr(LogFile, "write", late)


@pytest.mark.behaviour("output.md#disks-that-are-slow-when-the-daemon-ends")
def test_settle_waits_for_a_disk_that_is_slow(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_supervisor.runtime.logs.sinks.LONGEST_SETTLE", PATIENCE)
    disk = Disk(monkeypatch)
    logs = [tmp_path / name for name in "ab"]
    for log in logs:
        sink = targets.file(str(log), maxbytes=0, backups=0)
        sink.write(b"first ")
        sink.write(b"last")
        sink.close()
    settling = threading.Thread(target=targets.sinks.settle, args=(0.001,))
    settling.start()
    settling.join(0.1)
    assert settling.is_alive()
    disk.resume.set()
    settling.join(PATIENCE)
    assert [log.read_bytes() for log in logs] == [b"first last"] * 2
    assert targets.lines == []


@pytest.mark.behaviour("output.md#disks-that-are-slow-when-the-daemon-ends")
def test_settle_counts_the_bytes_that_a_hanging_disk_has_not_got(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_supervisor.runtime.logs.sinks.LONGEST_SETTLE", 0.1)
    disk = Disk(monkeypatch)
    logs = [tmp_path / name for name in "ab"]
    for log in logs:
        sink = targets.file(str(log), maxbytes=0, backups=0)
        sink.write(b"first ")
        sink.write(b"last")
        sink.close()
    for _ in range(2):  # told once
        targets.sinks.settle(0.001)
    assert targets.lines == [
        f"ERRO log {log}: 10 bytes are not written before the end, because its disk does not answer"
        for log in logs
    ]
    disk.resume.set()
    targets.settle()
    assert [log.read_bytes() for log in logs] == [b"first last"] * 2


class Syslog:
    """A syslog daemon of the test's own."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(PATIENCE)

    def read(self) -> bytes:
        return self._socket.recv(1 << 20)

    def close(self) -> None:
        self._socket.close()


@pytest.mark.behaviour("process.md#syslog", "process.md#clearing-logs")
async def test_each_line_goes_to_syslog(targets: Targets) -> None:
    daemon = Syslog(targets.syslog_socket)
    sink = targets.sinks.syslog("sy")
    own = targets.sinks.syslog()
    sink.write(b"line1\nline2\npartial")
    sink.write(b"rest\n\xff\n")
    own.write(b"2026-11-24 14:00:00,000 INFO text\n")
    await sink.clear()
    await sink.reopen()
    messages = [daemon.read().decode() for _ in range(6)]
    for message in messages:
        assert re.match(r"<14>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d daemon: ", message)
    assert [message.split(": ", 1)[1] for message in messages] == [
        "sy line1",
        "sy line2",
        "sy partial",
        "sy rest",
        "sy \ufffd",
        "2026-11-24 14:00:00,000 INFO text",
    ]
    sink.close()
    own.close()
    daemon.close()
    assert targets.lines == []


def test_syslog_daemon_restarted(targets: Targets) -> None:
    sink = targets.sinks.syslog("x")
    sink.write(b"lost\n")
    targets.settle()
    for _ in range(2):
        daemon = Syslog(targets.syslog_socket)
        sink.write(b"line\n")
        assert daemon.read().endswith(b"x line")
        daemon.close()
        os.unlink(targets.syslog_socket)
    targets.settle()  # what the writer's thread has to say is passed on by the next use
    assert targets.lines[0].startswith(
        "ERRO cannot write log syslog: No such file or directory; output is dropped"
    )
    assert len(targets.lines) == 2
    assert targets.lines[1].startswith("INFO log syslog works again")
    sink.close()


def test_a_busy_syslog_daemon_loses_nothing(targets: Targets) -> None:
    daemon = Syslog(targets.syslog_socket)
    sink = targets.sinks.syslog("x")
    sink.write(b"".join(b"%d\n" % i for i in range(2000)))
    assert sink.backlog > 0
    sink.close()
    assert [int(daemon.read().rsplit(b" ", 1)[1]) for _ in range(2000)] == list(range(2000))
    daemon.close()
    assert targets.lines == []


async def test_a_syslog_daemon_that_hangs_stops_no_log_file(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up nobody for longer than it takes to see that it hangs; losses are counted."""
    monkeypatch.setattr(writer, "HANGING", 0.05)
    daemon = Syslog(targets.syslog_socket)
    recorder = Recorder()
    recorder.host.sinks = targets.sinks
    path = tmp_path / "x.log"
    channel = OutputChannel(
        "stdout",
        ChannelConfig(str(path), syslog=True),
        process="x",
        group="g",
        host=recorder.host,
    )
    await open_channels([channel], targets.sinks)
    reader, writing = os.pipe2(os.O_NONBLOCK)
    line = b"x" * 1000 + b"\n"
    count = 2 * QUEUE_LIMIT // len(line)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.drain, reader, 1)
            stream = trio.lowlevel.FdStream(writing)
            await stream.send_all(line * count)
            await stream.aclose()
    channel.finish()
    await channel.settled()
    assert path.stat().st_size == count * len(line)
    lost = "ERRO cannot write log syslog: its reader is too slow; output is dropped until it works"
    assert lost in targets.lines
    daemon.close()  # which ends the writer's thread
    os.close(reader)
    targets.settle()
