"""The daemon as a service of systemd, whose end of the notification socket the test has."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, daemon, eventually, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A program that stops when there is a file, and one that cannot start.
SLOW = """\
[program:slow]
command=/bin/sh -c "trap 'until rm go; do sleep .1; done; exit' TERM; echo ready; %(wait)s"
directory=%(here)s
stopwaitsecs=300
stdout_logfile=%(here)s/slow.log
[program:broken]
command=/nonexistent
startretries=0
""".replace("%(wait)s", "while :; do sleep .1; done")


class Manager:
    """The socket of a service manager, and the messages that have come."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.messages: list[str] = []

    def wait_for(self, *lines: str) -> str:
        """Return the next message that has these lines; drop those before it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self._listener.recv(65536).decode()
            self.messages.append(message)
            if set(lines) <= set(message.split("\n")):
                return message
        raise AssertionError(f"no {lines} in {self.messages}")


@contextmanager
def manager(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> Iterator[Manager]:
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(PATIENCE)
        listener.bind(f"\0{path}" if abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{path}" if abstract else path)
        yield Manager(listener)


@pytest.mark.behaviour(
    "process.md#notification-of-a-service-manager",
    "process.md#status-for-a-service-manager",
    "process.md#stop-timeout-of-a-service-manager",
)
@pytest.mark.parametrize("abstract", [False, True])
def test_the_life_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("LISTEN_FDS", "1")
    with (
        manager(tmp_path, monkeypatch, abstract=abstract) as systemd,
        daemon(tmp_path, SLOW) as supervisord,
    ):
        pid = supervisord.process.pid
        systemd.wait_for("READY=1", f"MAINPID={pid}")
        systemd.wait_for("WATCHDOG=1")
        systemd.wait_for("WATCHDOG=1")
        systemd.wait_for("STATUS=2 processes: 1 RUNNING, 1 FATAL (broken)")
        child = supervisord.pid("slow")
        words = Path(f"/proc/{child}/environ").read_text().split("\0")
        names = {word.partition("=")[0] for word in words}
        assert not {name for name in names if name.startswith(("NOTIFY", "WATCHDOG", "LISTEN"))}
        assert "SUPERVISOR_ENABLED" in names

        log = tmp_path / "slow.log"
        eventually(lambda: "ready" in log.read_text(), "the first child")

        # A restart that is refused: the manager waits for its end, and nothing has stopped.
        write_config(tmp_path, SLOW + "[program:x]\nautostart=maybe\n")
        supervisord.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in systemd.wait_for("RELOADING=1")
        systemd.wait_for("READY=1")
        assert supervisord.pid("slow") == child

        write_config(tmp_path, SLOW)
        supervisord.signal(signal.SIGHUP)
        systemd.wait_for("RELOADING=1")
        systemd.wait_for("EXTEND_TIMEOUT_USEC=15000000")
        (tmp_path / "go").touch()
        systemd.wait_for("READY=1", f"MAINPID={pid}")

        eventually(lambda: log.read_text().count("ready") == 2, "the second child")
        supervisord.wait_for("slow", "RUNNING")
        supervisord.signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        systemd.wait_for("EXTEND_TIMEOUT_USEC=15000000")
        systemd.wait_for("STATUS=stopping, 1 process left (slow)")
        (tmp_path / "go").touch()
        assert supervisord.process.wait(PATIENCE) == 0
    assert "notify" not in supervisord.log


@pytest.mark.behaviour("process.md#notification-of-a-service-manager")
def test_a_service_manager_that_is_gone_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with daemon(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\n") as supervisord:
        supervisord.wait_for("x", "RUNNING")
        supervisord.rpc.stopProcess("x")
        text = f"cannot notify the service manager (NOTIFY_SOCKET={tmp_path}/gone): [Errno 2]"
        assert supervisord.log.count(text) == 1


@pytest.mark.behaviour("process.md#notification-of-a-service-manager")
def test_without_a_service_manager_nothing_is_kept_from_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    with daemon(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\n") as supervisord:
        supervisord.wait_for("x", "RUNNING")
        environment = Path(f"/proc/{supervisord.pid('x')}/environ").read_bytes()
        assert b"WATCHDOG_USEC=400000\0" in environment
