"""Upgrades of daemons with another user, TLS and cgroups, whose surroundings change."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import ssl
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.kit.cgroups import new_cgroup
from tests.kit.daemon import BASE, PATIENCE, alive, daemon, eventually, free_port
from tests.kit.root import NOBODY, directory_of, needs_root, runnable_by
from tests.kit.upgrading import (
    WRITER,
    StandIn,
    refusal,
    script,
    tsupervisor,
    upgrade,
    upgraded,
    wait_until_decided,
)

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


def writer(directory: Path) -> str:
    return f"""
[program:w]
command={script(directory, "w", WRITER).replace(sys.executable, "python3")} {directory}/last
stdout_logfile={directory}/w.log
stdout_logfile_maxbytes=0
"""


def check_lines(directory: Path) -> None:
    last = int((directory / "last").read_text())
    lines = (directory / "w.log").read_text().splitlines()
    assert lines == [f"line {number}" for number in range(1, last + 1)]


def user_of(running: Daemon) -> int:
    return Path(f"/proc/{running.process.pid}").stat().st_uid


@needs_root
@pytest.mark.behaviour("upgrade.md#an-upgrade-keeps-everything")
def test_a_daemon_that_has_become_another_user_is_upgraded_as_that_user() -> None:
    """It cannot become root again: what only root may read is not read again."""
    nobody = pwd.getpwnam(NOBODY).pw_uid
    with directory_of(NOBODY) as directory:
        command = runnable_by(NOBODY, directory)
        with daemon(directory, writer(directory), user=NOBODY, command=command) as running:
            running.wait_for("w", "RUNNING")
            pid = running.pid("w")
            (directory / "c.conf").chmod(0o600)
            for _ in range(3):
                upgrade(running)
                assert user_of(running) == nobody
            assert running.pid("w") == pid
            os.kill(pid, signal.SIGKILL)
            running.wait_for_another_child("w", pid)
            assert Path(f"/proc/{running.pid('w')}").stat().st_uid == nobody
            assert "exited: w (terminated by SIGKILL; not expected)" in running.log
            assert "Traceback" not in running.log


@needs_root
@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
def test_a_program_that_another_user_cannot_run_is_refused() -> None:
    """Broken, unreadable, gone: the daemon keeps its own modules, which it could not read again."""
    with directory_of(NOBODY) as directory:
        command = runnable_by(NOBODY, directory)
        package = directory / "library" / "trio_supervisor"
        with daemon(directory, writer(directory), user=NOBODY, command=command) as running:
            running.wait_for("w", "RUNNING")
            pid = running.pid("w")
            main = package / "__main__.py"
            text = main.read_text()
            main.write_text("raise RuntimeError('it is broken')\n")
            assert "it is broken" in refusal(running)
            main.write_text(text)
            package.chmod(0o700)
            assert "the check of the program has failed" in refusal(running)
            package.rename(directory / "elsewhere")
            assert "No module named trio_supervisor" in refusal(running)
            (directory / "elsewhere").rename(package)
            package.chmod(0o755)
            upgrade(running)
            assert running.pid("w") == pid
            running.rpc.stopProcess("w")
            assert running.log.count("upgrade refused, everything keeps running") == 3
        check_lines(directory)


class Knocker(threading.Thread):
    """Connects to a port all the time; each connection must succeed."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._over = threading.Event()
        self.error: BaseException | None = None
        self.count = 0

    def run(self) -> None:
        try:
            while not self._over.wait(0.002):
                socket.create_connection(("127.0.0.1", self._port), PATIENCE).close()
                self.count += 1
        except OSError as error:
            self.error = error

    def end(self) -> None:
        self._over.set()
        self.join()
        assert self.error is None


@pytest.mark.behaviour("upgrade.md#an-upgrade-keeps-everything")
def test_a_server_with_tls_keeps_its_socket_and_closes_its_connections(tmp_path: Path) -> None:
    ca, port = trustme.CA(), free_port()
    context = ssl.create_default_context()
    ca.configure_trust(context)

    def issue() -> None:
        pem = ca.issue_cert("localhost").private_key_and_cert_chain_pem
        pem.write_to_path(str(tmp_path / "server.pem"))

    def connect() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost")

    def ask(connection: ssl.SSLSocket) -> bytes:
        connection.sendall(b"GET /ok.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(1000)

    issue()
    text = f"[inet_http_server]\nport=127.0.0.1:{port}\nssl_certificate={tmp_path}/server.pem\n"
    with daemon(tmp_path, text) as running:
        knocker = Knocker(port)
        knocker.start()
        for _ in range(3):
            with closing(connect()) as connection:
                assert ask(connection).startswith(b"HTTP/1.1 200 OK")
                before = connection.getpeercert()
                issue()
                upgrade(running)
                with suppress(ConnectionError):
                    assert connection.recv(100) == b""
            with closing(connect()) as connection:
                assert ask(connection).startswith(b"HTTP/1.1 200 OK")
                assert connection.getpeercert() != before
        knocker.end()
        assert knocker.count > 0
        (tmp_path / "server.pem").write_text("broken")
        assert "server.pem" in refusal(running)
        with closing(connect()) as connection:  # with the certificate that it has
            assert ask(connection).startswith(b"HTTP/1.1 200 OK")
        assert "Traceback" not in running.log


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
def test_a_cgroup_that_vanishes_during_an_upgrade_is_made_again(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = StandIn(tmp_path)
    program.does(f"if is_next: open({str(gate)!r}).read()")
    text = "".join(
        f"[program:{name}]\ncommand=sleep 1000\nstartsecs=0\nkill_mode=cgroup\n" for name in "xyz"
    )
    with new_cgroup() as cgroup:
        base = EXTENDED.replace("extended=true\n", f"extended=true\ncgroup={cgroup}/sub\n")
        with daemon(tmp_path, text, base=base, command=program.command) as running:
            for name in "xyz":
                running.wait_for(name, "RUNNING")
            running.rpc.stopProcess("y")
            pid, z = running.pid("x"), running.pid("z")
            node = cgroup / "sub" / "p_x_x"
            tsupervisor(running).upgrade()
            entrance = os.open(gate, os.O_WRONLY)  # returns when the next program has opened it
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not alive(pid), "the end of x")
            eventually(lambda: removed(node), "the end of its cgroup")
            os.close(entrance)
            wait_until_decided(running)
            running.wait_for_another_child("x", pid)
            running.wait_for("x", "RUNNING")
            assert (node / "cgroup.procs").read_text().split() == [str(running.pid("x"))]
            running.rpc.startProcess("y")
            assert running.pid("z") == z
            for name in "xyz":
                assert running.rpc.stopProcess(name)
            assert upgraded(running) == 1
            assert "Traceback" not in running.log


def removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
