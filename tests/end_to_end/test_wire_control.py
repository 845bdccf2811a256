"""Process control by raw bytes, with real children."""

from __future__ import annotations

import os
import socket
import time
import xmlrpc.client
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.daemon import Daemon

PROGRAMS = """\
[program:sleeper]
command=/bin/sleep 1000
autostart=false
[program:fastdie]
command=/bin/sh -c 'exit 3'
autostart=false
startretries=1000
[program:true]
command=/bin/true
autostart=false
startsecs=0
[program:deaf]
command=/bin/sh -c 'while [ ! -e go ]; do sleep 0.05; done; head -c {size} | wc -c'
directory=%(here)s
autostart=false
startsecs=0
stdout_logfile=%(here)s/deaf.log
[program:stubborn]
command=/bin/sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs=2
stdout_logfile=%(here)s/stubborn.log
[program:ué]
command=/bin/sleep 1000
autostart=false
[program:uö]
command=/bin/sleep 1000
autostart=false
[group:umlauts]
programs=ué,uö
"""
BLOCK = 60_000
BLOCKS = 4


class Wire:
    """One kept-alive connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._inbox = b""

    def call(self, method: str, *params: object) -> object:
        """The result, or for a fault its number and text; every byte of the answer is accounted."""
        body = xmlrpc.client.dumps(params, f"supervisor.{method}").encode()  # type: ignore[arg-type]  # any value that XML-RPC has
        head = f"POST /RPC2 HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self._sock.sendall(head.encode() + body)
        while b"\r\n\r\n" not in self._inbox:
            self._more()
        answer, _, self._inbox = self._inbox.partition(b"\r\n\r\n")
        lines = answer.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK"
        headers = dict(line.split(": ", 1) for line in lines[1:])
        assert headers["Content-Type"] == "text/xml"
        size = int(headers["Content-Length"])
        while len(self._inbox) < size:
            self._more()
        assert len(self._inbox) == size  # nothing follows what was announced
        content, self._inbox = self._inbox, b""
        try:
            ((result,), _) = xmlrpc.client.loads(content)
        except xmlrpc.client.Fault as fault:
            return fault.faultCode, fault.faultString
        return result

    def _more(self) -> None:
        data = self._sock.recv(65536)
        assert data, f"closed after {self._inbox!r}"
        self._inbox += data


@contextmanager
def connected(running: Daemon) -> Iterator[Wire]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(running.directory / "s.sock"))
        yield Wire(sock)


def processor_time(running: Daemon) -> float:
    """Seconds of the daemon so far."""
    with open(f"/proc/{running.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.behaviour(
    "http.md#starting",
    "http.md#stopping",
    "http.md#information-about-a-process",
    "http.md#writing-to-stdin",
    "process.md#a-child-that-does-not-read-its-stdin",
    "http.md#form-of-an-answer",
    "http.md#other-clients-are-served-while-one-waits",
    "http.md#groups-and-configuration",
)
def test_control(tmp_path: Path) -> None:
    text = PROGRAMS.format(size=BLOCK * BLOCKS)
    with daemon(tmp_path, text) as running, connected(running) as wire:
        began = time.monotonic()
        assert wire.call("startProcess", "sleeper") is True
        assert time.monotonic() - began >= 1.0
        assert wire.call("startProcess", "sleeper") == (60, "ALREADY_STARTED: sleeper")
        assert wire.call("stopProcess", "sleeper") is True
        assert wire.call("stopProcess", "sleeper") == (70, "NOT_RUNNING: sleeper")
        assert running.info("sleeper")["exitstatus"] == -1
        assert wire.call("startProcess", "sleeper", False) is True
        info = running.info("sleeper")
        assert (info["state"], info["description"]) == (10, "")

        # The first failure is the answer, then it is in BACKOFF or tries again.
        assert wire.call("startProcess", "fastdie") == (50, "SPAWN_ERROR: fastdie")
        assert wire.call("startProcess", "fastdie") == (60, "ALREADY_STARTED: fastdie")
        running.wait_for("fastdie", "BACKOFF")
        assert wire.call("stopProcess", "fastdie") is True
        assert running.info("fastdie")["state"] == 0

        assert wire.call("startProcess", "true") is True
        running.wait_for("true", "EXITED")
        info = running.info("true")
        assert (info["state"], info["exitstatus"]) == (100, 0)

        # Accepted and delivered, or refused and not; never both.
        assert wire.call("startProcess", "deaf") is True
        for _ in range(BLOCKS):
            assert wire.call("sendProcessStdin", "deaf", "x" * BLOCK) is True
        (tmp_path / "go").touch()
        log = tmp_path / "deaf.log"
        eventually(lambda: log.read_text().strip() == str(BLOCK * BLOCKS), "all blocks arriving")

        # Counted in bytes.
        result = wire.call("startProcessGroup", "umlauts")
        assert isinstance(result, list)
        assert {(entry["name"], entry["status"]) for entry in result} == {("ué", 80), ("uö", 80)}

        # A stop that waits costs nothing.
        ready = tmp_path / "stubborn.log"
        eventually(lambda: ready.exists() and ready.read_text() == "ready\n", "the deaf child")
        before, began = processor_time(running), time.monotonic()
        assert wire.call("stopProcess", "stubborn") is True
        assert time.monotonic() - began >= 2.0
        assert processor_time(running) - before < 0.5

        config = tmp_path / "c.conf"
        config.write_text(f"{config.read_text()}[program:new]\ncommand=/bin/sleep 1000\n")
        assert wire.call("reloadConfig") == [[["new"], [], []]]
        assert wire.call("getProcessInfo", "new") == (10, "BAD_NAME: new")
        assert wire.call("addProcessGroup", "new") is True
        assert running.info("new")["state"] in (10, 20)
        running.wait_for("new", "RUNNING")
        assert wire.call("addProcessGroup", "new") == (90, "ALREADY_ADDED: new")
        assert wire.call("removeProcessGroup", "new") == (91, "STILL_RUNNING: new")
