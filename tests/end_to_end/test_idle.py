"""A daemon that has nothing to do does nothing: no descriptor is polled for what is over.

Supervisor has had this several times: pipes that a child has closed, clients
that went half away, log streams that were broken off.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from pathlib import Path

from tests.kit.daemon import Daemon, daemon, eventually

#: Closes its stdout and stderr, or its stdin, and lives on.
MUTE = '/bin/sh -c "echo hi; exec 1>&- 2>&-; exec sleep 1000"'
CLOSED_STDIN = '/bin/sh -c "exec 0<&-; echo hi; exec sleep 1000"'
#: Leaves a helper that holds all pipes, and ends.
LEAVES_HELPER = f"{sys.executable} -S helper.py"
HELPER = """\
import os, time
if not os.fork():
    os.setsid()
    open("helper", "w").write(str(os.getpid()))
    time.sleep(1000)
while not os.path.exists("helper"):
    time.sleep(0.01)
"""
PROGRAMS = f"""\
[program:mute]
command={MUTE}
startsecs=0
[program:nostdin]
command={CLOSED_STDIN}
startsecs=0
stdout_logfile=%(here)s/log
[program:never-reads]
command=/bin/sleep 1000
startsecs=0
[program:helper]
command={LEAVES_HELPER}
directory=%(here)s
startsecs=0
autorestart=false
[eventlistener:busy]
command=/bin/sh -c "echo READY; exec sleep 1000"
events=EVENT
startsecs=0
"""


def connect(running: Daemon, request: bytes = b"") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(running.directory / "s.sock"))
    client.sendall(request)
    return client


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_nothing_spins_and_nothing_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    with daemon(tmp_path, PROGRAMS) as running:
        for name in ("mute", "nostdin", "never-reads"):
            running.wait_for(name, "RUNNING")
        running.wait_for("helper", "EXITED")
        eventually(lambda: running.log.count("closed, stopped monitoring <mute ") == 2, "two ends")
        log = tmp_path / "log"
        eventually(lambda: log.exists() and log.read_text() == "hi\n", "a line")
        assert running.fault("sendProcessStdin", "nostdin", "x" * 100) == 20
        running.rpc.sendProcessStdin("never-reads", "x" * 500_000)  # it waits for room in a pipe
        running.check_idle()
        before = running.descriptors

        clients = []
        for request in (b"", b"POST /RPC2 HT", get("/")):
            client = connect(running, request)
            client.shutdown(socket.SHUT_WR)
            clients.append(client)
        for _ in range(3):  # streams that are broken off: with and without an orderly end
            for path in ("/logtail/nostdin", "/mainlogtail"):
                client = connect(running, get(path))
                assert client.recv(1)
                client.shutdown(socket.SHUT_WR)
                clients.append(client)
                client = connect(running, get(path))
                assert client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
        # All but those who have not read their answer yet are closed already.
        eventually(lambda: running.descriptors <= before + len(clients), "descriptors closed")
        running.check_idle()
        for client in clients:
            client.close()
        eventually(lambda: running.descriptors <= before, "all descriptors closed")
        running.check_idle()
        assert running.stop() == 0
    helper = int((tmp_path / "helper").read_text())
    os.kill(helper, signal.SIGKILL)
