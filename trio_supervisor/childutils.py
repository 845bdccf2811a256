"""For programs that run under the supervisor: event listeners, XML-RPC clients.

Public. The names and behaviour of ``supervisor.childutils``, so that a listener changes one import
(interfaces.md 1.8). Standard library only; it knows nothing of the rest of this package.
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

#: Where to write: a text stream, as sys.stdout is one, or the binary one below it.
Stream = IO[str] | IO[bytes]

READY = b"READY\n"
OK = b"OK"
FAIL = b"FAIL"
BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"

#: The URL that ServerProxy wants; the transport knows where the supervisor really is.
_PLACEHOLDER = "http://127.0.0.1"


class SupervisorTransport(xmlrpc.client.Transport):
    """XML-RPC over ``http://host:port``, ``https://`` or ``unix:///path``, over one connection.

    A connection that the server closed while it was idle is made again once, by the base class.
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
            self._connection = (host, connection)  # where the base class looks for it and closes it
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
    """The transport to the supervisor that started this program. KeyError without its URL."""
    return SupervisorTransport(
        env.get("SUPERVISOR_USERNAME", ""),
        env.get("SUPERVISOR_PASSWORD", ""),
        env["SUPERVISOR_SERVER_URL"],
    )


def getRPCInterface(env: Mapping[str, str]) -> xmlrpc.client.ServerProxy:
    """The XML-RPC interface of the supervisor that started this program; ``env``: os.environ."""
    return xmlrpc.client.ServerProxy(f"{_PLACEHOLDER}/RPC2", transport=getRPCTransport(env))


def get_headers(line: str) -> dict[str, str]:
    """The tokens ``key:value`` of a header line or a token set."""
    return dict(token.split(":", 1) for token in line.split())


def eventdata(payload: str) -> tuple[dict[str, str], str]:
    """Tokens and data of a payload that has both, divided by its first newline."""
    tokens, data = payload.split("\n", 1)
    return get_headers(tokens), data


def get_asctime(now: float | None = None) -> str:
    """Local time as in the supervisor's logs: ``2024-01-31 12:00:00,123``."""
    moment = time.time() if now is None else now
    seconds = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return f"{seconds},{int(moment * 1000) % 1000:03d}"


class EventListenerProtocol:
    """A listener's side of the conversation. Streams are those of the process unless given."""

    def wait(
        self, stdin: IO[str] | None = None, stdout: Stream | None = None
    ) -> tuple[dict[str, str], str]:
        """Say READY and wait for an event: its headers and its payload.

        Raises EOFError when the supervisor has closed the pipe.
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
        """Reject the event: it comes again."""
        self.send(FAIL, stdout)

    def send(self, data: str | bytes, stdout: Stream | None = None) -> None:
        """Answer with other data, for a result handler; its length counts bytes (UTF-8)."""
        encoded = _encoded(data)
        _write(b"RESULT %d\n%b" % (len(encoded), encoded), stdout)


class ProcessCommunicationsProtocol:
    """Sends PROCESS_COMMUNICATION events; needs ``stdout_capture_maxbytes`` or its twin."""

    def send(self, msg: str | bytes, fp: Stream | None = None) -> None:
        _write(BEGIN + _encoded(msg) + END, fp)

    def stdout(self, msg: str | bytes) -> None:
        self.send(msg, sys.stdout)

    def stderr(self, msg: str | bytes) -> None:
        self.send(msg, sys.stderr)


def _encoded(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _write(data: bytes, stream: Stream | None) -> None:
    """Write and flush bytes, whatever the locale says; only a text stream without any gets text."""
    target = sys.stdout if stream is None else stream
    target.flush()  # what was printed before stays before
    lowest: IO[Any] = getattr(target, "buffer", target)
    lowest.write(data.decode() if isinstance(lowest, io.TextIOBase) else data)
    lowest.flush()


listener = EventListenerProtocol()
pcomm = ProcessCommunicationsProtocol()
