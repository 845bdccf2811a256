"""A small blocking client of the daemon: XML-RPC calls and endless log streams.

Speaks HTTP with nothing but sockets and expat. A run of the command line client makes a few calls,
and importing the standard library's HTTP and XML-RPC clients would take longer than those. Over a
unix socket it uses the base class of ``socket.socket``, which has all that is needed: the module
``socket`` brings along enumerations and selectors, and their import a third of such a run.
"""

from __future__ import annotations

import _socket
import errno
import time

from trio_supervisor.cli.client.http import ProtocolViolation, ResponseParser
from trio_supervisor.cli.client.tls_options import TlsOptions
from trio_supervisor.cli.client.xml import BadAnswer, Fault, decode_answer, encode_call
from trio_supervisor.core.numbers import natural

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLSocket
    from typing import Any, TypeVar

    from trio_supervisor.cli.client.xml import Param

    T = TypeVar("T")

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
#: Bytes of one read from the socket.
READ_SIZE = 65536
#: Limit on the bytes of an answer. The largest that our daemon gives by default is a log of 16 MiB
#: in which every character is escaped by five.
LONGEST_ANSWER = 96 * 1024 * 1024
#: Seconds between two calls of ``while_waiting``.
LOOK = 1.0


class BadUrl(Exception):
    """The server URL is invalid."""


class Disconnected(Exception):
    """The daemon closed the connection before the answer was complete."""

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
        # As in supervisorctl; scripts search for it.
        return f"<ProtocolError for {self.where}: {self.status} {self.reason}>"


class ServerAddress:
    """The address and the credentials of a server URL. Raises BadUrl."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self.is_secure = scheme.lower() == "https"
        self.path = ""
        """The path of the unix socket; empty for TCP."""
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
            # Imported here because hardly any URL has credentials.
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
            if number > LAST_PORT:  # getaddrinfo would wrap it around
                raise BadUrl(f"Port out of range 0-{LAST_PORT}")
            self.port = number

    @property
    def name(self) -> str:
        """The host as error texts show it; for unix sockets 127.0.0.1, as in Supervisor."""
        return "127.0.0.1" if self.path else self.host

    @property
    def host_header(self) -> str:
        if self.path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def connect(
        self, timeout: float | None, tls: TlsOptions, shake_hands: Callable[[SSLSocket], None]
    ) -> _socket.socket:
        """Return a connected socket. Raises OSError, which names the host or the path.

        ``shake_hands`` waits for the handshake of TLS.
        """
        try:
            return self._connected(timeout, tls, shake_hands)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise  # a timeout, which is reported with the URL
            if error.errno is None:
                if not self.path:
                    raise  # an error of TLS, whose text names the host
                # The path is too long for the address of a socket.
                raise OSError(errno.ENAMETOOLONG, str(error), self.path) from None
            if error.filename is None:
                error.filename = self.path or self.host
            raise

    def _connected(
        self, timeout: float | None, tls: TlsOptions, shake_hands: Callable[[SSLSocket], None]
    ) -> _socket.socket:
        if not self.path:
            return self._connected_over_tcp(timeout, tls, shake_hands)
        connection = _socket.socket(_socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected_over_tcp(
        self, timeout: float | None, tls: TlsOptions, shake_hands: Callable[[SSLSocket], None]
    ) -> _socket.socket:
        # Imported here because most clients use the unix socket.
        from socket import create_connection

        connection = create_connection((self.host, self.port), timeout)
        if not self.is_secure:
            return connection
        from trio_supervisor.cli.client.tls import secured

        return secured(connection, self.host, tls, shake_hands)


class Client:
    """Makes calls to the daemon at ``url``; keeps one connection open between calls.

    ``timeout`` in seconds, None means no limit, applies to connecting, to a whole call, and to each
    piece of a stream. TimeoutError, which is an OSError, is raised when it expires. All methods
    raise OSError if the daemon cannot be reached, Disconnected and ProtocolViolation if it
    misbehaves, and BadUrl.
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
        self._connection: _socket.socket | None = None
        self.while_waiting: Callable[[], None] | None = None
        """Called about every LOOK seconds while a call waits for its answer; may be None."""
        self.has_answered = False
        """Whether a call was answered."""

    def call(self, method: str, *params: Param) -> Any:
        """Make an XML-RPC call and return its value. Raises Fault, HttpError, BadAnswer as well."""
        target = ServerAddress(self._url)
        connection = self._idle_connection() or self._connect(target)
        self._connection = None  # kept only if the call succeeds
        try:
            body = encode_call(method, params)
            connection.sendall(self._head(target, "POST /RPC2", len(body)) + body)
            response = ResponseParser()
            answer = bytearray()
            deadline = self._deadline()
            while not response.complete:
                data = self._wait(connection, deadline, lambda: connection.recv(READ_SIZE))
                answer += response.feed(data)
                if len(answer) > LONGEST_ANSWER:
                    raise BadAnswer(f"the answer has more than {LONGEST_ANSWER} bytes")
                if not data and not response.feed_eof():
                    raise Disconnected
            self.has_answered = True
            if response.reusable:
                self._connection = connection
        finally:
            if self._connection is None:
                connection.close()
        if response.status != 200:
            raise HttpError(f"{target.name}/RPC2", response.status, response.reason)
        return decode_answer(answer)

    def stream(self, path: str) -> ResponseStream:
        """Start a GET on its own connection; the response may be unending."""
        target = ServerAddress(self._url)
        connection = self._connect(target)
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

    def _connect(self, target: ServerAddress) -> _socket.socket:
        return target.connect(self._timeout, self._tls, self._shake_hands)

    def _shake_hands(self, connection: SSLSocket) -> None:
        self._wait(connection, self._deadline(), connection.do_handshake)
        connection.settimeout(self._timeout)

    def _idle_connection(self) -> _socket.socket | None:
        """Return the open connection, or None if the daemon has closed it meanwhile.

        Checked before the request is sent, because a request sent again could act twice.
        """
        connection = self._connection
        if connection is None:
            return None
        try:
            connection.settimeout(0)  # with a timeout set, recv would wait in spite of MSG_DONTWAIT
            connection.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            connection.settimeout(self._timeout)
            return connection
        except OSError:
            pass
        self.close()  # end of file, or unsolicited bytes
        return None

    def _wait(
        self, connection: _socket.socket, deadline: float | None, action: Callable[[], T]
    ) -> T:
        """Do what waits for the daemon, and can be tried again after a timeout. Raises OSError."""
        while self.while_waiting is not None:
            connection.settimeout(LOOK if deadline is None else min(LOOK, _left(deadline)))
            try:
                return action()
            except TimeoutError:
                self.while_waiting()
        connection.settimeout(None if deadline is None else _left(deadline))
        return action()

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
            # Imported here because hardly any unix socket has a password.
            import binascii

            token = binascii.b2a_base64(credentials, newline=False).decode("ascii")
            lines.append(f"Authorization: Basic {token}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def _credentials(self, target: ServerAddress) -> bytes | None:
        """Return the credentials, which are sent with each request; None unless both are known."""
        username, password = self._username, self._password
        if username is None and password is None:
            username, password = target.username, target.password
        if username is None or password is None:
            return None
        return f"{username}:{password}".encode("utf-8", "surrogateescape")


def _left(deadline: float) -> float:
    """Return the seconds left. Raises TimeoutError."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class ResponseStream:
    """The response to a GET, read as it arrives. It can be passed to ``select``."""

    def __init__(self, connection: _socket.socket) -> None:
        self._connection = connection
        self._response = ResponseParser()
        self.ended = False

    @property
    def status(self) -> int:
        """The HTTP status; 0 until it has been received."""
        return self._response.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, names in lower case."""
        return self._response.headers

    def fileno(self) -> int:
        return self._connection.fileno()

    def stop_blocking(self) -> None:
        """Make ``read`` non-blocking: a readable socket may hold only bytes of the TLS protocol."""
        self._connection.setblocking(False)

    def read(self) -> bytes:
        """Read the next bytes of the body, possibly none; sets ``ended`` at the end.

        Blocks unless ``stop_blocking`` was called. Raises Disconnected only before the head of the
        response: later the end of the connection is the end of a log stream.
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
