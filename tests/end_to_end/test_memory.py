"""Memory of a daemon that was asked large things returns to near its start."""

from __future__ import annotations

import platform
import xmlrpc.client
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import Daemon, UnixTransport, daemon, eventually

SIZE = 16 * 1024 * 1024
#: Bytes that caches and modules of the first request of each kind may keep.
KEPT = 16 * 1024 * 1024
LOGS = {
    "text": b"hello world and so on\n",
    "control characters": b"\x01",
    "markup": b"<&>\r",
    "no UTF-8": b"\xff",
}


def resident(running: Daemon) -> int:
    """Bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def server(running: Daemon) -> xmlrpc.client.ServerProxy:
    transport = UnixTransport(str(running.directory / "s.sock"))
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport)


READ = "supervisor.readProcessStdoutLog"


def answered(running: Daemon, method: str, *arguments: Any) -> bytes:
    """The answer as it is sent: to parse it takes longer than to make it."""
    transport = UnixTransport(str(running.directory / "s.sock"))
    connection = transport.make_connection("localhost")
    with closing(connection):
        body = xmlrpc.client.dumps(arguments, method)
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
        return connection.getresponse().read()


def read(running: Daemon) -> None:
    assert len(answered(running, READ, "cat", 0, 0)) > SIZE / 4


def read_again_and_again(running: Daemon) -> None:
    call = {"methodName": READ, "params": ["cat", 0, 0]}
    answer = answered(running, "system.multicall", [call] * 20)
    assert len(answer) > SIZE / 4
    assert answer.count(b"<name>faultString</name>") == 19


def send(running: Daemon) -> None:
    with server(running) as proxy, pytest.raises(xmlrpc.client.Fault, match="BAD_NAME"):
        proxy.supervisor.getProcessInfo("x" * (SIZE - 4096))


def send_nonsense(running: Daemon) -> None:
    with server(running) as proxy, pytest.raises(xmlrpc.client.ProtocolError) as error:
        proxy.supervisor.getProcessInfo(["x"] * 250_000)
    assert error.value.errcode == 400


@pytest.mark.parametrize("ask", [read, read_again_and_again, send, send_nonsense])
def test_memory_returns_after_large_requests(tmp_path: Path, ask: Callable[[Daemon], None]) -> None:
    log = tmp_path / "log"
    program = f"[program:cat]\ncommand=/bin/cat\nstdout_logfile={log}\n"
    with daemon(tmp_path, program) as running:
        before = resident(running)
        for unit in LOGS.values():
            log.write_bytes(unit * (SIZE // len(unit)))
            ask(running)
        eventually(lambda: resident(running) < before + KEPT, "memory being returned")


FLOOD = 64 * 1024 * 1024
#: Page faults of the daemon that such a flood may cause: one of 4 KiB for a tenth of its bytes. It
#: was one for half of them when each buffer was returned to the system.
FAULTS = FLOOD // 4096 // 10


def page_faults(running: Daemon) -> int:
    """Pages that the daemon had to fetch, without any from a disk."""
    stat = Path(f"/proc/{running.process.pid}/stat").read_text()
    return int(stat.rpartition(") ")[2].split()[7])


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="it is glibc that is told to keep them"
)
def test_a_flood_uses_its_buffers_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        f"[program:flood]\ncommand=/usr/bin/head -c {FLOOD} /dev/zero\nautostart=false\n"
        f"autorestart=false\nstartsecs=0\nstdout_logfile={log}\nstdout_logfile_maxbytes=0\n"
    )
    with daemon(tmp_path, program, "--loglevel=info") as running:
        before = 0
        for run in (1, 2):
            before = page_faults(running)
            with server(running) as proxy:
                proxy.supervisor.startProcess("flood", False)
            # Each request would cause some too: the activity log tells it.
            eventually(lambda: running.log.count("exited: flood") == run, "the end of the flood")  # noqa: B023  # called in this turn
            assert log.stat().st_size == run * FLOOD
        assert page_faults(running) - before < FAULTS


LONG_FLOOD = 4 * FLOOD
#: How often the event loop may wait while such a flood is logged, with a start, an exit and a
#: request among it: once for 2 MiB. It was about once for 512 KiB when it read the flood itself.
WAITS = LONG_FLOOD // (2 * 1024 * 1024)


def waits(running: Daemon) -> int:
    """How often the thread of the event loop has waited for something."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_the_event_loop_sleeps_during_a_flood(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        f"[program:flood]\ncommand=/usr/bin/head -c {LONG_FLOOD} /dev/zero\nautostart=false\n"
        f"autorestart=false\nstartsecs=0\nstdout_logfile={log}\nstdout_logfile_maxbytes=0\n"
    )
    with daemon(tmp_path, program, "--loglevel=info") as running, server(running) as proxy:
        before = waits(running)
        proxy.supervisor.startProcess("flood", False)
        eventually(
            lambda: log.exists() and log.stat().st_size == LONG_FLOOD, "the flood in its log"
        )
        assert waits(running) - before < WAITS
