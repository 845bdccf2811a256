"""Nothing is lost and nothing leaks: every line once, no descriptor left."""

from __future__ import annotations

import signal
import sys
import xmlrpc.client
from pathlib import Path

import pytest

from tests.kit.daemon import Daemon, daemon, eventually

#: Writes numbered lines of its run; the run is counted in a file, so that none is used twice.
WRITER = """\
import os, sys
name, lines = sys.argv[1], int(sys.argv[2])
with open(f"{name}.runs", "a+b") as runs:
    runs.write(b".")
    runs.flush()
    run = runs.tell()
for number in range(lines):
    os.write(1, b"%s run %d line %d\\n" % (name.encode(), run, number))
"""
LINES = 20_000
RUNS = 4


def collected(directory: Path, pattern: str) -> list[str]:
    """All lines in all files of a log, in no particular order."""
    text = b"".join(path.read_bytes() for path in directory.glob(pattern))
    return text.decode().splitlines()


def test_every_line_is_found_once_through_rotations_reopens_and_restarts(tmp_path: Path) -> None:
    """P-205, P-208, P-232 to P-237, P-247, P-259."""
    (tmp_path / "writer.py").write_text(WRITER)
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S writer.py {name} {LINES}\n"
        f"directory={tmp_path}\nstartsecs=0\nautorestart=false\nredirect_stderr=true\n"
        f"stdout_logfile={tmp_path}/{name}.log\nstdout_logfile_maxbytes=2KB\n"
        "stdout_logfile_backups=1000\n"
        for name in ("a", "b")
    )
    with daemon(tmp_path, text) as running:
        for run in range(1, RUNS + 1):
            for name in ("a", "b"):
                runs = tmp_path / f"{name}.runs"
                wait_for_size(runs, run)
                running.signal(signal.SIGUSR2)  # reopens while they write
                running.wait_for(name, "EXITED")
                if run < RUNS:
                    running.rpc.startProcess(name)
        assert running.stop() == 0
    for name in ("a", "b"):
        lines = collected(tmp_path, f"{name}.log*")
        expected = {
            f"{name} run {run} line {number}"
            for run in range(1, RUNS + 1)
            for number in range(LINES)
        }
        assert len(lines) == len(expected)
        assert set(lines) == expected
        assert len(list(tmp_path.glob(f"{name}.log.*"))) >= RUNS


def wait_for_size(path: Path, size: int) -> None:
    eventually(lambda: path.exists() and path.stat().st_size == size, f"{size} bytes in {path}")


def wait_for_count(running: Daemon, text: str, count: int) -> None:
    eventually(lambda: running.log.count(text) == count, f"{text!r} {count} times in the log")


def test_no_descriptor_is_left_by_spawns_reloads_and_requests(tmp_path: Path) -> None:
    """P-045, P-189, Q-28."""
    text = (
        "[program:quick]\ncommand=/bin/true\nstartsecs=0\nautostart=false\nautorestart=false\n"
        f"[program:bad]\ncommand=/bin/cat\nautostart=false\nstartretries=0\n"
        f"stdout_logfile={tmp_path}/sub/x.log\n"
    )
    (tmp_path / "sub").mkdir()
    with daemon(tmp_path, text) as running:
        (tmp_path / "sub").rmdir()
        running.rpc.startProcess("quick")
        running.wait_for("quick", "EXITED")
        before = running.descriptors
        for _ in range(200):
            running.rpc.startProcess("quick")
            running.wait_for("quick", "EXITED")
        for _ in range(30):
            with pytest.raises(xmlrpc.client.Fault, match="SPAWN_ERROR"):
                running.rpc.startProcess("bad")
        for number in range(2, 12):
            (tmp_path / "sub").mkdir(exist_ok=True)
            running.signal(signal.SIGHUP)
            started = "supervisord started with pid"
            wait_for_count(running, started, number)
            eventually((tmp_path / "s.sock").exists, "the socket")
        eventually(lambda: running.descriptors <= before, "no more descriptors than before")
