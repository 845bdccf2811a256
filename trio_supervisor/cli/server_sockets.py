"""The listening sockets of the HTTP servers, from the start of the daemon to its end.

A reload must not stop programs only to find that an address is taken. So what the next
configuration listens on beyond the present one is bound while everything still runs, and sockets
whose address stays are handed on: nobody can take it meanwhile, and clients wait for the answer.
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

    #: What a socket is bound to, and the owner and mode of its file.
    Address = tuple[object, ...]
    Sockets = dict[Address, tuple[Server, socket.socket]]


class ServerSockets:
    """Listening sockets by their address. ``prepare`` may be called in a thread."""

    def __init__(self) -> None:
        self._present: Sockets = {}
        self._next: Sockets = {}
        self._preparing = Lock()

    def prepare(self, servers: Iterable[Server]) -> None:
        """Bind what these servers need and is not open yet. Blocks.

        Raises ServerError; nothing that this has bound is left then.
        """
        with self._preparing:
            self._close(self._next)
            places: set[Address] = set()
            try:
                for server in servers:
                    if _place(server) in places:
                        where = ":".join(map(str, _place(server)))
                        raise ServerError(f"Two HTTP servers listen on the same address: {where}")
                    places.add(_place(server))
                    if isinstance(server, InetServer) and server.tls is not None:
                        Certificate(server.tls)  # is read anew when it is used
                    if _address(server) in {**self._present, **self._next}:
                        continue
                    if self._is_in_our_way(server):
                        _rehearse(server)
                    else:
                        self._next[_address(server)] = server, bind(server)
            except BaseException:
                self._close(self._next)
                raise

    def open(self, servers: Iterable[Server]) -> list[socket.socket]:
        """The sockets of these servers; those of the last time that none needs are closed first.

        Raises ServerError.
        """
        servers = list(servers)
        at_hand = {**self._present, **self._next}
        wanted = {_address(server) for server in servers}
        self._present = {address: at_hand.pop(address) for address in wanted & at_hand.keys()}
        self._next = {}
        self._close(at_hand)
        opened = []
        for server in servers:
            address = _address(server)
            if address not in self._present or self._present[address][1] in opened:
                self._present[address] = server, bind(server)
            opened.append(self._present[address][1])
        return opened

    def close(self) -> None:
        """Close all sockets and remove their files."""
        self._close(self._present)
        self._close(self._next)

    def _is_in_our_way(self, server: Server) -> bool:
        """Whether a present socket must be closed before this one can be bound."""
        present = [other for other, _ in self._present.values()]
        if isinstance(server, UnixServer):
            return any(isinstance(o, UnixServer) and o.file == server.file for o in present)
        return any(isinstance(o, InetServer) and o.port == server.port for o in present)

    def _close(self, sockets: Sockets) -> None:
        while sockets:
            _, (server, listener) = sockets.popitem()
            with suppress(OSError):  # its directory is gone, or not ours any more
                unbind(server, listener)


def _place(server: Server) -> Address:
    """Where clients find it."""
    return (server.file,) if isinstance(server, UnixServer) else (server.host, server.port)


def _address(server: Server) -> Address:
    if isinstance(server, UnixServer):
        return server.file, server.chmod, server.chown
    return _place(server)


def _rehearse(server: Server) -> None:
    """Bind something as near as possible, and close it. Raises ServerError.

    The host must be one of ours, or the owner and mode of a socket be such as we may give.
    """
    if isinstance(server, UnixServer):
        name = os.path.join(os.path.dirname(server.file), f".{os.getpid()}")
        near: Server = replace(server, file=name)
    else:
        near = replace(server, port=0)
    unbind(near, bind(near))
