"""The sockets and connections of HTTP servers, for a program that goes on with them.

A connection goes on if no request of it is under way and its socket is plain: a connection with TLS
is closed, because its keys are in this program, and so is a stream (events, a log as it grows),
whose client connects again.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import UnixServer
from trio_supervisor.core.handover.state import HandedConnection, HandedServer, HandedWeb
from trio_supervisor.runtime.system.unix_socket import UnixListener
from trio_supervisor.web.sockets import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_supervisor.core.config.model import Server
    from trio_supervisor.web.app import App
    from trio_supervisor.web.connection_set import ConnectionSet

#: Has the key of the tokens in forms; loaded with the first page.
_FORMS = "trio_supervisor.web.pages.csrf"


def web_of(
    listeners: Sequence[tuple[Server, socket.socket, App]], connections: ConnectionSet
) -> HandedWeb:
    """Return what the servers have: sockets, and the connections that were left open."""
    sections = {id(app): server.section for server, _, app in listeners}
    forms = sys.modules.get(_FORMS)
    handed = [
        HandedConnection(
            sections[id(app)], descriptor, connection.peer, connection.is_known, connection.early
        )
        for connection, app in connections.handed
        if (descriptor := connection.transport.descriptor) is not None
    ]
    return HandedWeb(
        servers=tuple(
            HandedServer(server.section, listener.fileno(), file_of(listener))
            for server, listener, _ in listeners
        ),
        connections=tuple(handed),
        form_secret=b"" if forms is None else forms.secret(),
    )


def detach(listeners: Iterable[socket.socket], connections: ConnectionSet) -> None:
    """Leave the sockets open that are handed over, whatever becomes of the objects here."""
    for listener in listeners:
        listener.detach()
    for connection, _ in connections.handed:
        connection.transport.detach()


def listener_of(server: Server, handed: HandedServer) -> socket.socket:
    """Return the socket of a server that an earlier program has opened."""
    if not isinstance(server, UnixServer):
        return socket.socket(fileno=handed.descriptor)
    listener = UnixListener(server.file, handed.descriptor)
    listener.listen(BACKLOG)  # the kernel tells clients the pid of the process that did this last
    with suppress(OSError):  # a cleaner has removed it; it is made again
        status = os.lstat(server.file)
        if (status.st_dev, status.st_ino) == handed.file:
            listener.file = status
    return listener


def go_on_with_forms(handed: HandedWeb) -> None:
    """Accept the forms of pages that are open."""
    if handed.form_secret:
        from trio_supervisor.web.pages import csrf  # most daemons are never asked for a page

        csrf.go_on_with(handed.form_secret)


def file_of(listener: socket.socket) -> tuple[int, int] | None:
    """Return device and inode of the file of a unix socket; None if it has none of ours."""
    if not isinstance(listener, UnixListener) or listener.file is None:
        return None
    return listener.file.st_dev, listener.file.st_ino
