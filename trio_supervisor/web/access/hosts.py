"""Check of the Host header: was a request meant for this server.

A web page cannot read answers of another origin, unless its author points the name of the page's
own site to our address (DNS rebinding). The Host header then still has that foreign name.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from trio_supervisor.core.config.access import ANY_HOST
from trio_supervisor.core.config.model import InetServer
from trio_supervisor.web.access import authority

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Server

LOCALHOST = "localhost"


class Hosts:
    """The names of one server."""

    def __init__(self, server: Server) -> None:
        allowed = server.access.allowed_hosts
        if allowed is None:
            exposed = server.credentials is None and is_loopback(server)
            allowed = () if exposed else (ANY_HOST,)
        machine = socket.gethostname().lower()
        self._any = ANY_HOST in allowed
        self._names = {LOCALHOST, machine, machine.partition(".")[0], *map(str.lower, allowed)}
        self._domains = (f".{LOCALHOST}", *(n.lower() for n in allowed if n.startswith(".")))

    def allow(self, host: str) -> bool:
        """Whether a Host header is allowed. An absent one is, because browsers always send it."""
        if self._any or not host:
            return True
        found = authority.of_host(host)
        if found is None:
            return False
        name = found.host.removeprefix("[").removesuffix("]").removesuffix(".")
        return name in self._names or name.endswith(self._domains) or _is_address(name)


def is_loopback(server: Server) -> bool:
    """Whether a server is a TCP server that only this machine can reach."""
    if not isinstance(server, InetServer):
        return False
    if server.host == LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(server.host).is_loopback
    except ValueError:
        return False


def is_exposed(server: Server) -> bool:
    """Whether other machines can reach a server."""
    return isinstance(server, InetServer) and not is_loopback(server)


def _is_address(name: str) -> bool:
    """Whether a name is an IP address, which DNS cannot redirect."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
