"""Nothing is lost and nothing leaks: every line once, no descriptor left."""

from __future__ import annotations

import signal
import socket
import sys
import xmlrpc.client
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.kit.daemon import BASE, Daemon, daemon, eventually

#: Writes numbered lines of its run in pieces that are read one by one: the next comes when the pipe
#: is empty. The run is counted in a file, so that none is used twice.
WRITER = """\
import array, fcntl, os, sys, termios, time
name, pieces = sys.argv[1], int(sys.argv[2])
with open(f"{name}.runs", "a+b") as runs:
    runs.write(b".")
    runs.flush()
    run = runs.tell()
waiting = array.array("i", [0])
for piece in range(pieces):
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
PIECES = 65
LINES_OF_A_PIECE = 10


def written(name: str) -> list[str]:
    """All lines of all runs, in order."""
    return [
        f"{name} run {run} line {number}"
        for run in range(1, RUNS + 1)
        for number in range(PIECES * LINES_OF_A_PIECE)
    ]


def collected(directory: Path, name: str) -> list[str]:
    """The lines of a log and its backups, oldest first."""
    backups = sorted(
        directory.glob(f"{name}.log.*"), key=lambda path: -int(path.name.rpartition(".")[2])
    )
    return b"".join(path.read_bytes() for path in [*backups, directory / f"{name}.log"]).decode(
    ).splitlines()  # fmt: skip


@pytest.mark.behaviour(
    "process.md#output-is-logged-as-it-arrives",
    "process.md#pipes-that-close-early-or-stay-open",
    "process.md#rotation-by-size",
    "process.md#reopening-and-truncation-from-outside",
    "process.md#clearing-logs",
    "process.md#slow-full-and-broken-disks",
)
def test_every_line_is_found_once_through_rotations_reopens_clears_and_restarts(
    tmp_path: Path,
) -> None:
    """Four go through a thousand rotations together, ``cleared`` is heard of by a listener as well;
    all are reopened and started again all the while.
    """
    (tmp_path / "writer.py").write_text(WRITER)
    (tmp_path / "listener.py").write_text(LISTENER)
    rotated = ("a", "b", "c", "d")
    names = (*rotated, "cleared")
    options = dict.fromkeys(
        rotated, "stdout_logfile_maxbytes=150\nstdout_logfile_backups=300\n"
    ) | {"cleared": "stdout_logfile_maxbytes=0\nstdout_events_enabled=true\n"}
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
    base = BASE.replace("loglevel=debug", "loglevel=info")
    with daemon(tmp_path, text, base=base) as running:
        for run in range(1, RUNS + 1):
            for name in names:
                wait_for_size(tmp_path / f"{name}.runs", run)
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
        assert running.stop() == 0
    assert sum(len(list(tmp_path.glob(f"{name}.log.*"))) for name in rotated) >= 1000
    for name in rotated:
        assert collected(tmp_path, name) == written(name)
    assert heard.read_text().splitlines() == written("cleared")
    left = collected(tmp_path, "cleared")
    assert len(left) < len(written("cleared"))
    assert left == written("cleared")[len(written("cleared")) - len(left) :]
    log = running.log
    assert " ERRO " not in log
    assert log.count("logreopen") > RUNS


def wait_for_size(path: Path, size: int) -> None:
    eventually(lambda: path.exists() and path.stat().st_size == size, f"{size} bytes in {path}")


SPAWNS = 1000
RELOADS = 200
REQUESTS = 10_000
#: It is looked at after each of so many equal parts.
ROUNDS = 4
#: Programs that are started together, and requests of one connection.
TOGETHER = 10
PIPELINED = 100
#: KiB that the daemon's resident memory may grow after the first round. A hundredth of a round's
#: objects would be more; what it grows by are caches that fill up and the allocator's gaps.
GROWTH = 4096
CALL = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo").encode()
REQUEST = (
    b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b"
    % (len(CALL), CALL)
)


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
        client.sendall(REQUEST * PIPELINED)
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


@pytest.mark.behaviour(
    "process.md#spawn-failures-before-the-child-exists",
    "process.md#restart-of-the-daemon",
    "process.md#control-sockets",
)
def test_nothing_is_left_by_spawns_reloads_and_requests(tmp_path: Path) -> None:
    """Descriptors and memory from /proc."""
    text = (
        "[program:quick]\ncommand=/bin/true\nstartsecs=0\nautostart=false\nautorestart=false\n"
        f"numprocs={TOGETHER}\nprocess_name=%(process_num)d\n"
        f"[program:bad]\ncommand=/bin/cat\nautostart=false\nstartretries=0\n"
        f"stdout_logfile={tmp_path}/sub/x.log\n"
    )
    (tmp_path / "sub").mkdir()
    starts = count(2)
    with daemon(tmp_path, text, base=BASE.replace("loglevel=debug", "loglevel=info")) as running:
        (tmp_path / "sub").rmdir()
        pid = running.process.pid
        spawn_all(running)
        before = running.descriptors
        for _ in range(30):
            with pytest.raises(xmlrpc.client.Fault, match="SPAWN_ERROR"):
                running.rpc.startProcess("bad")
        (tmp_path / "sub").mkdir()
        memory = []
        for _ in range(ROUNDS):
            for _ in range(SPAWNS // ROUNDS // TOGETHER):
                spawn_all(running)
            for _ in range(REQUESTS // ROUNDS // PIPELINED):
                ask(tmp_path / "s.sock")
            for _ in range(RELOADS // ROUNDS):
                reload(running, next(starts))
            eventually(lambda: running.descriptors <= before, "no more descriptors than before")
            memory.append(resident(pid))
        assert memory[-1] - memory[0] < GROWTH, memory
        assert running.process.pid == pid
