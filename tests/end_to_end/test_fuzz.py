"""Whatever bytes come to the real daemon: it lives, keeps its log clean and its memory."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import assume, given

from tests.kit.daemon import PATIENCE, daemon, eventually, free_port
from tests.kit.odd_calls import call, odd_arguments
from tests.web.test_fuzz import NAMED, counted, pieces
from trio_supervisor.core.process.states import FaultCode

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon

TEXT = """\
[inet_http_server]
port=127.0.0.1:{port}
body_maxbytes=4096
[program:cat]
command=/bin/cat
startsecs=0
"""
#: Requests that would end what is tested.
FATAL = (b"shutdown", b"restart")
#: Calls that end or replace the daemon, if they have the arguments of their signature: none.
LAST = ("supervisor.shutdown", "supervisor.restart", "tsupervisor.upgrade")
GROUP = """\
[program:ga]
command=/bin/cat
startsecs=0
[group:grp]
programs=ga
"""
#: KiB that the daemon may have grown by: caches of small size, and what Python keeps for next time.
MOST_GROWTH = 20 * 1024


def memory(running: Daemon) -> int:
    """Resident KiB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])


def converse(port: int, sent: list[bytes]) -> bytes:
    """What comes back until the server closes, which it must."""
    answered = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        try:
            for piece in sent:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                answered += data
        except (ConnectionResetError, BrokenPipeError):  # it had heard enough
            pass
    return answered


def test_any_bytes_to_the_real_daemon(tmp_path: Path) -> None:
    port = free_port()
    with daemon(tmp_path, TEXT.format(port=port)) as running:
        running.wait_for("cat", "RUNNING")
        version = b"<methodCall><methodName>supervisor.getVersion</methodName></methodCall>"
        assert b"<string>3.0</string>" in converse(port, [counted("/RPC2", version)])
        before, descriptors = memory(running), running.descriptors

        @given(pieces())
        def attack(sent: list[bytes]) -> None:
            assume(not any(word in b"".join(sent) for word in FATAL))
            answered = converse(port, sent)
            assert b" 500 " not in answered[:50]

        attack()
        assert b"<string>3.0</string>" in converse(port, [counted("/RPC2", version)])
        eventually(lambda: running.descriptors <= descriptors, "all connections being closed")
        assert memory(running) - before < MOST_GROWTH
        assert "Traceback" not in running.log
        assert "error in" not in running.log
        assert "'statecode': 1" in str(running.rpc.getState())


def test_odd_arguments_to_the_real_daemon(tmp_path: Path) -> None:
    """Every method answers a result or a documented fault, and nothing goes wrong inside."""
    port = free_port()
    documented = {int(code) for code in FaultCode}
    with daemon(tmp_path, TEXT.format(port=port) + GROUP) as running:
        running.wait_for("cat", "RUNNING")
        # Those that change something come last: they may remove what the others ask for.
        for name, method in sorted(NAMED, key=lambda item: not item[1].reads):
            sent = [
                counted("/RPC2", call(name, values))
                for values in odd_arguments(method)
                if values or name not in LAST
            ]
            answered = converse(port, sent)
            assert answered.count(b"HTTP/1.1 200 ") == len(sent), name
            faults = re.findall(rb"<name>faultCode</name>\s*<value><int>(-?\d+)<", answered)
            assert {int(code) for code in faults} <= documented, name
            if name in LAST:
                assert len(faults) == len(sent), name
        assert "Traceback" not in running.log
        assert "error in" not in running.log
        assert "'statecode': 1" in str(running.rpc.getState())
