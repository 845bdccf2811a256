"""A scripted stand-in for the daemon: answers calls with given values and records them."""

from __future__ import annotations

import base64
import socketserver
import threading
import xmlrpc.client
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = {
    "UNKNOWN_METHOD": 1,
    "SHUTDOWN_STATE": 6,
    "BAD_NAME": 10,
    "BAD_SIGNAL": 11,
    "NO_FILE": 20,
    "NOT_EXECUTABLE": 21,
    "FAILED": 30,
    "ABNORMAL_TERMINATION": 40,
    "SPAWN_ERROR": 50,
    "ALREADY_STARTED": 60,
    "NOT_RUNNING": 70,
    "SUCCESS": 80,
    "ALREADY_ADDED": 90,
    "STILL_RUNNING": 91,
    "CANT_REREAD": 92,
}


def fault(name: str, detail: str = "") -> xmlrpc.client.Fault:
    """A fault as the daemon words it: ``NAME`` or ``NAME: detail``."""
    return xmlrpc.client.Fault(FAULTS[name], f"{name}: {detail}" if detail else name)


class Raw:
    """An HTTP answer as it goes over the wire; then the connection is closed.

    With ``hold`` it stays open and silent until the client closes it.
    """

    def __init__(self, data: bytes, *, hold: bool = False) -> None:
        self.data = data
        self.hold = hold


def http_error(status: int, reason: str) -> Raw:
    return Raw(f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\n\r\n".encode())


#: The connection is closed without a word.
DROPPED = Raw(b"")


def chunked(*chunks: bytes) -> bytes:
    """The start of an endless answer holding these chunks."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


class Stub:
    """The script and the record. A list answers call after call, its last entry ever after."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"getVersion": "3.0"}
        """By method without ``supervisor.``, or ``GET /path``."""
        self.everything: Raw | None = None
        """What every request is answered with, if set."""
        self.password = ""
        """``user:password`` that is asked for, if set."""
        self.calls: list[tuple[object, ...]] = []
        """``(method, *params)`` of every call, ``("GET", path)`` of every other request."""
        self.authorization: list[str | None] = []
        """What each request sent as its credentials."""
        self.connections = 0
        self.host = ""
        """The Host header of the last request."""
        self.url = ""

    @property
    def methods(self) -> list[object]:
        """The calls without parameters and without the pre-check."""
        return [call[0] for call in self.calls if call[0] != "getVersion"]

    def answer(self, key: str) -> Any:
        found = self.answers.get(key, fault("UNKNOWN_METHOD"))
        if isinstance(found, list) and found and isinstance(found[0], Turn):
            return (found.pop(0) if len(found) > 1 else found[0]).value
        return found


class Turn:
    """One answer of a sequence."""

    def __init__(self, value: Any) -> None:
        self.value = value


def turns(*values: Any) -> list[Turn]:
    return [Turn(value) for value in values]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: two would wait for a delayed acknowledgement
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.stub.connections += 1

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _refused(self) -> bool:
        stub = self.server.stub
        stub.authorization.append(self.headers["Authorization"])
        stub.host = self.headers["Host"]
        token = base64.b64encode(stub.password.encode()).decode()
        if stub.password and self.headers["Authorization"] != f"Basic {token}":
            self._raw(http_error(401, "Unauthorized"))
            return True
        if stub.everything is not None:
            self._raw(stub.everything)
            return True
        return False

    def _raw(self, answer: Raw) -> None:
        self.wfile.write(answer.data)
        self.wfile.flush()
        if answer.hold:
            self.rfile.read(1)
        self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        params, method = xmlrpc.client.loads(body.decode())
        assert method is not None
        name = method.removeprefix("supervisor.")
        self.server.stub.calls.append((name, *params))
        if self._refused():
            return
        answer = self.server.stub.answer(name)
        if isinstance(answer, Raw):
            self._raw(answer)
            return
        if isinstance(answer, xmlrpc.client.Fault):
            text = xmlrpc.client.dumps(answer)
        else:
            text = xmlrpc.client.dumps((answer,), methodresponse=True)
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.server.stub.calls.append(("GET", self.path))
        if not self._refused():
            answer = self.server.stub.answer(f"GET {self.path}")
            self._raw(answer if isinstance(answer, Raw) else http_error(404, "Not Found"))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    stub: Stub


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    stub: Stub


class _UnixHandler(_Handler):
    def address_string(self) -> str:
        return "unix"


@contextmanager
def serving(stub: Stub, unix_path: str = "") -> Iterator[Stub]:
    """Run the stub on a free port of 127.0.0.1, or on a unix socket."""
    server: Any
    if unix_path:
        server = _UnixServer(unix_path, _UnixHandler)
        stub.url = f"unix://{unix_path}"
    else:
        server = _Server(("127.0.0.1", 0), _Handler)
        stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    server.stub = stub
    # Every client of these tests ends or closes its connections, so the threads end as well.
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def info(name: str, state: str = "RUNNING", description: str = "", pid: int = 1) -> dict[str, Any]:
    """A row of getAllProcessInfo for ``group:name`` or ``name``."""
    states = {
        "STOPPED": 0,
        "STARTING": 10,
        "RUNNING": 20,
        "BACKOFF": 30,
        "STOPPING": 40,
        "EXITED": 100,
        "FATAL": 200,
        "UNKNOWN": 1000,
    }
    group, _, process = name.rpartition(":")
    return {
        "group": group or process,
        "name": process,
        "state": states[state],
        "statename": state,
        "description": description,
        "pid": pid,
    }


def result(name: str, outcome: str = "SUCCESS", text: str = "") -> dict[str, Any]:
    """A row of what the ``All`` and ``Group`` calls return."""
    group, _, process = name.rpartition(":")
    return {
        "group": group or process,
        "name": process,
        "status": FAULTS[outcome],
        "description": text or ("OK" if outcome == "SUCCESS" else outcome),
    }
