"""``python -m benchmarks.crowd``: latency of one client among many others, good and bad.

Only trio-supervisor is measured: the result is the difference that the crowd makes. A separate
process measures the latency, both without the crowd and with it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import trio

from benchmarks.launched import adopt_orphans
from benchmarks.probe import memory, wait_until
from benchmarks.subjects import ours, running

IDLE = 500
STREAMS = 100
#: Log streams whose client does not read, clients that write heads or bodies slowly, and the
#: seconds between their bytes.
UNREAD = 20
SLOW = 20
SLOW_PAUSE = 1.0
#: Aborted and half-closed connections per second.
ABORTED = 20
#: Seconds of measurement without the crowd, between two calls, for the crowd to connect, and for
#: its descriptors to be closed.
QUIET = 20
INTERVAL = 0.01
SETTLING = 5.0
LEAVING = 60.0

_PROGRAMS = """\
[inet_http_server]
port = 127.0.0.1:{port}

[program:chatter]
command = {python} -u {script}
startsecs = 0
stdout_logfile_maxbytes = 1MB
"""
_CHATTER = """\
import time
while True:
    print("x" * 100)
    time.sleep(0.1)
"""
_CALL = b"<methodCall><methodName>supervisor.getState</methodName></methodCall>"
_REQUEST = (
    b"POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/xml\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_CALL), _CALL)
)
_STREAM = b"GET /logtail/chatter HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_RESET = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
"""Value of SO_LINGER that makes close() send RST."""


def measure(port: int, seconds: float) -> dict[str, float]:
    """Return percentiles of the latency over one kept-alive connection, in milliseconds."""
    took = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            sock.sendall(_REQUEST)
            while b"</methodResponse>" not in sock.recv(65536):
                pass
            took.append((time.monotonic() - began) * 1000)
            time.sleep(INTERVAL)
    took.sort()
    return {
        "calls": len(took),
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "longest": took[-1],
    }


def _measure_in_process(port: int, seconds: float) -> dict[str, float]:
    """Run ``measure`` in a process of its own, so that the crowd does not delay it."""
    command = [sys.executable, "-m", "benchmarks.crowd", "--measure", str(port)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _crowd(port: int, seconds: float, pid: int) -> tuple[dict[str, float], float, float]:
    """Return the latency within the crowd, and the daemon's MiB before and after measuring."""
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            for _ in range(IDLE):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                sock.sendall(_REQUEST)
            for _ in range(STREAMS - UNREAD):
                nursery.start_soon(_read_stream, port)
            for _ in range(UNREAD):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                sock.sendall(_STREAM)
            for number in range(SLOW):
                nursery.start_soon(_write_slowly, port, number % 2 == 0)
            nursery.start_soon(_abort_connections, port)
            await trio.sleep(SETTLING)
            before = memory(pid)["Rss"]
            latency = await trio.to_thread.run_sync(_measure_in_process, port, seconds)
            after = memory(pid)["Rss"]
            nursery.cancel_scope.cancel()
    return latency, before, after


async def _read_stream(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(_STREAM)
        async for _ in stream:
            pass


async def _write_slowly(port: int, in_body: bool) -> None:
    """Write a byte per second until the server closes the connection; then reconnect."""
    start = len(_REQUEST) - len(_CALL) + 1 if in_body else 1
    while True:
        with suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(_REQUEST[:start])
                for at in range(start, len(_REQUEST)):
                    await trio.sleep(SLOW_PAUSE)
                    await stream.send_all(_REQUEST[at : at + 1])


async def _abort_connections(port: int) -> None:
    """Disconnect in the middle of a request or response, by a reset or a half-close."""
    starts = (_REQUEST[:30], _REQUEST[:-10], _REQUEST * 20, _STREAM, b"")
    number = 0
    while True:
        await trio.sleep(1 / ABORTED)
        number += 1
        sock = await trio.to_thread.run_sync(socket.create_connection, ("127.0.0.1", port))
        with sock, suppress(OSError):
            sock.sendall(starts[number % len(starts)])
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            else:
                sock.shutdown(socket.SHUT_WR)


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def main() -> int:
    """Print the results; return 1 if latency more than doubled or the log has a traceback."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="default: %(default)s")
    parser.add_argument("--measure", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.seconds)))
        return 0
    adopt_orphans()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    python = sys.executable.replace("%", "%%")
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))
        script = Path(directory) / "chatter.py"
        script.write_text(_CHATTER)
        text = _PROGRAMS.format(port=port, python=python, script=script)
        daemon = stack.enter_context(running(ours(), Path(directory), text))
        daemon.wait_for_running(1)
        quiet = _measure_in_process(port, QUIET)
        before = _descriptors(daemon.pid)
        crowded, gathered, left = trio.run(_crowd, port, arguments.seconds, daemon.pid)
        wait_until(
            lambda: _descriptors(daemon.pid) <= before,
            deadline=time.monotonic() + LEAVING,
            what="the daemon to close its descriptors",
        )
        said = (Path(directory) / "supervisord.log").read_text()
    for name, found in (("quiet", quiet), ("crowd", crowded)):
        shown = ", ".join(f"{key} {found[key]:.2f} ms" for key in ("p50", "p99", "longest"))
        print(f"{name}: {found['calls']:.0f} calls, {shown}")
    print(f"memory: {gathered:.1f} MiB when the crowd had gathered, {left:.1f} MiB at its end")
    print(f"descriptors: {before} before, as many after; tracebacks: {said.count('Traceback')}")
    return int(crowded["p99"] > 2 * quiet["p99"] or "Traceback" in said)


if __name__ == "__main__":
    sys.exit(main())
