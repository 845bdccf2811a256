"""The real daemon as root, with logs and sockets in a directory of a program's user."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, COMMAND, daemon, eventually, run_to_end
from tests.kit.root import NOBODY, directory_of, needs_root

SECRET = "precious\n"


@pytest.fixture
def theirs() -> Iterator[Path]:
    with directory_of(NOBODY) as path:
        yield path


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def swap(path: Path, target: object) -> None:
    """What the directory's owner does."""
    nobody = pwd.getpwnam(NOBODY)
    path.rename(path.with_name("moved"))
    if target == "fifo":
        os.mkfifo(path)
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    else:
        path.symlink_to(str(target))
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


def program(log: Path) -> str:
    return (
        f"[program:x]\ncommand=/bin/cat\nuser={NOBODY}\nredirect_stderr=true\nstdout_logfile={log}\n"
        "startsecs=0\nstartretries=0\n"
    )


@pytest.mark.behaviour("process.md#clearing-logs")
@needs_root
def test_a_log_that_its_user_swaps_for_a_link(tmp_path: Path, theirs: Path, victim: Path) -> None:
    """It is not read, cleared or appended to, by whatever way."""
    log = theirs / "x.log"
    with daemon(tmp_path, program(log)) as running:
        running.wait_for("x", "RUNNING")
        swap(log, victim)
        with pytest.raises(xmlrpc.client.Fault, match="FAILED"):
            running.rpc.readProcessStdoutLog("x", 0, 0)
        assert SECRET not in str(running.rpc.tailProcessStdoutLog("x", 0, 1000))
        with pytest.raises(xmlrpc.client.Fault, match=r"FAILED: .*a link of nobody leads to"):
            running.rpc.clearProcessLogs("x")
        running.rpc.sendProcessStdin("x", "output\n")
        running.signal(12)  # USR2
        running.wait_log(f"could not reopen {log}")
        running.rpc.stopProcess("x")
        with pytest.raises(xmlrpc.client.Fault, match=r"FAILED: .*a link of nobody leads to"):
            running.rpc.clearProcessLogs("x")
        with pytest.raises(xmlrpc.client.Fault, match="SPAWN_ERROR"):
            running.rpc.startProcess("x")
        assert "a link of nobody leads to" in str(running.info("x")["spawnerr"])
    assert victim.read_text() == SECRET
    assert (theirs / "moved").read_text() == "output\n"


@needs_root
@pytest.mark.parametrize("target", ["fifo", "/proc/kmsg"])
def test_a_log_that_its_user_swaps_for_what_cannot_be_read(
    tmp_path: Path, theirs: Path, target: str
) -> None:
    """Nobody waits for it."""
    log = theirs / "x.log"
    ctl = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]
    with daemon(tmp_path, program(log)) as running:
        running.wait_for("x", "RUNNING")
        swap(log, target)
        for words in (["tail", "x"], ["tail", "-f", "x"], ["tail", "x", "stderr"]):
            run([*ctl, *words])
        with pytest.raises(xmlrpc.client.Fault, match="FAILED"):
            running.rpc.readProcessStdoutLog("x", 0, 0)
        assert running.state("x") == "RUNNING"
        running.rpc.stopProcess("x")


@needs_root
def test_a_directory_that_its_user_swaps_for_a_link(
    tmp_path: Path, theirs: Path, victim: Path
) -> None:
    """A FastCGI socket is not made elsewhere, and no AUTO log."""
    nobody = pwd.getpwnam(NOBODY)
    run_directory = theirs / "run"
    run_directory.mkdir()
    os.chown(run_directory, nobody.pw_uid, nobody.pw_gid)
    text = (
        f"[fcgi-program:f]\ncommand=/bin/sleep 99\nuser={NOBODY}\nsocket=unix://{run_directory}/f.sock\n"
        "startsecs=0\nstartretries=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with daemon(tmp_path, text) as running:
        running.wait_for("f", "RUNNING")
        status = (run_directory / "f.sock").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (nobody.pw_uid, 0o700)
        running.rpc.stopProcess("f")
        swap(run_directory, elsewhere)
        with pytest.raises(xmlrpc.client.Fault, match="SPAWN_ERROR"):
            running.rpc.startProcess("f")
        assert "a link of nobody leads to" in str(running.info("f")["spawnerr"])
    assert os.listdir(elsewhere) == []


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_control_socket_that_somebody_removes(tmp_path: Path) -> None:
    """It is made again, which the log says, and nothing else changes."""
    path = tmp_path / "s.sock"
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\nstartsecs=0\n") as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        status = path.stat()
        path.unlink()
        eventually(path.exists, "another socket")
        running.wait_log(f"WARN the socket {path} had vanished and was created again")
        assert running.pid("x") == pid
        fresh = path.stat()
        assert (fresh.st_mode, fresh.st_uid) == (status.st_mode, status.st_uid)
        running.check_idle()
    assert not path.exists()


@pytest.mark.behaviour("process.md#a-second-daemon-with-the-same-configuration")
def test_a_second_start(tmp_path: Path) -> None:
    """It ends, says which process has the socket, and takes nothing from it."""
    with daemon(tmp_path, "") as running:
        done = run_to_end("-n", "-c", "c.conf", cwd=tmp_path)
        assert done.returncode == 2
        assert f"held by process {running.process.pid} ({COMMAND[0]} -m" in done.stderr
        assert running.rpc.getPID() == running.process.pid
        assert (tmp_path / "sup.pid").read_text() == f"{running.process.pid}\n"


@pytest.mark.behaviour(
    "process.md#control-sockets", "process.md#a-second-daemon-with-the-same-configuration"
)
def test_two_starts_at_the_same_time(tmp_path: Path) -> None:
    """One of several daemons of one configuration runs, also where a stale socket is in the way."""
    base = BASE.replace("pidfile=%(here)s/sup.pid", "pidfile=/dev/null")
    with daemon(tmp_path, "") as running:
        running.process.kill()
        running.process.wait()
    (tmp_path / "c.conf").write_text(base.replace("{user}", str(os.getuid())))
    starts = [
        subprocess.Popen([*COMMAND, "-n", "-c", "c.conf"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    try:
        eventually(lambda: sum(p.poll() is not None for p in starts) == 3, "the end of three")
        [left] = [process for process in starts if process.poll() is None]
        assert {process.returncode for process in starts} == {None, 2}
        assert running.rpc.getPID() == left.pid
    finally:
        for process in starts:
            process.terminate()
            process.wait()
