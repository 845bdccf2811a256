"""The daemon's own signals, shutdown and restart with the real daemon."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.kit.daemon import (
    BASE,
    PATIENCE,
    Daemon,
    alive,
    daemon,
    eventually,
    run_to_end,
    write_config,
)

CAT = "[program:x]\ncommand=/bin/cat\nstartsecs=0\n"
#: Ignores TERM; says so first.
DEAF = "/bin/sh -c \"trap '' TERM; echo deaf; while :; do sleep 1; done\""
STARTED = "supervisord started with pid"
SHUTDOWN_STATE = 6


def wait_for_incarnation(running: Daemon, number: int) -> None:
    eventually(lambda: running.log.count(STARTED) == number, f"start number {number}")


def said(directory: Path, text: str) -> None:
    out = directory / "out"
    eventually(lambda: out.exists() and text in out.read_text(), f"{text!r}")


@pytest.mark.behaviour("process.md#shutdown", "process.md#signals-to-the-daemon")
def test_a_shutdown_request(tmp_path: Path) -> None:
    with daemon(tmp_path, CAT) as running:
        running.wait_for("x", "RUNNING")
        assert running.rpc.shutdown() is True
        assert running.process.wait(PATIENCE) == 0
    assert "received" not in running.log.replace("received SIGCHLD", "")
    assert running.log.count("INFO waiting for x to die") == 1


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_restart_request_begins_everything_afresh(tmp_path: Path) -> None:
    text = CAT + "[program:held]\ncommand=/bin/cat\nstartsecs=0\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.stopProcess("held")
        before = running.log
        logs = set(tmp_path.glob("*---supervisor-*"))
        assert len(logs) == 4
        socket = (tmp_path / "s.sock").stat().st_ino
        assert running.rpc.restart() is True
        wait_for_incarnation(running, 2)
        eventually((tmp_path / "s.sock").exists, "the socket")
        running.wait_for("x", "RUNNING")
        running.wait_for("held", "RUNNING")  # autostart applies again
        assert (tmp_path / "s.sock").stat().st_ino == socket  # it stays open for what is next
        afresh = set(tmp_path.glob("*---supervisor-*"))
        assert len(afresh) == 4
        assert not afresh & logs
        again = running.log[len(before) :]
        for line in (
            "INFO RPC interface 'supervisor' initialized",
            "CRIT Server 'unix_http_server'",
        ):
            assert line in again
        assert f"{STARTED} {running.process.pid}\n" in again
        assert "received SIGHUP" not in again
        assert (tmp_path / "sup.pid").read_text() == f"{running.process.pid}\n"


@pytest.mark.behaviour("process.md#an-exit-request-overrides-a-restart")
def test_HUP_then_TERM(tmp_path: Path) -> None:
    """TERM comes while the restart waits for a program. At the same time as HUP it could be first,
    because two threads can receive them."""
    text = (
        f"[program:x]\ncommand={DEAF}\nstartsecs=0\nstopwaitsecs=600\nstdout_logfile=%(here)s/out\n"
    )
    with daemon(tmp_path, text) as running:
        said(tmp_path, "deaf")
        pid = running.pid("x")
        running.signal(signal.SIGHUP)
        running.wait_log("WARN received SIGHUP indicating restart request")
        running.signal(signal.SIGTERM)
        running.wait_log("WARN received SIGTERM indicating exit request")
        os.killpg(pid, signal.SIGKILL)
        assert running.process.wait(PATIENCE) == 0
    assert running.log.count(STARTED) == 1


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_reload_with_a_stubborn_child(tmp_path: Path) -> None:
    text = (
        f"[program:x]\ncommand={DEAF}\nstartsecs=0\nstopwaitsecs=1\nkillasgroup=true\n"
        "stdout_logfile=%(here)s/out\n"
    )
    with daemon(tmp_path, text) as running:
        said(tmp_path, "deaf")
        pid = running.pid("x")
        running.signal(signal.SIGHUP)
        wait_for_incarnation(running, 2)
        assert not alive(pid)
        (hup,) = running.times("received SIGHUP")
        (kill,) = running.times("killing 'x'")
        assert kill - hup >= 0.99  # the log cuts off fractions of a millisecond


@pytest.mark.behaviour(
    "process.md#process-group-and-signal-dispositions-of-a-child",
    "process.md#signals-to-the-daemon",
)
def test_TERM_immediately_after_the_start(tmp_path: Path) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\n") as running:
        assert running.stop() == 0
    assert "SIGKILL" not in running.log


#: Blocks all signals, then executes the daemon.
BLOCK = """\
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_signals_that_the_starter_has_blocked_are_heard_by_daemon_and_programs(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    text = (
        "[program:x]\ncommand=/bin/sh -c 'grep SigBlk /proc/self/status; exec cat'\n"
        f"stdout_logfile={out}\nstartsecs=0\n"
    )
    with daemon(tmp_path, text, within=[sys.executable, "-c", BLOCK]) as running:
        eventually(lambda: out.exists() and out.read_text(), "the program's signal mask")
        assert int(out.read_text().split()[1], 16) == 0
        assert running.stop() == 0


#: Ignores SIGCHLD, then executes the daemon.
IGNORE = """\
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_starter_that_ignores_SIGCHLD_learns_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("no socket")
    write_config(tmp_path, CAT)
    done = run_to_end("-c", "c.conf", cwd=tmp_path, within=[sys.executable, "-c", IGNORE])
    assert done.returncode == 2
    assert "is not a socket" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.behaviour("process.md#signals-to-the-daemon")
def test_an_unhandled_signal_has_its_default_effect(tmp_path: Path) -> None:
    """Children, socket and pidfile stay."""
    with daemon(tmp_path, CAT.replace("/bin/cat", "/bin/sleep 1000")) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        running.signal(signal.SIGUSR1)
        assert running.process.wait(PATIENCE) == -signal.SIGUSR1
    assert alive(pid)
    assert (tmp_path / "sup.pid").exists()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour(
    "process.md#shutdown", "process.md#states-of-the-daemon", "process.md#signals-to-the-daemon"
)
def test_requests_and_signals_during_a_shutdown(tmp_path: Path) -> None:
    """Also which line is repeated, and when."""
    text = (
        "[program:failing]\ncommand=/bin/false\npriority=1\nstartretries=20\n"
        f"[program:slow]\ncommand={DEAF}\nstartsecs=0\nstopwaitsecs=3\nkillasgroup=true\n"
        "priority=100\nstdout_logfile=%(here)s/out\n"
    )
    with daemon(tmp_path, text) as running:
        said(tmp_path, "deaf")
        running.wait_for("failing", "BACKOFF")
        running.signal(signal.SIGTERM)
        running.wait_log("INFO waiting for failing, slow to die")
        assert running.fault("getAllProcessInfo") == SHUTDOWN_STATE
        running.signal(signal.SIGHUP)
        running.wait_log("WARN ignored SIGHUP indicating restart request (shutdown in progress)")
        running.signal(signal.SIGTERM)
        eventually(lambda: running.log.count("received SIGTERM") == 2, "the second TERM")
        running.signal(signal.SIGUSR2)
        running.wait_log("INFO supervisord logreopen")
        assert running.process.wait(PATIENCE) == 0
    spawns = running.log.count("spawned: 'failing'")
    assert running.log.rindex("spawned: 'failing'") < running.log.index("received SIGTERM")
    assert running.log.count("exited: failing") == spawns
    assert "gave up" not in running.log
    (term, _) = running.times("received SIGTERM")
    (kill,) = running.times("killing 'slow'")
    assert kill - term >= 2.99  # neither faster nor later for the second TERM
    waits = running.times("waiting for failing, slow to die")
    assert len(waits) <= 2  # at 0 and 3 s


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
def test_a_reload_of_a_detached_daemon_with_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    base = BASE.replace("%(here)s/sup.pid", "sup.pid").replace("%(here)s/sup.log", "sup.log")
    write_config(
        tmp_path, CAT, base=base.replace("[unix_http", f"directory={tmp_path}/other\n[unix_http", 1)
    )
    assert run_to_end("-c", "c.conf", cwd=tmp_path).returncode == 0
    pid = int((tmp_path / "sup.pid").read_text())
    log = tmp_path / "sup.log"
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: log.read_text().count(f"{STARTED} {pid}") == 2, "the restart")
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), "the end")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.behaviour("process.md#signals-to-the-daemon")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_configuration_on_a_hanging_disk_delays_no_signal(tmp_path: Path, name: str) -> None:
    """A FIFO stands for the disk: opening it waits until somebody writes."""
    with daemon(tmp_path, CAT) as running:
        running.wait_for("x", "RUNNING")
        (tmp_path / "c.conf").unlink()
        os.mkfifo(tmp_path / "c.conf")
        running.signal(signal.SIGHUP)
        running.wait_log("received SIGHUP")
        if name == "SIGHUP":
            running.signal(signal.SIGUSR2)
            running.wait_log("supervisord logreopen")
        begin = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begin < PATIENCE
