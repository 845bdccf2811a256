"""Nothing is lost and nothing leaks: every line once, no descriptor left."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import sys
import xmlrpc.client
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BASE, Daemon, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Writes numbered lines of its run in pieces that are read one by one: the next comes when the pipe
#: is empty. The run is counted in a file, so that none is used twice. In its middle it waits for
#: logs to have been reopened.
WRITER = """\
import array, fcntl, os, sys, termios, time
name, pieces = sys.argv[1], int(sys.argv[2])
with open(f"{name}.runs", "a+b") as runs:
    runs.write(b".")
    runs.flush()
    run = runs.tell()
waiting = array.array("i", [0])
for piece in range(pieces):
    while piece == pieces // 2 and not os.path.exists(f"reopened.{run}"):
        time.sleep(0.001)
    lines = range(piece * 10, piece * 10 + 10)
    text = b"".join(b"%s run %d line %d\\n" % (name.encode(), run, number) for number in lines)
    os.write(1, text)
    while not fcntl.ioctl(1, termios.FIONREAD, waiting) and waiting[0]:
        time.sleep(0.0001)
"""
LISTENER = """\
import os, sys
while True:
    print("READY", flush=True)
    header = dict(token.split(":") for token in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header["len"]))
    os.write(2, payload.partition("\\n")[2].encode())
    print("RESULT 2\\nOK", end="", flush=True)
"""
RUNS = 4
PIECES = 25
LINES_OF_A_PIECE = 10


def written(name: str) -> list[str]:
    """All lines of all runs, in order."""
    return [
        f"{name} run {run} line {number}"
        for run in range(1, RUNS + 1)
        for number in range(PIECES * LINES_OF_A_PIECE)
    ]


def collected(directory: Path, name: str) -> list[str]:
    """The records of a log and its backups, oldest first.

    The end of the daemon may leave a plain file beside its compressed one.
    """
    found = [
        path
        for path in directory.glob(f"{name}.log.*")
        if path.suffix != ".gz" or not path.with_suffix("").exists()
    ]
    backups = sorted(found, key=lambda path: -int(path.name.split(".")[2]))
    files = [*backups, directory / f"{name}.log"]
    return b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in files
    ).decode().splitlines()  # fmt: skip


def is_written(log: Path, line: str) -> bool:
    """Whether the log, or the backup that follows it, has a line."""
    with suppress(FileNotFoundError):  # while it is rotated
        return any(line in path.read_text() for path in (log, log.with_name(f"{log.name}.1")))
    return False


def without_format(records: list[str], log_format: str) -> list[str]:
    """The lines in the records of a log."""
    if log_format == "json":
        return [json.loads(record)["line"] for record in records]
    return [record.split(" ", 3)[3] for record in records] if log_format == "prefix" else records


@pytest.mark.behaviour(
    "process.md#output-is-logged-as-it-arrives",
    "process.md#pipes-that-close-early-or-stay-open",
    "process.md#rotation-by-size",
    "process.md#reopening-and-truncation-from-outside",
    "process.md#clearing-logs",
    "process.md#slow-full-and-broken-disks",
    "output.md#raw-logs",
    "output.md#lines-in-records",
    "output.md#compressed-backups",
)
def test_every_line_is_found_once_through_rotations_reopens_clears_and_restarts(
    tmp_path: Path,
) -> None:
    """Four go through hundreds of rotations together, with and without a format; two more are
    compressed, which costs the disk more; ``cleared`` is heard of by a listener as well. All are
    reopened and started again all the while.
    """
    (tmp_path / "writer.py").write_text(WRITER)
    (tmp_path / "listener.py").write_text(LISTENER)
    rotated = {"a": "raw", "b": "raw", "c": "prefix", "d": "json", "e": "raw", "f": "json"}
    compressed = {"e": 2000, "f": 10_000}
    names = (*rotated, "cleared")
    options = {
        name: f"stdout_logfile_maxbytes={compressed.get(name, 150)}\nstdout_logfile_backups=150\n"
        f"log_format={log_format}\n"
        f"stdout_logfile_compress={'gz' if name in compressed else 'none'}\n"
        for name, log_format in rotated.items()
    } | {"cleared": "stdout_logfile_maxbytes=0\nstdout_events_enabled=true\n"}
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S writer.py {name} {PIECES}\n"
        f"directory={tmp_path}\nstartsecs=0\nautorestart=false\nredirect_stderr=true\n"
        # With a capture limit nothing waits for more: each piece is logged at once.
        f"stdout_capture_maxbytes=1KB\nstdout_logfile={tmp_path}/{name}.log\n{options[name]}"
        for name in names
    ) + (
        f"[eventlistener:l]\ncommand={sys.executable} listener.py\ndirectory={tmp_path}\n"
        f"events=PROCESS_LOG\nbuffer_size=100000\nstderr_logfile={tmp_path}/heard\nstartsecs=0\n"
        "stderr_logfile_maxbytes=0\n"
    )
    base = BASE.replace("loglevel=debug", "loglevel=info\nextended=true")
    with daemon(tmp_path, text, base=base) as running:
        for run in range(1, RUNS + 1):
            for name in names:
                wait_for_size(tmp_path / f"{name}.runs", run)
            running.signal(signal.SIGUSR2)
            eventually(lambda: running.log.count("logreopen") >= run, "the logs being reopened")  # noqa: B023  # called in this turn
            (tmp_path / f"reopened.{run}").touch()
            while any(running.state(name) == "RUNNING" for name in names):
                running.signal(signal.SIGUSR2)  # reopens while they write
                # On a machine too busy it is refused, and done a little later.
                with suppress(xmlrpc.client.Fault):
                    running.rpc.clearProcessLogs("cleared")
            for name in names:
                running.wait_for(name, "EXITED")
                if run < RUNS:
                    running.rpc.startProcess(name)
        heard = tmp_path / "heard"
        last = written("cleared")[-1]
        eventually(lambda: heard.read_text().endswith(f"{last}\n"), "the last event")
        for name in rotated:  # at its end it does not wait long for a disk
            eventually(partial(is_written, tmp_path / f"{name}.log", written(name)[-1]), name)
        assert running.stop() == 0
    assert sum(len(list(tmp_path.glob(f"{name}.log.*"))) for name in rotated) >= 200
    for name, log_format in rotated.items():
        records = collected(tmp_path, name)
        assert without_format(records, log_format) == written(name)
    for name in compressed:
        assert len(list(tmp_path.glob(f"{name}.log.*.gz"))) > RUNS
    assert heard.read_text().splitlines() == written("cleared")
    left = collected(tmp_path, "cleared")
    assert len(left) < len(written("cleared"))
    assert left == written("cleared")[len(written("cleared")) - len(left) :]
    log = running.log
    assert " ERRO " not in log
    assert log.count("logreopen") >= RUNS


def wait_for_size(path: Path, size: int) -> None:
    eventually(lambda: path.exists() and path.stat().st_size == size, f"{size} bytes in {path}")


SPAWNS = 1000
FAILURES = 32
RELOADS = 200
REQUESTS = 10_000
#: It is looked at after each of so many equal parts.
ROUNDS = 4
#: Programs that are started together, and requests of one connection.
TOGETHER = 50
PIPELINED = 100
#: KiB that the daemon's resident memory may grow after the first round. A hundredth of a round's
#: objects would be more; what it grows by are caches that fill up and the allocator's gaps.
GROWTH = 4096
#: Every so many requests one has a large answer; most of what all take is the same for each.
LARGE = 10


def request(method: str) -> bytes:
    call = xmlrpc.client.dumps((), method).encode()
    head = (
        f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {len(call)}"
    )
    return head.encode() + b"\r\n\r\n" + call


REQUESTS_AT_ONCE = (
    request("supervisor.getAllProcessInfo") + request("supervisor.getState") * (LARGE - 1)
) * (PIPELINED // LARGE)


def resident(pid: int) -> int:
    """KiB of memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def spawn_all(running: Daemon) -> None:
    running.rpc.startProcessGroup("quick")
    eventually(lambda: "RUNNING" not in running.states().values(), "their ends")


def ask(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(REQUESTS_AT_ONCE)
        client.shutdown(socket.SHUT_WR)
        answers = b""
        while chunk := client.recv(1 << 20):
            answers += chunk
    assert answers.count(b"HTTP/1.1 200") == PIPELINED


def reload(running: Daemon, number: int) -> None:
    running.signal(signal.SIGHUP)
    started = "supervisord started with pid"
    eventually(lambda: running.log.count(started) == number, f"start number {number}")
    eventually((running.directory / "s.sock").exists, "the socket")


def spawn_and_fail(running: Daemon, starts: Iterator[int]) -> None:
    for _ in range(SPAWNS // ROUNDS // TOGETHER):
        spawn_all(running)
    place = running.directory / "sub"
    place.rmdir()
    for _ in range(FAILURES // ROUNDS):
        with pytest.raises(xmlrpc.client.Fault, match="SPAWN_ERROR"):
            running.rpc.startProcess("bad")
    place.mkdir()


def send_requests(running: Daemon, starts: Iterator[int]) -> None:
    for _ in range(REQUESTS // ROUNDS // PIPELINED):
        ask(running.directory / "s.sock")


def reload_often(running: Daemon, starts: Iterator[int]) -> None:
    for _ in range(RELOADS // ROUNDS):
        reload(running, next(starts))


@pytest.mark.behaviour(
    "process.md#spawn-failures-before-the-child-exists",
    "process.md#restart-of-the-daemon",
    "process.md#control-sockets",
)
@pytest.mark.parametrize("act", [spawn_and_fail, send_requests, reload_often])
def test_nothing_is_left(tmp_path: Path, act: Callable[[Daemon, Iterator[int]], None]) -> None:
    """Descriptors and memory from /proc. Each by itself, for a busy machine takes its time."""
    text = (
        "[program:quick]\ncommand=/bin/true\nstartsecs=0\nautostart=false\nautorestart=false\n"
        f"numprocs={TOGETHER}\nprocess_name=%(process_num)d\n"
        f"[program:bad]\ncommand=/bin/cat\nautostart=false\nstartretries=0\n"
        f"stdout_logfile={tmp_path}/sub/x.log\n"
    )
    (tmp_path / "sub").mkdir()
    starts = count(2)
    with daemon(tmp_path, text, base=BASE.replace("loglevel=debug", "loglevel=info")) as running:
        pid = running.process.pid
        spawn_all(running)
        before = running.descriptors
        memory = []
        for _ in range(ROUNDS):
            act(running, starts)
            eventually(lambda: running.descriptors <= before, "no more descriptors than before")
            memory.append(resident(pid))
        assert memory[-1] - memory[0] < GROWTH, memory
        assert running.process.pid == pid
