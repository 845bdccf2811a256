"""The connections of HTTP servers: their limits, and which connection makes room for another."""

from __future__ import annotations

import math
import resource
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.web.connection import Connection
from trio_supervisor.web.gate import RequestGate
from trio_supervisor.web.tls import TlsTransport
from trio_supervisor.web.transport import PlainTransport, origin_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trio_supervisor.core.handover.state import HandedConnection
    from trio_supervisor.web.app import App

#: Connections of one server at a time. A further client takes the place of another.
CONNECTIONS = 1024
#: Seconds until the next attempt to accept when none can be accepted.
EXHAUSTED_PAUSE = 0.2
#: Seconds that the end of the daemon waits for answers, and between two looks at them.
ANSWER_TIME = 1
LOOK = 0.005
#: Seconds without a repetition after which the same problem is logged again.
EPISODE_PAUSE = 60
#: File descriptors of a running process: three pipes, its pidfd, its two log files.
PER_PROCESS = 6
#: Those of the daemon itself: standard streams, activity log, listeners, event loop, sockets.
OWN = 32
#: Those in use for a short time: pipes of a process that is being started, files that are read or
#: reopened, a pass over /proc.
SPARE = 64
#: Assumed where the limit cannot be read.
USUAL_LIMIT = 1024
#: Connections that only unix sockets get, so that the operator can always connect.
FOR_UNIX = 32
#: Connections that are accepted however many descriptors the programs need. Without any, the
#: operator could not find out what is wrong.
LEAST = 2 * FOR_UNIX


def descriptors_for_connections(limit: int, processes: int) -> int:
    """Return how many of the ``limit`` descriptors of the daemon connections may have.

    Clients come last: a program that cannot be started, or a log that cannot be reopened, because
    a thousand silent clients hold all descriptors, is worse than a client that is turned away.
    """
    return max(LEAST, limit - OWN - SPARE - PER_PROCESS * processes)


class ConnectionSet:
    """The connections of all servers of a supervisor.

    ``processes`` returns the number of processes, which need descriptors too.
    """

    def __init__(self, log: Callable[[Severity, str], None], processes: Callable[[], int]) -> None:
        self._log = log
        self._processes = processes
        self.gate = RequestGate()
        self.handed: list[tuple[Connection, App]] = []
        """Those that another program goes on with, when the servers have ended."""
        self._present: dict[Connection, App] = {}
        """The oldest first."""
        self._exhausted = Episode()
        self._full = Episode()

    def hold(self) -> None:
        """Begin no request."""
        self.gate.hold()

    def release(self) -> None:
        """Begin requests again."""
        self.gate.release()

    def busy(self, seconds: float = 0.0) -> str:
        """Return what requests are under way for that long, in words; empty if there are none."""
        since = trio.current_time() - seconds
        count = sum(connection.busy_since <= since for connection in self._present)
        requests = "a request is" if count == 1 else f"{count} requests are"
        return f"{requests} not answered yet" if count else ""

    async def finish(self) -> None:
        """Begin no more requests, and return when those under way are answered, or do not end.

        A client that has asked for a restart and gets no answer would ask the next daemon again.
        """
        self.hold()
        with trio.move_on_after(ANSWER_TIME):
            while any(one.is_answering for one in self._present):  # noqa: ASYNC110  # no event
                await trio.sleep(LOOK)

    async def serve(
        self, sock: socket.socket, peer: str, app: App, handed: HandedConnection | None = None
    ) -> None:
        """Run one connection. An error in it is logged and not raised.

        ``handed`` is what an earlier program had of it.
        """
        if not self._make_room(app, peer):
            sock.close()
            return
        certificate = app.certificate
        transport = (
            PlainTransport(sock)
            if certificate is None
            else TlsTransport(sock, certificate, partial(self._log, Severity.ERROR))
        )
        connection = Connection(
            transport,
            app,
            peer,
            partial(self._spare, peer=peer),
            origin_of(sock, peer),
            self.gate,
            b"" if handed is None else handed.received,
        )
        if handed is not None:
            connection.is_known = handed.is_known
        self._present[connection] = app
        try:
            await connection.run()
            await app.memory.tidy()
        except Exception:
            self._log(Severity.ERROR, f"error in an HTTP connection:\n{traceback.format_exc()}")
        finally:
            self._present.pop(connection, None)
            if connection.can_be_handed:
                self.handed.append((connection, app))

    async def recover(self, error: OSError) -> None:
        """Close a connection when none can be accepted, which may help, then pause."""
        if self._exhausted.begins():
            self._log(Severity.ERROR, f"cannot accept an HTTP connection: {error.strerror}")
        self._close_least(lambda connection: bool(connection.peer))
        await trio.sleep(EXHAUSTED_PAUSE)

    def _make_room(self, app: App, peer: str) -> bool:
        """Make room for another connection, if necessary by closing one; False if there is none."""
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
        """Whether a client may have so many descriptors more. Some are kept for unix sockets."""
        most = descriptors_for_connections(self._limit, self._processes())
        if not peer:
            return sum(c.descriptors for c in self._present) + descriptors <= most
        remote = sum(c.descriptors for c in self._present if c.peer)
        return remote + descriptors <= most - FOR_UNIX

    @property
    def _limit(self) -> int:
        try:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        except OSError:  # a sandbox refuses it
            return USUAL_LIMIT
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft

    def _close_least(self, eligible: Callable[[Connection], bool]) -> bool:
        """Close the least useful of the eligible connections; False if there is none to close.

        That is the oldest connection that was never authorized, however busy it seems, so that
        clients that only connect cannot drive out those that work. If there is none, it is the
        connection that has been idle for longest.
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
    """A repeated problem that is logged once, and again after EPISODE_PAUSE without it."""

    def __init__(self) -> None:
        self._over = -math.inf

    def begins(self) -> bool:
        """Note that the problem occurs now; True if a new episode begins."""
        now = trio.current_time()
        first = now >= self._over
        self._over = now + EPISODE_PAUSE
        return first
