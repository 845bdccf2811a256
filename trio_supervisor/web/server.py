"""An HTTP server: accepts connections and runs one task for each.

What goes wrong in one connection stays there. The faces behind the URLs are in ``app.py``.
"""

from __future__ import annotations

import errno
import socket
import traceback
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config import Severity
from trio_supervisor.web.connection import Connection
from trio_supervisor.web.listener import bind as bind
from trio_supervisor.web.listener import unbind as unbind
from trio_supervisor.web.tls import TlsWire
from trio_supervisor.web.wire import PlainWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.web.app import App

#: Connections of one server at a time; beyond, another makes room (3.6).
CONNECTIONS = 1024
#: Out of file descriptors or memory: seconds until the next try to accept.
EXHAUSTED_PAUSE = 0.2
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


async def serve(
    listener: socket.socket,
    app: App,
    log: Callable[[Severity, str], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. The listener stays open: closing it is the caller's task."""
    crowd = Crowd(log)
    async with trio.open_nursery() as nursery:
        task_status.started()
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
            except trio.ClosedResourceError:  # it is another socket from now on
                continue
            if (accepted := await _accept(listener, log)) is not None:
                nursery.start_soon(crowd.serve, *accepted, app)


async def _accept(
    listener: socket.socket, log: Callable[[Severity, str], None]
) -> tuple[socket.socket, str] | None:
    """A connection and its peer's IP address, empty on a unix socket."""
    try:
        sock, address = listener.accept()
    except OSError as error:  # most often the client has left already
        if error.errno in EXHAUSTED:
            log(Severity.ERROR, f"cannot accept an HTTP connection: {error.strerror}")
            await trio.sleep(EXHAUSTED_PAUSE)
        return None
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        return sock, ""
    with suppress(OSError):  # the client may have left already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers (3.6)
    return sock, address[0]


class Crowd:
    """The connections of one server."""

    def __init__(self, log: Callable[[Severity, str], None]) -> None:
        self._log = log
        self._present: dict[Connection, None] = {}
        """The oldest first."""

    async def serve(self, sock: socket.socket, peer: str, app: App) -> None:
        """Run one connection; nothing that it raises gets any further."""
        if not self._make_room():
            sock.close()
            return
        certificate = app.certificate
        wire = (
            PlainWire(sock)
            if certificate is None
            else TlsWire(sock, certificate, partial(self._log, Severity.ERROR))
        )
        connection = Connection(wire, app, peer)
        self._present[connection] = None
        try:
            await connection.run()
            await app.memory.tidy()
        except Exception:
            self._log(Severity.ERROR, f"error in an HTTP connection:\n{traceback.format_exc()}")
        finally:
            self._present.pop(connection, None)

    def _make_room(self) -> bool:
        """Whether there is room for one more, if need be by closing another.

        That is the oldest of those that were never let in, however busy they seem, so that nobody
        who only connects can drive out those who work; else the one that is idle for longest.
        """
        if len(self._present) < CONNECTIONS:
            return True
        idle = [(c.idle_since, c) for c in self._present if c.idle_since is not None]
        least = next((c for c in self._present if not c.is_known), None)
        if least is None and idle:
            least = min(idle, key=lambda pair: pair[0])[1]
        if least is None:
            return False
        del self._present[least]
        least.close()
        return True
