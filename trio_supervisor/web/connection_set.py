"""The connections of HTTP servers: how many there may be, and which one makes room for another."""

from __future__ import annotations

import math
import resource
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.descriptors import FOR_UNIX, for_connections
from trio_supervisor.web.connection import Connection
from trio_supervisor.web.tls import TlsTransport
from trio_supervisor.web.transport import PlainTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trio_supervisor.web.app import App

#: Connections of one server at a time; beyond, another makes room (3.6).
CONNECTIONS = 1024
#: Out of file descriptors or memory: seconds until the next try to accept.
EXHAUSTED_PAUSE = 0.2
#: Seconds without the same trouble after which it is said again.
EPISODE_PAUSE = 60


class ConnectionSet:
    """The connections of all servers of a supervisor.

    ``processes`` tells how many processes there are: they need descriptors too.
    """

    def __init__(self, log: Callable[[Severity, str], None], processes: Callable[[], int]) -> None:
        self._log = log
        self._processes = processes
        self._present: dict[Connection, App] = {}
        """The oldest first."""
        self._exhausted = Episode()
        self._full = Episode()

    async def serve(self, sock: socket.socket, peer: str, app: App) -> None:
        """Run one connection; nothing that it raises gets any further."""
        if not self._make_room(app, peer):
            sock.close()
            return
        certificate = app.certificate
        transport = (
            PlainTransport(sock)
            if certificate is None
            else TlsTransport(sock, certificate, partial(self._log, Severity.ERROR))
        )
        connection = Connection(transport, app, peer, partial(self._spare, peer=peer))
        self._present[connection] = app
        try:
            await connection.run()
            await app.memory.tidy()
        except Exception:
            self._log(Severity.ERROR, f"error in an HTTP connection:\n{traceback.format_exc()}")
        finally:
            self._present.pop(connection, None)

    async def recover(self, error: OSError) -> None:
        """Out of descriptors or memory: a connection that can be spared is closed, then a pause."""
        if self._exhausted.begins():
            self._log(Severity.ERROR, f"cannot accept an HTTP connection: {error.strerror}")
        self._close_least(lambda connection: bool(connection.peer))
        await trio.sleep(EXHAUSTED_PAUSE)

    def _make_room(self, app: App, peer: str) -> bool:
        """Whether there is room for one more, if need be by closing another."""
        of_server = [c for c, its in self._present.items() if its is app]
        if len(of_server) >= CONNECTIONS:
            return self._close_least(of_server.__contains__)
        if self._spare(1, peer=peer):
            return True
        if self._full.begins():
            self._log(
                Severity.WARN,
                f"{len(self._present)} HTTP connections are as many as {self._limit} open files "
                f"allow beside {self._processes()} processes; from now on one makes room for "
                "another. Raise minfds to allow more",
            )
        return self._close_least(lambda c: bool(c.peer)) or (
            not peer and self._close_least(lambda c: True)
        )

    def _spare(self, descriptors: int, *, peer: str) -> bool:
        """Whether a client may have so many descriptors; some are kept for the unix socket."""
        most = for_connections(self._limit, self._processes())
        if not peer:
            return sum(c.descriptors for c in self._present) + descriptors <= most
        remote = sum(c.descriptors for c in self._present if c.peer)
        return remote + descriptors <= most - FOR_UNIX

    @property
    def _limit(self) -> int:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft

    def _close_least(self, eligible: Callable[[Connection], bool]) -> bool:
        """Close a connection, if one of these can be closed.

        That is the oldest of those that were never let in, however busy they seem, so that nobody
        who only connects can drive out those who work; else the one that is idle for longest.
        """
        present = [c for c in self._present if eligible(c)]
        idle = [(c.idle_since, c) for c in present if c.idle_since is not None]
        least = next((c for c in present if not c.is_known), None)
        if least is None and idle:
            least = min(idle, key=lambda pair: pair[0])[1]
        if least is None:
            return False
        del self._present[least]
        least.close()
        return True


class Episode:
    """Tells whether something that happens again and again is worth a line in the log: once, until
    it has not happened for a while."""

    def __init__(self) -> None:
        self._over = -math.inf

    def begins(self) -> bool:
        """It happens now; whether it is for the first time."""
        now = trio.current_time()
        first = now >= self._over
        self._over = now + EPISODE_PAUSE
        return first
