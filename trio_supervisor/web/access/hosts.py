"""Whether a request was meant for this server: its Host header (interfaces.md section 5).

A web page cannot read what another origin answers, unless its author makes the page's own name
mean our address (DNS rebinding). The Host header then still carries that foreign name.
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
    """The names by which one server may be called."""

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
        """Judge the value of a Host header. Only a browser's can be a foreign name."""
        if self._any or not host:
            return True
        found = authority.of_host(host)
        if found is None:
            return False
        name = found.host.removeprefix("[").removesuffix("]").removesuffix(".")
        return name in self._names or name.endswith(self._domains) or _is_address(name)


def is_loopback(server: Server) -> bool:
    """Whether only this machine reaches it, by TCP."""
    if not isinstance(server, InetServer):
        return False
    if server.host == LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(server.host).is_loopback
    except ValueError:
        return False


def is_exposed(server: Server) -> bool:
    """Whether other machines reach it."""
    return isinstance(server, InetServer) and not is_loopback(server)


def _is_address(name: str) -> bool:
    """Nobody can make an address mean another one."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
