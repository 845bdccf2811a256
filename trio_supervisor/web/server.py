"""An HTTP server: accepts connections and runs one task for each.

An error in one connection does not reach the others. The endpoints behind the URLs are in
``app.py``.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.web.app import App
from trio_supervisor.web.connection_set import ConnectionSet
from trio_supervisor.web.socket_file import keep_file
from trio_supervisor.web.sockets import bind, unbind

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Server
    from trio_supervisor.runtime.supervisor import Supervisor

#: The client, or the way to it, has gone: accept(2), "Error handling".
CLIENT_GONE = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPROTO,
    }
)


async def serve_http(
    supervisor: Supervisor,
    server: Server,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve XML-RPC, for ``tsupervisorctl``, and the web page until cancelled.

    ``task_status.started()`` is called when clients can connect.
    Raises ServerError and PluginError.
    """
    listener = bind(server)
    try:
        app = App(server, supervisor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_file, server, listener, supervisor.log)
            connections = ConnectionSet(supervisor.log, lambda: len(supervisor.processes()))
            await serve(listener, app, connections, task_status=task_status)
    finally:
        unbind(server, listener)


async def serve(
    listener: socket.socket,
    app: App,
    connections: ConnectionSet,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. The caller closes the listener."""
    async with trio.open_nursery() as nursery:
        task_status.started()
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
            except trio.ClosedResourceError:  # keep_file has put another socket in its place
                continue
            if (accepted := await _accept(listener, connections)) is not None:
                nursery.start_soon(connections.serve, *accepted, app)


async def _accept(
    listener: socket.socket, connections: ConnectionSet
) -> tuple[socket.socket, str] | None:
    """Accept a connection: its socket, and the IP address of its peer, empty on a unix socket."""
    try:
        sock, address = listener.accept()
    except OSError as error:
        if error.errno not in CLIENT_GONE:  # no descriptors, no memory, or a sandbox refuses it
            await connections.recover(error)
        return None
    sock.setblocking(False)
    if sock.family == socket.AF_UNIX:
        return sock, ""
    with suppress(OSError):  # the client may have left already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers
    return sock, address[0]
