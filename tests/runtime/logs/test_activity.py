"""The activity log."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.pipes import PATIENCE, Pipe, pipe
from trio_supervisor.core.config.model import DaemonConfig, Severity
from trio_supervisor.core.errors import ConfigError, Failed, NoFile
from trio_supervisor.runtime.logs import activity
from trio_supervisor.runtime.logs.activity import ActivityLog, open_activity_log
from trio_supervisor.runtime.logs.logfile import LogFile
from trio_supervisor.runtime.logs.sinks import Sink, Sinks
from trio_supervisor.runtime.logs.syslog import SyslogSink
from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT

#: 2026-11-24 14:00:00.007 in UTC.
NOW = 1795528800.0075
STAMP = "2026-11-24 14:00:00,007"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


class Desk:
    """Opens activity logs and closes them in the end."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "sup.log"
        self._stack = ExitStack()
        self._logs: list[ActivityLog] = []

    def open(
        self,
        path: str | None = "",
        *,
        level: Severity = Severity.INFO,
        maxbytes: int = 0,
        backups: int = 0,
        copy: str | None = None,
        sinks: Callable[[ActivityLog], Sinks] | None = None,
    ) -> ActivityLog:
        log = ActivityLog(
            level, path=str(self.path) if path == "" else path, wall_clock=lambda: NOW
        )
        if sinks is not None:
            log.sinks = sinks(log)
        log.open(maxbytes=maxbytes, backups=backups, copy=copy)
        self._stack.callback(log.close)
        self._logs.append(log)
        return log

    def settle(self) -> None:
        """Wait until the disk worker has written everything."""
        for log in self._logs:
            log.sinks._worker.settle(PATIENCE)  # and no reader that sleeps

    @property
    def text(self) -> str:
        self.settle()
        return self.path.read_text()

    @property
    def lines(self) -> list[str]:
        return [line.removeprefix(STAMP + " ") for line in self.text.splitlines()]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def out() -> Iterator[Pipe]:
    """A pipe in place of our standard output."""
    with pipe() as p:
        yield p


@pytest.mark.behaviour("process.md#format-of-records")
@pytest.mark.parametrize(
    ("severity", "label"),
    [
        (Severity.CRITICAL, "CRIT"),
        (Severity.ERROR, "ERRO"),
        (Severity.WARN, "WARN"),
        (Severity.INFO, "INFO"),
        (Severity.DEBUG, "DEBG"),
        (Severity.TRACE, "TRAC"),
        (Severity.BLATHER, "BLAT"),
    ],
)
def test_format_of_a_record(desk: Desk, severity: Severity, label: str) -> None:
    desk.open(level=Severity.BLATHER).log(severity, "text")
    assert desk.text == f"{STAMP} {label} text\n"


@pytest.mark.behaviour("process.md#format-of-records")
@pytest.mark.parametrize("level", list(Severity))
def test_records_below_the_level_are_left_out(desk: Desk, level: Severity) -> None:
    log = desk.open(level=level)
    for severity in Severity:
        log.log(severity, severity.name)
    assert [line.split()[1] for line in desk.lines] == [s.name for s in Severity if s >= level]


@pytest.mark.behaviour("process.md#format-of-records")
def test_continuation_lines_carry_no_prefix(desk: Desk) -> None:
    desk.open().log(Severity.INFO, "'x' stdout output:\nline\n")
    assert desk.text == f"{STAMP} INFO 'x' stdout output:\nline\n\n"


def test_text_that_is_not_unicode_is_written_with_replacement(desk: Desk) -> None:
    desk.open().log(Severity.INFO, "a\udcffb")
    assert desk.lines == ["INFO a?b"]


def test_control_characters_are_escaped_wherever_they_come_from(desk: Desk) -> None:
    """A record must not steer the terminal of its reader, nor reorder what is shown."""
    desk.open().log(Severity.INFO, "a\x1b[2J\x07\r\x9b\u202eb\u2066\u2028\tc\nd \u05d0 \\")
    assert desk.text == (
        f"{STAMP} INFO a\\x1b[2J\\x07\\x0d\\x9b\\u202eb\\u2066\\u2028\tc\nd \u05d0 \\\n"
    )


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
def test_records_are_copied_to_stdout(desk: Desk, out: Pipe) -> None:
    log = desk.open(copy=out.path)
    log.log(Severity.INFO, "text")
    expected = f"{STAMP} INFO text\n"
    assert out.read(len(expected)).decode() == desk.text == expected


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
def test_silent_leaves_stdout_empty(
    tmp_path: Path, out: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "STDOUT", out.path)
    daemon = DaemonConfig(logfile=str(tmp_path / "sup.log"), silent=True)
    log = open_activity_log(daemon, foreground=True)
    log.log(Severity.INFO, "text")
    log.close()
    assert not out.pending()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO text\n", (tmp_path / "sup.log").read_text()
    )


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
@pytest.mark.parametrize("maxbytes", [0, 1000])
def test_log_on_stdout_appears_once(desk: Desk, out: Pipe, maxbytes: int) -> None:
    log = desk.open(out.path, maxbytes=maxbytes, backups=2, copy=out.path)
    log.log(Severity.INFO, "one")
    log.log(Severity.INFO, "two")
    log.close()
    text = os.read(out.reader, 10_000).decode()
    assert [line for line in text.splitlines() if "rotated" not in line] == [
        f"{STAMP} INFO one",
        f"{STAMP} INFO two",
    ]
    assert text.count("rotated") == (1 if maxbytes else 0)


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
def test_log_file_that_is_our_stdout(desk: Desk) -> None:
    with desk.path.open("ab", buffering=0) as file:
        desk.open(copy=f"/dev/fd/{file.fileno()}").log(Severity.INFO, "once")
    assert desk.lines == ["INFO once"]


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
async def test_records_go_to_syslog(desk: Desk, tmp_path: Path) -> None:
    log = desk.open(
        None, sinks=lambda log: Sinks(log.log, syslog_socket=str(tmp_path / "no-daemon"))
    )
    log.log(Severity.INFO, "nobody listens, nothing happens")
    with pytest.raises(NoFile):
        await log.clear()


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    daemon = DaemonConfig(logfile=str(tmp_path / "none" / "sup.log"))
    with pytest.raises(ConfigError) as caught:
        open_activity_log(daemon, foreground=False)
    assert str(caught.value) == (
        f"cannot open the log {daemon.logfile}: No such file or directory "
        "in section 'supervisord' (option: 'logfile')"
    )


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_records_for_a_stdout_that_is_not_read_are_dropped(desk: Desk, out: Pipe) -> None:
    """The log is complete; of the copy, what waits beyond 1 MiB is dropped and counted."""
    log = desk.open(copy=out.path)
    text = "x" * (10_000 - len(STAMP) - len(" INFO \n"))
    for _ in range(300):
        log.log(Severity.INFO, text)
    desk.settle()
    assert desk.path.stat().st_size == 300 * 10_000
    waiting = BACKLOG_LIMIT // 10_000
    received = out.read(waiting * 10_000)
    assert received == desk.path.read_bytes()[: waiting * 10_000]
    while out.pending():
        out.read(10_000)
    log.sinks.settle(PATIENCE)
    while out.pending():
        out.read(10_000)
    log.log(Severity.INFO, "after")
    warning, after = desk.lines[-2:]
    dropped = re.fullmatch(r"WARN (\d+) log records were dropped for a slow reader", warning)
    assert dropped is not None
    assert 0 < int(dropped[1]) <= 300 - waiting
    assert after == "INFO after"


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_closing_does_not_wait_for_a_reader_that_sleeps(desk: Desk, out: Pipe) -> None:
    log = desk.open(copy=out.path)
    for _ in range(50):
        log.log(Severity.INFO, "x" * 10_000)
    before = time.monotonic()
    log.close()
    assert time.monotonic() - before < PATIENCE
    assert out.pending()
    out.read(50 * (10_000 + len(f"{STAMP} INFO \n")))


def test_closing_delivers_what_a_reader_takes(desk: Desk, out: Pipe) -> None:
    log = desk.open(copy=out.path)
    for _ in range(100):
        log.log(Severity.INFO, "x")
    log.close()
    assert os.read(out.reader, 100_000) == desk.path.read_bytes()


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_a_stdout_reader_that_goes_ends_only_the_copy(desk: Desk, out: Pipe) -> None:
    log = desk.open(copy=out.path)
    out.close_reader()
    for text in ("one", "two", "three", "four"):
        log.log(Severity.INFO, text)
        log.sinks.settle(PATIENCE)
    assert [line for line in desk.lines if "INFO" in line] == [
        "INFO one",
        "INFO two",
        "INFO three",
        "INFO four",
    ]
    others = [line for line in desk.lines if "INFO" not in line]  # the end may come after all lines
    assert len(others) <= 2
    assert "cannot write log" in others[0]
    assert all("bytes were dropped" in line for line in others[1:])


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
@pytest.mark.parametrize("when", ["close", "log"])
def test_a_copy_that_reports_while_it_is_closed_is_closed_once(desk: Desk, when: str) -> None:
    closed = []

    class Gone(SyslogSink):
        """A reader that is gone, which is noticed by closing it."""

        broken = True
        backlog = 0

        def __init__(self) -> None:
            """Without a writer."""

        def write(self, data: bytes) -> None:
            """Nobody takes it."""

        def flush(self) -> None:
            """As above."""

        def close(self) -> None:
            closed.append(True)
            log.log(Severity.ERROR, "the reader is gone")

    class GoneSinks(Sinks):
        def file(self, path: str, *, maxbytes: int, backups: int) -> Sink:
            if path == os.devnull:
                return Gone()
            return super().file(path, maxbytes=maxbytes, backups=backups)

    log = desk.open(copy=os.devnull, sinks=lambda log: GoneSinks(log.log))
    if when == "log":
        log.log(Severity.INFO, "one")
    log.close()
    assert closed == [True]
    assert desk.lines[0] == "ERRO the reader is gone"


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
async def test_reopening_by_name(desk: Desk) -> None:
    log = desk.open()
    log.log(Severity.INFO, "received SIGUSR2 indicating log reopen request")
    old = desk.path.rename(f"{desk.path}.old")
    log.log(Severity.INFO, "supervisord logreopen")
    await log.reopen()
    log.log(Severity.INFO, "after")
    await log.settled()
    assert len(old.read_text().splitlines()) == 2
    assert desk.lines == ["INFO after"]


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
async def test_reopen_that_fails(desk: Desk, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = desk.open(str(directory / "sup.log"))
    (directory / "sup.log").unlink()
    directory.rmdir()
    with pytest.raises(FileNotFoundError):
        await log.reopen()
    log.log(Severity.CRITICAL, "could not reopen")
    desk.settle()
    directory.mkdir()
    log.log(Severity.INFO, "by itself")
    await log.settled()
    assert (directory / "sup.log").read_text() == f"{STAMP} INFO by itself\n"


@pytest.mark.behaviour("process.md#clearing-logs")
async def test_clearing_begins_a_new_file(desk: Desk) -> None:
    log = desk.open()
    log.log(Severity.INFO, "before")
    with desk.path.open() as before:
        await log.clear()
        assert before.read() == f"{STAMP} INFO before\n"  # removed, not truncated
    await log.settled()
    assert desk.lines == ["INFO reopening log file"]


@pytest.mark.behaviour("process.md#clearing-logs")
async def test_clear_of_no_regular_file(desk: Desk, out: Pipe) -> None:
    log = desk.open(out.path)
    with pytest.raises(NoFile):
        await log.clear()
    assert stat.S_ISLNK(os.lstat(out.path).st_mode)


@pytest.mark.behaviour("process.md#clearing-logs")
async def test_clear_of_a_missing_file(desk: Desk) -> None:
    log = desk.open()
    desk.path.unlink()
    with pytest.raises(NoFile):
        await log.clear()


@pytest.mark.behaviour("process.md#clearing-logs")
async def test_clear_that_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    log = desk.open()

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(Failed, match="Operation not permitted"):
            await log.clear()
    log.log(Severity.INFO, "goes on")
    await log.settled()
    assert desk.lines == ["INFO goes on"]


@pytest.mark.behaviour("process.md#destinations-of-the-activity-log")
@pytest.mark.parametrize("backups", [2, 0])
def test_rotation_of_the_activity_log(desk: Desk, backups: int) -> None:
    log = desk.open(level=Severity.DEBUG, maxbytes=2000, backups=backups)
    record = len(f"{STAMP} DEBG \n") + 70
    for _ in range(100):
        log.log(Severity.DEBUG, "x" * 70)
    desk.settle()
    sizes = {path.name: path.stat().st_size for path in sorted(desk.path.parent.iterdir())}
    assert list(sizes) == ["sup.log", "sup.log.1", "sup.log.2"][: backups + 1]
    assert all(2000 <= size < 2000 + record for name, size in sizes.items() if name != "sup.log")


@pytest.mark.behaviour(
    "process.md#slow-full-and-broken-disks", "process.md#the-activity-log-never-blocks-the-daemon"
)
def test_activity_log_on_a_full_disk(desk: Desk, out: Pipe) -> None:
    """The copy says what is wrong, and the log's own trouble does not feed itself."""
    log = desk.open("/dev/full", copy=out.path)
    for _ in range(3):
        log.log(Severity.INFO, "text")
        log.sinks.settle(PATIENCE)
    log.close()
    text = os.read(out.reader, 10_000).decode()
    assert text.count("INFO text\n") == 3
    assert text.count("ERRO cannot write log /dev/full: No space left on device") == 1


def no_wait(worker: DiskWorker, done: Callable[[], bool], seconds: float) -> bool:
    raise AssertionError("the event loop waits for the disk")


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
def test_a_record_waits_for_no_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    works = threading.Event()
    write = LogFile.write

    def hang(file: LogFile, data: bytes) -> None:
        assert works.wait(PATIENCE)
        write(file, data)

    log = desk.open()
    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "write", hang)
        patch.setattr(DiskWorker, "wait", no_wait)
        log.log(Severity.INFO, "one")
        log.log(Severity.INFO, "two")
        assert desk.path.read_text() == ""
        works.set()
        desk.settle()
    assert desk.lines == ["INFO one", "INFO two"]


@pytest.mark.behaviour("process.md#the-activity-log-never-blocks-the-daemon")
async def test_records_that_follow_quickly_are_written_together(
    desk: Desk, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = LogFile.write

    def counting(file: LogFile, data: bytes) -> None:
        written.append(data.count(b"\n"))
        write(file, data)

    monkeypatch.setattr(LogFile, "write", counting)
    log = desk.open()
    log.log(Severity.INFO, "one")
    assert desk.lines == ["INFO one"]
    log.log(Severity.INFO, "two")
    log.log(Severity.INFO, "three")
    assert desk.lines == ["INFO one"]
    await wait_all_tasks_blocked()
    mock_clock.jump(activity.GATHER)
    await wait_all_tasks_blocked()
    assert desk.lines == ["INFO one", "INFO two", "INFO three"]
    mock_clock.jump(activity.GATHER)
    log.log(Severity.INFO, "after a pause")
    assert desk.lines[3:] == ["INFO after a pause"]
    assert written == [1, 2, 1]
    log.log(Severity.INFO, "short")
    assert len(desk.lines) == 4
    log.log(Severity.INFO, "x" * activity.MOST_GATHERED)
    assert len(desk.lines) == 6
    log.log(Severity.INFO, "the last")
    log.close()
    assert desk.lines[-1] == "INFO the last"


async def test_a_client_finds_the_records_that_led_to_its_answer(desk: Desk) -> None:
    log = desk.open()
    for number in range(100):
        log.log(Severity.INFO, str(number))
    await log.settled()
    text = await trio.to_thread.run_sync(desk.path.read_text)
    assert text.endswith("INFO 99\n")


async def test_a_disk_that_hangs_holds_up_one_answer_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    works = threading.Event()
    write = LogFile.write

    def hang(file: LogFile, data: bytes) -> None:
        assert works.wait(PATIENCE)
        write(file, data)

    monkeypatch.setattr(LogFile, "write", hang)
    log = desk.open()
    before = trio.current_time()
    for _ in range(10):
        log.log(Severity.INFO, "x")
        await log.settled()
    assert trio.current_time() - before == pytest.approx(activity.FLUSH_TIMEOUT)
    works.set()
