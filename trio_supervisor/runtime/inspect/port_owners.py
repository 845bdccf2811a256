"""Who listens on a port or a unix socket of this machine, as the kernel tells.

Sends nothing to anybody, and connects to unix sockets only. Ports are looked up in ``/proc``; where
there is none, nobody is found.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: State of a listening socket in ``/proc/net/tcp`` (Linux, include/net/tcp_states.h).
LISTEN = "0A"
#: Seconds a unix socket has to take a connection.
PROBE_TIME = 1.0
#: pid, uid and gid of who listens (unix(7), SO_PEERCRED).
PEER_CREDENTIALS = "3i"
#: Characters of a command line that tell what it is.
LONGEST_COMMAND = 60


def holder_of_port(host: str, port: int) -> str | None:
    """Who listens on an address, or on all of its port; an empty host means all addresses.

    Raises OSError if the host has no address.
    """
    wanted = {
        _address(found[4][0])
        for found in (socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host else ())
    }
    everywhere = not host or any(address.is_unspecified for address in wanted)
    for address, number, inode in _tcp_listeners():
        if number == port and (everywhere or address.is_unspecified or address in wanted):
            return _owner(inode)
    return None


def holder_of_socket(path: str) -> str | None:
    """Who listens on a unix socket: asked of the kernel by connecting, nothing is sent.

    ``/proc`` knows only the name under which it was made, before it was renamed.
    """
    pid = listener_of_socket(path)
    return None if pid is None else _described(pid)


def listener_of_socket(path: str) -> int | None:
    """The pid of who listens on a unix socket; 0: a process outside this container."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIME)
        try:
            probe.connect(path)
        except OSError:
            return None
        return _peer_pid(probe)


def peer_of(client: socket.socket) -> str:
    """The process that listens on the unix socket that ``client`` is connected to."""
    return _described(_peer_pid(client))


def _peer_pid(client: socket.socket) -> int:
    size = struct.calcsize(PEER_CREDENTIALS)
    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid: int = struct.unpack(PEER_CREDENTIALS, peer)[0]
    return pid


def _described(pid: int) -> str:
    return f"process {pid} ({command_of(pid)})" if pid else "a process outside this container"


def _tcp_listeners() -> Iterator[tuple[Address, int, str]]:
    """Address, port and inode of each."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(name):
            fields = line.split()
            if fields[3] == LISTEN:
                address, _, port = fields[1].partition(":")
                yield _packed(address), int(port, 16), fields[9]


def _packed(text: str) -> Address:
    """An address as the kernel prints it: words in the order of bytes of this machine."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return _plain(ipaddress.ip_address(packed))


def _address(text: object) -> Address:
    return _plain(ipaddress.ip_address(str(text).partition("%")[0]))  # without the zone


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _owner(inode: str) -> str:
    """The process that has a socket open, as far as we may look."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            for descriptor in (entry / "fd").iterdir():
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return f"process {entry.name} ({command_of(int(entry.name))})"
    return "a process of another user"


def command_of(pid: int) -> str:
    """The beginning of a process's command line; empty if there is no such process."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        command = b" ".join(words).decode(errors="replace")
        shown = command[:LONGEST_COMMAND]
        return shown if shown == command else f"{shown}..."
    return ""


def _lines(name: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(name).read_text(errors="replace").splitlines()[1:]
    return []
