"""An HTTP server: accepts connections and runs one task for each.

What goes wrong in one connection stays there. The faces behind the URLs are in ``app.py``.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.web.sockets import bind as bind
from trio_supervisor.web.sockets import unbind as unbind

if TYPE_CHECKING:
    from trio_supervisor.web.app import App
    from trio_supervisor.web.connection_set import ConnectionSet

#: Out of file descriptors or memory.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


async def serve(
    listener: socket.socket,
    app: App,
    connections: ConnectionSet,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. The listener stays open: closing it is the caller's task."""
    async with trio.open_nursery() as nursery:
        task_status.started()
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
            except trio.ClosedResourceError:  # it is another socket from now on
                continue
            if (accepted := await _accept(listener, connections)) is not None:
                nursery.start_soon(connections.serve, *accepted, app)


async def _accept(
    listener: socket.socket, connections: ConnectionSet
) -> tuple[socket.socket, str] | None:
    """A connection and its peer's IP address, empty on a unix socket."""
    try:
        sock, address = listener.accept()
    except OSError as error:  # most often the client has left already
        if error.errno in EXHAUSTED:
            await connections.recover(error)
        return None
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        return sock, ""
    with suppress(OSError):  # the client may have left already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers (3.6)
    return sock, address[0]
