"""Tools for programs that run under the supervisor: event listeners, XML-RPC clients.

Public. It has the names and the behaviour of ``supervisor.childutils``, so that a listener only
changes an import. It uses the standard library only, and nothing else of this package.
"""

from __future__ import annotations

import base64
import http.client
import io
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

#: A stream to write to: text, like sys.stdout, or the binary stream below it.
Stream = IO[str] | IO[bytes]

READY = b"READY\n"
OK = b"OK"
FAIL = b"FAIL"
BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"

#: The URL required by ServerProxy; the transport has the real address.
_PLACEHOLDER = "http://127.0.0.1"


class SupervisorTransport(xmlrpc.client.Transport):
    """XML-RPC over ``http://host:port``, ``https://`` or ``unix:///path``, over one connection.

    The base class reconnects once if the server has closed an idle connection.
    """

    def __init__(self, username: str | None, password: str | None, serverurl: str) -> None:
        if not serverurl.startswith(("http://", "https://", "unix://")):
            raise ValueError(
                f"server URL {serverurl!r} must begin with http://, https:// or unix://"
            )
        headers = []
        if username is not None or password is not None:
            token = base64.b64encode(f"{username or ''}:{password or ''}".encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        super().__init__(headers=headers)
        self.serverurl = serverurl

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = self._connection[1]
        if connection is None:
            url = urlsplit(self.serverurl)
            if url.scheme == "unix":
                connection = _UnixConnection(self.serverurl.removeprefix("unix://"))
            elif url.scheme == "https":
                connection = http.client.HTTPSConnection(url.hostname or "", url.port)
            else:
                connection = http.client.HTTPConnection(url.hostname or "", url.port)
            self._connection = (host, connection)  # the base class reuses and closes it
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


def getRPCTransport(env: Mapping[str, str]) -> SupervisorTransport:
    """Return the transport to the supervisor that started this program.

    Raises KeyError if ``env`` has no URL of a supervisor.
    """
    return SupervisorTransport(
        env.get("SUPERVISOR_USERNAME", ""),
        env.get("SUPERVISOR_PASSWORD", ""),
        env["SUPERVISOR_SERVER_URL"],
    )


def getRPCInterface(env: Mapping[str, str]) -> xmlrpc.client.ServerProxy:
    """Return the XML-RPC proxy of the supervisor that started this program.

    ``env`` is os.environ. Raises KeyError if it has no URL of a supervisor.
    """
    return xmlrpc.client.ServerProxy(f"{_PLACEHOLDER}/RPC2", transport=getRPCTransport(env))


def get_headers(line: str) -> dict[str, str]:
    """Parse the tokens ``key:value`` of a header line or a payload."""
    return dict(token.split(":", 1) for token in line.split())


def eventdata(payload: str) -> tuple[dict[str, str], str]:
    """Split a payload at its first newline into tokens and data."""
    tokens, data = payload.split("\n", 1)
    return get_headers(tokens), data


def get_asctime(now: float | None = None) -> str:
    """Format local time as in the supervisor's logs: ``2024-01-31 12:00:00,123``.

    ``now`` is in seconds since the epoch; None means the current time.
    """
    moment = time.time() if now is None else now
    seconds = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return f"{seconds},{int(moment * 1000) % 1000:03d}"


class EventListenerProtocol:
    """The listener's side of the event protocol. Streams default to those of the process."""

    def wait(
        self, stdin: IO[str] | None = None, stdout: Stream | None = None
    ) -> tuple[dict[str, str], str]:
        """Send READY and wait for an event; return its headers and its payload.

        Raises EOFError if the supervisor has closed the pipe.
        """
        stream = sys.stdin if stdin is None else stdin
        self.ready(stdout)
        line = stream.readline()
        if not line:
            raise EOFError("the supervisor has closed the pipe of its events")
        headers = get_headers(line)
        return headers, stream.read(int(headers["len"]))

    def ready(self, stdout: Stream | None = None) -> None:
        _write(READY, stdout)

    def ok(self, stdout: Stream | None = None) -> None:
        """Accept the event."""
        self.send(OK, stdout)

    def fail(self, stdout: Stream | None = None) -> None:
        """Reject the event; the supervisor sends it again."""
        self.send(FAIL, stdout)

    def send(self, data: str | bytes, stdout: Stream | None = None) -> None:
        """Answer with data for a result handler; text is encoded as UTF-8."""
        encoded = _encoded(data)
        _write(b"RESULT %d\n%b" % (len(encoded), encoded), stdout)


class ProcessCommunicationsProtocol:
    """Sends PROCESS_COMMUNICATION events.

    Needs ``stdout_capture_maxbytes`` or ``stderr_capture_maxbytes`` in the configuration.
    """

    def send(self, msg: str | bytes, fp: Stream | None = None) -> None:
        _write(BEGIN + _encoded(msg) + END, fp)

    def stdout(self, msg: str | bytes) -> None:
        self.send(msg, sys.stdout)

    def stderr(self, msg: str | bytes) -> None:
        self.send(msg, sys.stderr)


def _encoded(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _write(data: bytes, stream: Stream | None) -> None:
    """Write and flush bytes, independent of the locale; a stream without a buffer gets text."""
    target = sys.stdout if stream is None else stream
    target.flush()  # keep the order with text printed before
    lowest: IO[Any] = getattr(target, "buffer", target)
    lowest.write(data.decode() if isinstance(lowest, io.TextIOBase) else data)
    lowest.flush()


listener = EventListenerProtocol()
pcomm = ProcessCommunicationsProtocol()
