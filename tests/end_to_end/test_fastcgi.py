"""FastCGI programs with the real daemon and real sockets."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
from functools import partial
from pathlib import Path

import pytest

from tests.kit.daemon import Daemon, daemon, eventually, free_port
from tests.kit.root import NOBODY, directory_of, needs_root

CAT = "[program:x]\ncommand=/bin/cat\nstartsecs=0\n"


def socket_inode(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/0")


def fastcgi(path: str, more: str = "") -> str:
    return f"[fcgi-program:f]\ncommand=/bin/sleep 1000\nsocket={path}\nstartsecs=0\n{more}"


@pytest.mark.behaviour(
    "process.md#one-socket-for-all-processes-of-a-fastcgi-program",
    "process.md#files-of-fastcgi-sockets",
)
def test_a_shared_socket(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    text = fastcgi(f"unix://{path}", "numprocs=2\nprocess_name=f%(process_num)d\n")
    with daemon(tmp_path, text) as running:
        for name in ("f:f0", "f:f1"):
            running.wait_for(name, "RUNNING")
        inode = socket_inode(running.pid("f:f0"))
        assert inode.startswith("socket:")
        assert socket_inode(running.pid("f:f1")) == inode
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        running.rpc.stopProcess("f:f0")
        running.rpc.startProcess("f:f0")
        assert socket_inode(running.pid("f:f0")) == inode
        closings = running.log.count(f"INFO Closing socket unix://{path}")
        running.rpc.stopProcessGroup("f")
        assert running.log.count(f"INFO Closing socket unix://{path}") == closings + 1
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        running.rpc.startProcess("f:f1")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.behaviour("process.md#files-of-fastcgi-sockets")
@needs_root
def test_owner_and_mode_of_the_socket() -> None:
    nobody = pwd.getpwnam(NOBODY)
    with directory_of("root") as directory:
        directory.chmod(0o755)
        plain, given = directory / "plain", directory / "given"
        text = fastcgi(f"unix://{plain}", "user=nobody\n") + fastcgi(
            f"unix://{given}", "user=nobody\nsocket_mode=0666\nsocket_owner=daemon:nogroup\n"
        ).replace("program:f", "program:g")
        with daemon(directory, text) as running:
            for name in "fg":
                running.wait_for(name, "RUNNING")
            for path, owner, group, mode in (
                (plain, nobody.pw_uid, nobody.pw_gid, 0o700),
                (given, 1, nobody.pw_gid, 0o666),
            ):
                status = path.stat()
                assert (status.st_uid, status.st_gid) == (owner, group)
                assert stat.S_IMODE(status.st_mode) == mode


@pytest.mark.behaviour("process.md#one-socket-for-all-processes-of-a-fastcgi-program")
def test_a_fastcgi_program_in_a_group_has_its_socket(tmp_path: Path) -> None:
    text = fastcgi(f"unix://{tmp_path}/f.sock") + "[group:g]\nprograms=f\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("g:f", "RUNNING")
        assert socket_inode(running.pid("g:f")).startswith("socket:")
        assert running.fault("sendProcessStdin", "g:f", "x") == 20


@pytest.mark.behaviour(
    "process.md#fastcgi-sockets-that-cannot-be-created", "process.md#files-of-fastcgi-sockets"
)
def test_a_port_taken_while_stopped(tmp_path: Path) -> None:
    port = free_port()
    text = fastcgi(f"tcp://127.0.0.1:{port}", "autostart=false\nstartretries=20\n")
    with daemon(tmp_path, text) as running:
        with socket.create_server(("127.0.0.1", port)):
            assert running.fault("startProcess", "f") == 50
            assert running.state("f") == "BACKOFF"
        running.wait_for("f", "RUNNING")


@pytest.mark.behaviour("process.md#fastcgi-sockets-that-cannot-be-created")
def test_the_socket_directory_removed(tmp_path: Path) -> None:
    """Retries, then FATAL; nobody else notices."""
    (tmp_path / "sub").mkdir()
    text = fastcgi(
        f"unix://{tmp_path}/sub/f.sock", "autorestart=true\nstartretries=1\nstopsignal=KILL\n"
    )
    with daemon(tmp_path, CAT + text) as running:
        for name in "xf":
            running.wait_for(name, "RUNNING")
        other = running.pid("x")
        (tmp_path / "sub" / "f.sock").unlink()
        (tmp_path / "sub").rmdir()
        os.kill(running.pid("f"), signal.SIGKILL)
        running.wait_for("f", "FATAL")
        assert running.log.count("INFO spawnerr: cannot create FastCGI socket") == 2
        assert running.pid("x") == other


@pytest.mark.behaviour("process.md#fastcgi-sockets-that-cannot-be-created")
def test_a_port_taken_at_the_start(tmp_path: Path) -> None:
    """It is the trouble of this program only, which recovers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = CAT + fastcgi(f"tcp://127.0.0.1:{port}", "startretries=20\n")
        with daemon(tmp_path, text) as running:
            running.wait_for("x", "RUNNING")
            running.wait_for("f", "BACKOFF")
            assert f"f: could not create FastCGI socket tcp://127.0.0.1:{port}: " in running.log
            assert "Address already in use" in str(running.info("f")["spawnerr"])
            taken.close()
            running.wait_for("f", "RUNNING")


def test_a_reload_makes_the_socket_anew_and_leaves_none_open(tmp_path: Path) -> None:
    """Closed at a reload and at a stop, by whatever way the children end."""
    path = tmp_path / "f.sock"
    with daemon(tmp_path, fastcgi(f"unix://{path}", "autorestart=true\n")) as running:
        running.wait_for("f", "RUNNING")
        before = running.descriptors
        for number in range(2, 5):
            inode = socket_inode(running.pid("f"))
            running.signal(signal.SIGHUP)
            started = "supervisord started with pid"
            eventually(partial(said, running, started, number), "the restart")
            eventually((tmp_path / "s.sock").exists, "the daemon's socket")
            running.wait_for("f", "RUNNING")
            assert socket_inode(running.pid("f")) != inode
        eventually(lambda: running.descriptors <= before, "no descriptor left")
        creations = running.log.count(f"INFO Creating socket unix://{path}")
        assert running.log.count(f"INFO Closing socket unix://{path}") == creations - 1
        assert running.stop() == 0
    assert running.log.count(f"INFO Closing socket unix://{path}") == creations


def said(running: Daemon, text: str, number: int) -> bool:
    return running.log.count(text) == number
