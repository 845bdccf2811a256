"""Whether the daemon behind an address was killed, and its keeper has the socket (survive = adopt).

For a client that waits for an answer; the keeper accepts connections and does not answer. Nothing
is known of other machines, nor of processes that may not be looked at.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from trio_supervisor.cli.recorded_pid import recorded_pid
from trio_supervisor.runtime.inspect.port_owners import keeper_at_port

if TYPE_CHECKING:
    from trio_supervisor.cli.client.client import ServerAddress

#: Seconds within which a connection must be accepted.
PATIENCE = 1.0


def killed_daemon(address: ServerAddress) -> int | None:
    """Return the pid of the daemon that has opened the socket, if that has ended and another
    process has the socket; 0 if the pid is not known. None: it lives, or nothing is known."""
    try:
        return _at_path(address.path) if address.path else _at_port(address.host, address.port)
    except OSError:
        return None


def _at_path(path: str) -> int | None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4)
    pid = int.from_bytes(found, sys.byteorder)
    try:
        if pid:  # else it is one of another pid namespace
            os.kill(pid, 0)
    except ProcessLookupError:
        return pid
    return None


def _at_port(host: str, port: int) -> int | None:
    with socket.create_connection((host, port), PATIENCE) as connection:
        here, there = connection.getsockname(), connection.getpeername()
    pidfile = keeper_at_port(there[0], port) if here[0] == there[0] else None
    if pidfile is None:
        return None
    try:
        return recorded_pid(pidfile)
    except (OSError, ValueError):
        return 0
