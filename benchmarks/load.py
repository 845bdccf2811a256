"""Load generator: XML-RPC requests over TCP, as many as the server answers; wrk or Python."""

from __future__ import annotations

import re
import selectors
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from pathlib import Path

#: https://github.com/wg/wrk: needs less processor time than a generator in Python.
_WRK = "wrk"
_SCRIPT = """\
wrk.method = "POST"
wrk.path = "/RPC2"
wrk.headers["Content-Type"] = "text/xml"
wrk.body = "{body}"
"""
_FOUND = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_FAILED = re.compile(r"^\s*(?:Socket errors|Non-2xx).*", re.MULTILINE)

_CALL = (
    "<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params></params>"
    "</methodCall>"
)


def count_answers(
    port: int, method: str, connections: int, seconds: int, directory: Path
) -> tuple[int, float]:
    """Return the number of answered calls over this many kept-alive connections, and the seconds.

    Raises MeasurementError if there was no answer, or an error.
    """
    body = _CALL.format(method=method)
    began = time.monotonic()
    if shutil.which(_WRK):
        count = _by_wrk(port, body, connections, seconds, directory)
    else:
        count = _by_python(port, body.encode(), connections, seconds)
    if not count:
        raise MeasurementError(f"no answer to {method} within {seconds} s")
    return count, time.monotonic() - began


def generator() -> str:
    """Return the name of the load generator on this machine."""
    return _WRK if shutil.which(_WRK) else "Python"


def _by_wrk(port: int, body: str, connections: int, seconds: int, directory: Path) -> int:
    script = directory / "call.lua"
    script.write_text(_SCRIPT.format(body=body))
    command = [_WRK, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{seconds}s"]
    command += ["-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=False
    )
    found, failed = _FOUND.search(done.stdout), _FAILED.search(done.stdout)
    if found is None or failed is not None:
        raise MeasurementError(f"wrk: {failed[0] if failed else done.stderr or done.stdout}")
    return int(found[1])


def _by_python(port: int, body: bytes, connections: int, seconds: int) -> int:
    head = f"POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/xml\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    count = 0
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    by_number = {sock.fileno(): sock for sock in sockets}
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(sock, selectors.EVENT_READ, bytearray())
            sock.sendall(request)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for key, _ in selector.select(1):
                sock = by_number[key.fd]
                data = sock.recv(1 << 20)
                if not data:
                    raise MeasurementError("the server closed a connection")
                key.data.extend(data)
                if _is_whole(key.data):
                    key.data.clear()
                    count += 1
                    sock.sendall(request)
    for sock in sockets:
        sock.close()
    return count


def _is_whole(received: bytearray) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    if b" 200 " not in head[:13]:
        raise MeasurementError(f"the server answered {bytes(head[:40])!r}")
    [length] = re.findall(rb"(?i)content-length: *(\d+)", head)
    return len(body) >= int(length)
