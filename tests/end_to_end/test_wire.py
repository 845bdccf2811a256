"""The HTTP faces of the real daemon: going down, coming back, streams of real logs."""

from __future__ import annotations

import signal
import socket
import xmlrpc.client
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    PATIENCE,
    daemon,
    eventually,
    free_port,
    run_to_end,
    write_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.daemon import Daemon

STUBBORN = """\
[program:slow]
command=/bin/sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=2
stdout_logfile=%(here)s/slow.log
"""


@contextmanager
def connected(running: Daemon) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(running.directory / "s.sock"))
        yield sock


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = sock.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def get(running: Daemon, target: str) -> bytes:
    with connected(running) as sock:
        sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        return read_all(sock)


def slow_is_ready(running: Daemon) -> bool:
    log = running.directory / "slow.log"
    return log.exists() and log.read_text() == "ready\n"


def runs_again(running: Daemon) -> bool:
    try:
        return running.state("slow") == "RUNNING"
    except OSError:  # no socket, or nobody behind it
        return False


@pytest.mark.behaviour(
    "http.md#shutdown_state", "http.md#wrong-parameters", "process.md#states-of-the-daemon"
)
def test_requests_while_a_shutdown_lasts(tmp_path: Path) -> None:
    """Fault 6 is the sign."""
    with daemon(tmp_path, STUBBORN) as running:
        eventually(lambda: slow_is_ready(running), "the child ignoring TERM")
        assert running.rpc.shutdown() is True
        for call in (running.rpc.getState, running.rpc.getVersion, running.rpc.shutdown):
            with pytest.raises(xmlrpc.client.Fault) as fault:
                call()
            assert (fault.value.faultCode, fault.value.faultString) == (6, "SHUTDOWN_STATE")
        assert running.rpc.sendRemoteCommEvent("t", "d") is True
        assert get(running, "/").startswith(b"HTTP/1.0 503 ")
        assert get(running, "/ok.html").endswith(b"\r\n\r\nOK")
        assert running.process.wait(PATIENCE) == 0


@pytest.mark.behaviour("http.md#shutdown-and-restart-by-xml-rpc")
def test_a_restart_closes_what_is_open(tmp_path: Path) -> None:
    with daemon(tmp_path, STUBBORN.replace('trap "" TERM; ', "")) as running:
        eventually(lambda: slow_is_ready(running), "the child's output")
        pid = running.process.pid
        with connected(running) as tail, connected(running) as kept:
            tail.sendall(b"GET /logtail/slow HTTP/1.1\r\nHost: \r\n\r\n\r\n")
            read_until(tail, b"6\r\nready\n\r\n")
            kept.sendall(b"GET /ok.html HTTP/1.1\r\n\r\n")
            read_until(kept, b"OK")
            assert running.rpc.restart() is True
            assert read_all(tail).endswith(b"0\r\n\r\n")
            assert read_all(kept) == b""
        eventually(lambda: runs_again(running), "the supervisor being back")
        assert running.rpc.getPID() == pid


def test_the_main_log_is_streamed(tmp_path: Path) -> None:
    with daemon(tmp_path, "") as running, connected(running) as tail:
        tail.sendall(b"GET /mainlogtail HTTP/1.1\r\nHost: \r\n\r\n")
        read_until(tail, b"supervisord started with pid")
        running.signal(signal.SIGUSR2)
        read_until(tail, b"indicating log reopen request")
        assert running.stop() == 0
        assert read_all(tail).endswith(b"0\r\n\r\n")


def test_waiting_and_not_waiting_for_a_stop(tmp_path: Path) -> None:
    """With a child that ignores TERM; a second stop joins the first."""
    with daemon(tmp_path, STUBBORN) as running:
        eventually(lambda: slow_is_ready(running), "the child ignoring TERM")
        assert running.rpc.stopProcess("slow", False) is True
        rpc = running.rpc
        faults = []
        for call in (
            partial(rpc.sendProcessStdin, "slow", "x"),
            partial(rpc.startProcess, "slow", False),
            partial(rpc.startProcess, "slow", True),
        ):
            with pytest.raises(xmlrpc.client.Fault) as fault:
                call()
            faults.append(fault.value.faultString)
        assert faults == [
            "NOT_RUNNING: slow",
            "ABNORMAL_TERMINATION: slow",
            "ABNORMAL_TERMINATION: slow",
        ]
        assert running.rpc.signalProcess("slow", "CONT") is True
        assert running.rpc.stopProcess("slow", False) is True
        assert running.rpc.stopAllProcesses(False) != []
        assert running.rpc.stopProcess("slow") is True
        assert running.state("slow") == "STOPPED"
        assert running.info("slow")["exitstatus"] == -1


PLUGIN = """\
from trio_supervisor import NOT_DONE_YET, PluginFault

made = []

class Interface:
    def __init__(self, supervisor, greeting):
        if greeting == "none":
            raise ValueError("no greeting")
        made.append(self)
        self.supervisor, self.greeting = supervisor, greeting

    def greet(self, name):
        return f"{self.greeting} {name}, {len(made)} servers"

    def state(self, name):
        return self.supervisor.process(name).state.name

    def later(self):
        left = iter([NOT_DONE_YET, NOT_DONE_YET, "done"])
        poll = lambda: next(left)
        poll.delay = 0.01
        return poll

    def refuse(self):
        raise PluginFault(99, "REFUSED: for a reason")

    def crash(self):
        raise ZeroDivisionError("of the plugin")
"""
WITH_PLUGIN = """\
[inet_http_server]
port=127.0.0.1:{port}
[rpcinterface:mine]
supervisor.rpcinterface_factory=own_plugin:{factory}
greeting={greeting}
[program:cat]
command=/bin/cat
startsecs=0
"""


@pytest.mark.behaviour("http.md#methods-of-plugins")
def test_a_plugin_of_the_real_daemon(tmp_path: Path) -> None:
    (tmp_path / "own_plugin.py").write_text(PLUGIN)
    within = ["env", f"PYTHONPATH={tmp_path}"]
    port = free_port()
    text = WITH_PLUGIN.format(port=port, factory="Interface", greeting="hello")
    with daemon(tmp_path, text, within=within) as running:
        running.wait_for("cat", "RUNNING")
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}") as proxy:
            assert proxy.mine.greet("you") == "hello you, 2 servers"
            assert proxy.mine.state("cat") == "RUNNING"
            assert proxy.mine.later() == "done"
            assert "'mine.greet'" in str(proxy.system.listMethods())
            with pytest.raises(xmlrpc.client.Fault) as fault:
                proxy.mine.refuse()
            assert (fault.value.faultCode, fault.value.faultString) == (99, "REFUSED: for a reason")
            with pytest.raises(xmlrpc.client.ProtocolError) as error:
                proxy.mine.crash()
            assert error.value.errcode == 500
            assert proxy.mine.greet("again") == "hello again, 2 servers"
        assert "ZeroDivisionError: of the plugin" in running.log
    for factory, greeting, said in (
        ("Missing", "hello", "own_plugin:Missing cannot be resolved within [rpcinterface:mine]"),
        ("Interface", "none", "Could not make mine rpc interface: own_plugin:Interface raised"),
    ):
        text = WITH_PLUGIN.format(port=port, factory=factory, greeting=greeting)
        config = write_config(tmp_path, text)
        done = run_to_end("-n", "-c", str(config), cwd=tmp_path, within=within)
        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: {said}")
