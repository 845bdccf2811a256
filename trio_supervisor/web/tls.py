"""TLS for a TCP server: its certificate, and the transport of a connection.

It uses the standard library's non-blocking SSLSocket: trio's SSLStream would add a checkpoint to
each send.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import ServerError
from trio_supervisor.runtime.system.opening import open_regular
from trio_supervisor.runtime.system.threads import NoThread, in_thread
from trio_supervisor.web.transport import CHUNK, has_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.access import Tls

#: Seconds until a read is tried again that could not write first, as TLS 1.3 demands for a new key.
#: Another task may be waiting to write, so this one cannot.
KEY_UPDATE_PAUSE = 0.05
#: Seconds that a connection waits for the files of a renewed certificate, usually 0.001.
PATIENCE = 1
#: Answer to a client that speaks HTTP without TLS; clients show the reason phrase.
IN_CLEAR = (
    b"HTTP/1.1 400 This port speaks TLS: use https\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class Certificate:
    """The certificate of a server. The constructor raises ServerError."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = _versions(tls)
        self._reading = trio.CapacityLimiter(1)
        self.context = _context(tls)
        """Context for new connections."""

    async def renew(self) -> None:
        """Like ``refresh``, in a thread. Wait at most PATIENCE seconds for a disk that hangs."""
        if self._reading.available_tokens:  # else another connection reads now, or the disk hangs
            with trio.move_on_after(PATIENCE), suppress(NoThread):
                await in_thread(self.refresh, abandon_on_cancel=True, limiter=self._reading)

    def refresh(self) -> None:
        """Read the files again if they have changed; blocks.

        Raises ServerError if they cannot be used, once for each change, because tools that renew a
        certificate replace its files one after the other. The old context stays in use then.
        """
        versions = _versions(self._tls)
        if versions != self._seen:
            self._seen = versions
            self.context = _context(self._tls)


def _versions(tls: Tls) -> list[tuple[int, int, int]]:
    """Return values that change when a file is written or replaced."""
    versions = []
    for path in filter(None, (tls.certificate, tls.key, tls.client_ca)):
        with suppress(OSError):
            found = os.stat(path)
            versions.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return versions


def _context(tls: Tls) -> ssl.SSLContext:
    for path in filter(None, (tls.certificate, tls.key, tls.client_ca)):
        try:
            os.close(open_regular(path))  # opening a FIFO would block
        except OSError as error:
            raise ServerError(f"Cannot open an HTTP server: {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION  # TLS 1.2: clients could use it to cause work
    try:
        context.load_cert_chain(tls.certificate, tls.key, _no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError; a file may have been removed
        raise ServerError(
            f"Cannot open an HTTP server: {tls.certificate} and {tls.key or 'its key'} are no "
            f"certificate with its key in PEM form: {_reason(error)}"
        ) from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ValueError) as error:
            raise ServerError(
                f"Cannot open an HTTP server: {tls.client_ca} holds no certificates in PEM form: "
                f"{_reason(error)}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    """Refuse an encrypted key: OpenSSL would ask at the terminal. Raises ValueError."""
    raise ValueError("the key is encrypted; decrypt it, and protect it by its owner and mode")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)


def _answer_in_clear(descriptor: int) -> None:
    """Answer a client that does not speak TLS, after reading what it sent.

    A close with unread input would discard the answer.
    """
    with suppress(OSError):
        while os.read(descriptor, CHUNK):
            pass
    with suppress(OSError):
        os.write(descriptor, IN_CLEAR)


class TlsTransport:
    """A non-blocking TLS socket; ``report`` is called with errors of a renewed certificate."""

    def __init__(
        self, sock: socket.socket, certificate: Certificate, report: Callable[[str], None]
    ) -> None:
        self._sock = sock
        self._certificate = certificate
        self._report = report

    async def open(self) -> None:
        """Perform the handshake. Raises OSError, whose subclass ssl.SSLError is."""
        certificate = self._certificate
        try:
            await certificate.renew()
        except ServerError as error:
            self._report(f"the last certificate stays in use: {error}")
        tls = certificate.context.wrap_socket(
            self._sock, server_side=True, do_handshake_on_connect=False
        )
        self._sock = self._tls = tls
        while True:
            try:
                return tls.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(tls)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(tls)
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":
                    _answer_in_clear(tls.fileno())
                raise

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._tls.recv(CHUNK)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._tls)
            except ssl.SSLWantWriteError:
                await trio.sleep(KEY_UPDATE_PAUSE)

    def send(self, data: memoryview | bytes) -> int:
        try:
            return self._tls.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as error:
            raise BlockingIOError from error

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._tls)

    def end(self) -> None:
        """End the sending inside TLS, then on the socket."""
        with suppress(OSError, ValueError):  # unwrap() would wait for the client's answer
            self._tls.unwrap()
        self._tls.shutdown(socket.SHUT_WR)

    def has_left(self) -> bool:
        return has_left(self._sock)

    def close(self) -> None:
        self._sock.close()

    @property
    def descriptor(self) -> int | None:
        return None  # the keys are in this process

    def detach(self) -> None:
        """Do nothing."""
