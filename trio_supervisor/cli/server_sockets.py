"""The listening sockets of the HTTP servers, from the start of the daemon to its end.

A reload must not stop all programs and then fail because an address is in use. So the additional
addresses of the next configuration are bound before anything stops. Sockets whose address stays
are kept open: no other program can take the address, and clients wait in the backlog.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.core.errors import ServerError
from trio_supervisor.web.sockets import bind, unbind
from trio_supervisor.web.tls import Certificate

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from trio_supervisor.core.config.model import Server

    #: The address of a socket, and the owner and mode of its file.
    Address = tuple[object, ...]
    Sockets = dict[Address, tuple[Server, socket.socket]]


class ServerSockets:
    """Listening sockets by their address. ``prepare`` may be called in a thread."""

    def __init__(self) -> None:
        self._present: Sockets = {}
        self._next: Sockets = {}
        self._preparing = Lock()

    def prepare(self, servers: Iterable[Server]) -> None:
        """Bind the sockets of these servers that are not open yet. Blocks.

        Raises ServerError, after closing the sockets that it has bound.
        """
        with self._preparing:
            self._close(self._next)
            addresses: set[Address] = set()
            try:
                for server in servers:
                    if _client_address(server) in addresses:
                        where = ":".join(map(str, _client_address(server)))
                        raise ServerError(f"Two HTTP servers listen on the same address: {where}")
                    addresses.add(_client_address(server))
                    if isinstance(server, InetServer) and server.tls is not None:
                        Certificate(server.tls)  # only checked here, and read again when it is used
                    if address_of(server) in {**self._present, **self._next}:
                        continue
                    if self._is_in_our_way(server):
                        _try_bind(server)
                    else:
                        self._next[address_of(server)] = server, bind(server)
            except BaseException:
                self._close(self._next)
                raise

    def open(self, servers: Iterable[Server]) -> list[socket.socket]:
        """Return the sockets of these servers, after closing all others. Raises ServerError."""
        servers = list(servers)
        at_hand = {**self._present, **self._next}
        wanted = {address_of(server) for server in servers}
        self._present = {address: at_hand.pop(address) for address in wanted & at_hand.keys()}
        self._next = {}
        self._close(at_hand)
        opened = []
        for server in servers:
            address = address_of(server)
            if address not in self._present or self._present[address][1] in opened:
                self._present[address] = server, bind(server)
            opened.append(self._present[address][1])
        return opened

    def adopt(self, servers: Iterable[tuple[Server, socket.socket]]) -> None:
        """Take over sockets that are open already."""
        self._present = {address_of(server): (server, listener) for server, listener in servers}

    def let_go(self) -> None:
        """Leave all sockets open: another program goes on with them."""
        self._present = {}

    def close(self) -> None:
        """Close all sockets and remove their files."""
        self._close(self._present)
        self._close(self._next)

    def _is_in_our_way(self, server: Server) -> bool:
        """Whether one of the current sockets must be closed before this one can be bound."""
        present = [other for other, _ in self._present.values()]
        if isinstance(server, UnixServer):
            return any(isinstance(o, UnixServer) and o.file == server.file for o in present)
        return any(isinstance(o, InetServer) and o.port == server.port for o in present)

    def _close(self, sockets: Sockets) -> None:
        while sockets:
            _, (server, listener) = sockets.popitem()
            with suppress(OSError):  # its directory is gone or not writable
                unbind(server, listener)


def _client_address(server: Server) -> Address:
    """The address by which clients connect, without owner and mode of a socket file."""
    return (server.file,) if isinstance(server, UnixServer) else (server.host, server.port)


def address_of(server: Server) -> Address:
    """Return what tells whether a socket that is open can be used for a server."""
    if isinstance(server, UnixServer):
        return server.file, server.chmod, server.chown
    return _client_address(server)


def _try_bind(server: Server) -> None:
    """Check that a similar address can be bound, and close it. Raises ServerError.

    This finds a host that is not local, and an owner or mode that we may not set.
    """
    if isinstance(server, UnixServer):
        name = os.path.join(os.path.dirname(server.file), f".{os.getpid()}")
        near: Server = replace(server, file=name)
    else:
        near = replace(server, port=0)
    unbind(near, bind(near))
