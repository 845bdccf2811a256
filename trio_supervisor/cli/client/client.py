"""A small blocking client of the daemon: XML-RPC calls and endless log streams.

Speaks HTTP over a unix or TCP socket with nothing but ``socket`` and expat, because a run of the
command line client lasts a few calls and importing the standard library's HTTP and XML-RPC
clients would take longer than those (technique 7, 8).
"""

from __future__ import annotations

import binascii
import errno
import socket
import time

from trio_supervisor.cli.client.http import ProtocolViolation, ResponseParser
from trio_supervisor.cli.client.tls_options import TlsOptions
from trio_supervisor.cli.client.xml import BadAnswer, Fault, decode_answer, encode_call
from trio_supervisor.core.numbers import natural

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trio_supervisor.cli.client.xml import Param

__all__ = [
    "BadAnswer",
    "BadUrl",
    "Client",
    "Disconnected",
    "Fault",
    "HttpError",
    "ProtocolViolation",
    "ResponseStream",
    "ServerAddress",
]

UNAUTHORIZED = 401
LAST_PORT = 65535
#: One read from the socket; log streams and lists of thousands of processes come in many.
READ_SIZE = 65536
#: Bytes of an answer beyond which it is refused. The largest that our daemon gives by default is a
#: log of 16 MiB in which every character is written as an entity of five.
LONGEST_ANSWER = 96 * 1024 * 1024
#: Seconds between two calls of ``while_waiting``.
LOOK = 1.0


class BadUrl(Exception):
    """The server URL names no way to reach a daemon."""


class Disconnected(Exception):
    """The daemon closed the connection before the answer was whole."""

    def __str__(self) -> str:
        return "Remote end closed connection without response"


class HttpError(Exception):
    """The daemon answered a call with an HTTP error."""

    def __init__(self, where: str, status: int, reason: str) -> None:
        super().__init__(where, status, reason)
        self.where = where
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"<ProtocolError for {self.where}: {self.status} {self.reason}>"  # ctl.md 3


class ServerAddress:
    """Where a server URL points to (ctl.md 1.4). Raises BadUrl."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.is_secure = scheme.lower() == "https"
        self.path = ""
        """Of the unix socket; empty for TCP."""
        self.host = "localhost"
        self.port = 443 if self.is_secure else 80
        self.username: str | None = None
        self.password: str | None = None
        if scheme.lower() == "unix" and rest:
            self.path = rest
        elif scheme.lower() in ("http", "https") and rest:
            self._split_authority(rest.split("/")[0].split("?")[0].split("#")[0])
        else:
            raise BadUrl(f"Unknown protocol for serverurl {url}")

    def _split_authority(self, authority: str) -> None:
        user_info, at, address = authority.rpartition("@")
        if at:
            # Imported here because hardly any URL carries credentials (D-32).
            from urllib.parse import unquote

            username, _, password = user_info.partition(":")
            self.username, self.password = unquote(username), unquote(password)
        if address.startswith("["):
            host, _, port = address[1:].partition("]")
            port = port.removeprefix(":")
        else:
            host, _, port = address.partition(":")
        self.host = host or self.host
        if port:
            number = natural(port)
            if number is None:
                raise BadUrl(f"Port could not be cast to integer value as {port!r:.40}")
            if number > LAST_PORT:  # getaddrinfo would take it for another one
                raise BadUrl(f"Port out of range 0-{LAST_PORT}")
            self.port = number

    @property
    def name(self) -> str:
        """The host as error texts show it; scripts know this one for unix sockets."""
        return "127.0.0.1" if self.path else self.host

    @property
    def host_header(self) -> str:
        if self.path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def connect(self, timeout: float | None, tls: TlsOptions) -> socket.socket:
        """A connected socket. Raises OSError, which names the host or the path of the socket."""
        try:
            return self._connected(timeout, tls)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise  # --timeout, which is reported with the URL
            if error.errno is None:
                if not self.path:
                    raise  # of TLS, in words of our own that name the host
                # The path is too long for the address of a socket.
                raise OSError(errno.ENAMETOOLONG, str(error), self.path) from None
            if error.filename is None:
                error.filename = self.path or self.host
            raise

    def _connected(self, timeout: float | None, tls: TlsOptions) -> socket.socket:
        if not self.path:
            connection = socket.create_connection((self.host, self.port), timeout)
            if not self.is_secure:
                return connection
            from trio_supervisor.cli.client.tls import secured

            return secured(connection, self.host, tls)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection


class Client:
    """Talks to the daemon at ``url``; keeps one connection open between calls.

    ``timeout`` (seconds, None for ever) bounds connecting, and then a whole call up to its answer
    or a stream up to each piece of it (D-25); TimeoutError, which is an OSError, tells.
    All methods raise OSError when the daemon cannot be reached, Disconnected and
    ProtocolViolation when it misbehaves, BadUrl.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        timeout: float | None = None,
        tls: TlsOptions | None = None,
    ) -> None:
        self._tls = tls or TlsOptions()
        self._url = url
        self._username = username
        self._password = password
        self._timeout = timeout
        self._connection: socket.socket | None = None
        self.while_waiting: Callable[[], None] | None = None
        """Called about every LOOK seconds while an answer is waited for."""

    def call(self, method: str, *params: Param) -> Any:
        """One XML-RPC call. Raises Fault, HttpError, BadAnswer as well."""
        target = ServerAddress(self._url)
        connection = self._idle_connection() or target.connect(self._timeout, self._tls)
        self._connection = None  # kept only if all goes well
        try:
            body = encode_call(method, params)
            connection.sendall(self._head(target, "POST /RPC2", len(body)) + body)
            response = ResponseParser()
            answer = bytearray()
            deadline = self._deadline()
            while not response.complete:
                data = self._receive(connection, deadline)
                answer += response.feed(data)
                if len(answer) > LONGEST_ANSWER:
                    raise BadAnswer(f"the answer has more than {LONGEST_ANSWER} bytes")
                if not data and not response.feed_eof():
                    raise Disconnected
            if response.reusable:
                self._connection = connection
        finally:
            if self._connection is None:
                connection.close()
        if response.status != 200:
            raise HttpError(f"{target.name}/RPC2", response.status, response.reason)
        return decode_answer(answer)

    def stream(self, path: str) -> ResponseStream:
        """Start a GET on a connection of its own; its answer may never end."""
        target = ServerAddress(self._url)
        connection = target.connect(self._timeout, self._tls)
        try:
            connection.sendall(self._head(target, f"GET {path}", None))
        except BaseException:
            connection.close()
            raise
        return ResponseStream(connection)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _idle_connection(self) -> socket.socket | None:
        """The open connection, unless the daemon has closed it meanwhile.

        Looked at before the request is sent: sending again after a failure could do things twice.
        """
        connection = self._connection
        if connection is None:
            return None
        try:
            connection.settimeout(0)  # MSG_DONTWAIT would be waited for as long as the timeout is
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            connection.settimeout(self._timeout)
            return connection
        except OSError:
            pass
        self.close()  # end of file, or bytes that no request asked for
        return None

    def _receive(self, connection: socket.socket, deadline: float | None) -> bytes:
        """What comes next, empty at the end. Raises OSError."""
        while self.while_waiting is not None:
            connection.settimeout(LOOK if deadline is None else min(LOOK, _left(deadline)))
            try:
                return connection.recv(READ_SIZE)
            except TimeoutError:
                self.while_waiting()
        connection.settimeout(None if deadline is None else _left(deadline))
        return connection.recv(READ_SIZE)

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _head(self, target: ServerAddress, request: str, length: int | None) -> bytes:
        lines = [
            f"{request} HTTP/1.1",
            f"Host: {target.host_header}",
            "Accept: text/xml" if length is not None else "Accept: */*",
        ]
        if length is not None:
            lines += ["Content-Type: text/xml", f"Content-Length: {length}"]
        credentials = self._credentials(target)
        if credentials is not None:
            token = binascii.b2a_base64(credentials, newline=False).decode("ascii")
            lines.append(f"Authorization: Basic {token}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def _credentials(self, target: ServerAddress) -> bytes | None:
        """Sent unasked, and only when both halves are known (ctl.md 1.4)."""
        username, password = self._username, self._password
        if username is None and password is None:
            username, password = target.username, target.password
        if username is None or password is None:
            return None
        return f"{username}:{password}".encode("utf-8", "surrogateescape")


def _left(deadline: float) -> float:
    """Seconds. Raises TimeoutError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class ResponseStream:
    """A running GET. ``fileno`` lets it be waited for together with others."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._response = ResponseParser()
        self.ended = False

    @property
    def status(self) -> int:
        """HTTP status, 0 until it has come."""
        return self._response.status

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer, names in lower case."""
        return self._response.headers

    def fileno(self) -> int:
        return self._connection.fileno()

    def stop_blocking(self) -> None:
        """From now on ``read`` does not wait: one that is ready may have bytes of TLS alone."""
        self._connection.setblocking(False)

    def read(self) -> bytes:
        """What has come since, perhaps nothing yet; sets ``ended`` at the end of the answer.

        Blocks until there is something, unless that was stopped. Raises Disconnected only while
        there was no answer at all: a log stream cut short is over like one that was ended (S12).
        """
        try:
            data = self._connection.recv(READ_SIZE)
        except BlockingIOError:
            return b""
        body = self._response.feed(data)
        if not data and not self._response.feed_eof() and not self.status:
            raise Disconnected
        self.ended = not data or self._response.complete
        return body

    def close(self) -> None:
        self._connection.close()
