"""The real daemon as PID 1 and as a subreaper: it takes care of everybody's orphans."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, Daemon, daemon, eventually
from tests.kit.machine import NEW_PIDS, need_namespaces
from tests.kit.root import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Leaves two orphans, one of which exits with 5 and one is killed; then stays.
PARENT = "/bin/sh -c \"(sh -c 'exit 5' &); (sh -c 'kill -9 $$' &); exec cat\""
PROGRAM = f"[program:x]\ncommand={PARENT}\nstartsecs=0\n"
#: Orphans that end at once.
CROWD = 200
BECOME_SUBREAPER = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def children(pid: int) -> list[int]:
    """Of all threads of a process: each child belongs to one."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]


def reaped(running: Daemon) -> list[str]:
    lines = running.log.splitlines()
    return sorted(line.partition(" (")[2] for line in lines if "INFO reaped unknown pid" in line)


def both_reaped(running: Daemon) -> bool:
    return reaped(running) == ["exit status 5)", "terminated by SIGKILL)"]


@pytest.mark.behaviour("process.md#reaping")
def test_orphans_of_a_subreaper(tmp_path: Path) -> None:
    with daemon(tmp_path, PROGRAM, within=[sys.executable, "-c", BECOME_SUBREAPER]) as running:
        eventually(lambda: both_reaped(running), "two orphans reaped")
        # No zombie is left: the daemon's only child is the program itself.
        assert children(running.process.pid) == [running.pid("x")]
        assert running.stop() == 0


@contextmanager
def first_process(directory: Path, text: str = PROGRAM) -> Iterator[tuple[Daemon, int]]:
    """The daemon as PID 1 of a namespace, and its pid outside."""
    need_namespaces(*NEW_PIDS)
    within = ["unshare", *NEW_PIDS, "--kill-child"]
    with daemon(directory, text, within=within) as running:
        (pid,) = children(running.process.pid)
        try:
            yield running, pid
        finally:
            if running.process.poll() is None:
                os.kill(pid, signal.SIGKILL)
                running.process.wait(PATIENCE)


@pytest.mark.behaviour("process.md#reaping")
@needs_root
def test_the_daemon_as_pid_1(tmp_path: Path) -> None:
    """Orphans, every signal, and the exit code."""
    with first_process(tmp_path) as (running, pid):
        running.wait_log("supervisord started with pid 1\n")
        assert (tmp_path / "sup.pid").read_text() == "1\n"
        eventually(lambda: both_reaped(running), "two orphans reaped")
        os.kill(pid, signal.SIGUSR2)
        running.wait_log("received SIGUSR2 indicating log reopen request")
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: running.log.count("started with pid 1\n") == 2, "the restart")
        os.kill(pid, signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0
    assert "received SIGTERM indicating exit request" in running.log


@pytest.mark.behaviour("process.md#reaping")
@needs_root
def test_a_crowd_of_orphans_leaves_no_zombie(tmp_path: Path) -> None:
    """Signals that a terminal or a broken pipe sends do no harm."""
    (tmp_path / "crowd.py").write_text(
        f"import os\nfor _ in range({CROWD}):\n"
        "    if not os.fork():\n        if not os.fork():\n            os.read(0, 1)\n"
        "        os._exit(0)\n    os.wait()\n"
        "os.write(1, b'all\\n')\nos.read(0, 1)\n"
    )
    text = (
        f"[program:crowd]\ncommand={sys.executable} -S crowd.py\ndirectory={tmp_path}\n"
        "startsecs=0\nautorestart=false\nstdout_logfile=%(here)s/out\n"
    )
    out = tmp_path / "out"
    with first_process(tmp_path, text) as (running, pid):
        eventually(lambda: out.exists() and out.read_text() == "all\n", "the crowd")
        for number in (signal.SIGPIPE, signal.SIGTTOU, signal.SIGTTIN, signal.SIGWINCH):
            os.kill(pid, number)
        running.rpc.stopProcess("crowd")  # the pipe that all of them read ends with it
        eventually(lambda: running.log.count("INFO reaped unknown pid") == CROWD, "the last")
        assert children(pid) == []
        assert running.state("crowd") == "STOPPED"
