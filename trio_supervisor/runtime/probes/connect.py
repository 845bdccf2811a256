"""Connections to the addresses that probes name. Nothing here waits without being cancellable.

Names are resolved in a thread, because a name server that does not answer cannot be interrupted.
Each process has a limit of one such thread: while it hangs, further tries wait for it, and fail
when their time is over, instead of using up the threads of the daemon.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import trio

from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from trio.socket import SocketType

    from trio_supervisor.core.config.probes import TcpProbe, UnixProbe

    Address = tuple[int, tuple[Any, ...]]

#: Where a port without a host is looked for.
LOOPBACK: tuple[Address, ...] = ((socket.AF_INET, ("127.0.0.1",)), (socket.AF_INET6, ("::1",)))


class Resolver:
    """Resolves the names of one process, in one thread at most."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host. Raises OSError."""
        try:
            return _looked_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await in_thread(
                _looked_up, host, port, abandon_on_cancel=True, limiter=self._limiter
            )


def _looked_up(host: str, port: int, flags: int = 0) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "is no host name") from error
    return [(family, address) for family, _, _, _, address in found]


async def connect_tcp(probe: TcpProbe, resolver: Resolver) -> SocketType:
    """Connect to the first address that accepts. Raises OSError, that of the last address."""
    if probe.host:
        addresses = await resolver.addresses(probe.host, probe.port)
    else:
        addresses = [(family, (*host, probe.port)) for family, host in LOOPBACK]
    failures: list[OSError] = []
    for family, address in addresses:
        try:
            return await _connect(family, address)
        except OSError as error:
            failures.append(error)
    # Of 127.0.0.1 and ::1 the first is the one that people mean.
    raise failures[0] if failures and not probe.host else (failures or [_no_address()])[-1]


async def _connect(family: int, address: tuple[Any, ...]) -> SocketType:
    connection = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await connection.connect(address)
        if connection.getsockname() == connection.getpeername():
            # The kernel has chosen the very port as that of our end, where nobody listens.
            raise OSError(errno.ECONNREFUSED, "")
    except OSError as error:  # trio adds the address to the text, which is known here
        connection.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _no_address() -> OSError:
    return OSError(errno.EADDRNOTAVAIL, "it has no address")


def try_unix(probe: UnixProbe) -> None:
    """Connect to a unix socket and close the connection. Raises OSError.

    The kernel accepts or refuses at once. A full queue is a refusal: the program accepts nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(probe.path)
        except BlockingIOError as error:
            raise OSError(errno.EAGAIN, "its queue of connections is full") from error
