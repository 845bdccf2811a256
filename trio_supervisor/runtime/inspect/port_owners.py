"""Finds the process that listens on a port or a unix socket of this machine, by asking the kernel.

Nothing is sent to that process, and only unix sockets are connected to. Ports are looked up in
``/proc``. Without ``/proc`` no process is found.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from typing import TYPE_CHECKING

from trio_supervisor.runtime.system.unix_socket import peer_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: State of a listening socket in ``/proc/net/tcp`` (Linux, include/net/tcp_states.h).
LISTEN = "0A"
#: Seconds within which a unix socket must accept a connection.
PROBE_TIME = 1.0
#: The script of a keeper, and what its socket appends to the path of the pidfile. They stand here
#: because ``runtime/adoption/`` is loaded with ``survive = adopt`` only.
KEEPER_SCRIPT, KEEPER_SUFFIX = "keeper_process.py", ".keeper"
#: Characters of a command line that are shown.
LONGEST_COMMAND = 60


def holder_of_port(host: str, port: int) -> str | None:
    """Describe the process that listens on a port of an address; an empty host means all of them.

    Raises OSError if the host has no address.
    """
    inode = _listener_at(host, port)
    return None if inode is None else _owner(inode)


def keeper_at_port(host: str, port: int) -> str | None:
    """Return the pidfile of the daemon whose keeper has a port, and no other process has it.

    None: there is none, or it may not be looked at. Raises OSError if the host has no address.
    """
    inode = _listener_at(host, port)
    pidfiles = [] if inode is None else [_pidfile_of_keeper(pid) for pid in _holders(inode)]
    return None if None in pidfiles else next(iter(pidfiles), None)


def _listener_at(host: str, port: int) -> str | None:
    """Return the inode of the socket that listens on a port; None if there is none."""
    wanted = {
        _address(found[4][0])
        for found in (socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host else ())
    }
    everywhere = not host or any(address.is_unspecified for address in wanted)
    for address, number, inode in _tcp_listeners():
        if number == port and (everywhere or address.is_unspecified or address in wanted):
            return inode
    return None


def holder_of_socket(path: str) -> str | None:
    """Describe the process that listens on a unix socket, by connecting without sending anything.

    ``/proc`` knows only the path at which the socket was made, before it was renamed.
    """
    pid = listener_of_socket(path)
    return None if pid is None else _described(pid)


def listener_of_socket(path: str) -> int | None:
    """Return the pid of the process that listens on a unix socket.

    None means that there is none, 0 that it runs outside this container.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIME)
        try:
            probe.connect(path)
        except OSError:
            return None
        return peer_credentials(probe)[0]


def peer_of(client: socket.socket) -> str:
    """Describe the process that listens on the unix socket that ``client`` is connected to."""
    return _described(peer_credentials(client)[0])


def is_gone(pid: int) -> bool:
    """Whether a process has ended: its socket is kept open by others."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def _described(pid: int) -> str:
    if not pid:
        return "a process outside this container"
    if is_gone(pid):
        return keeper_after(pid)
    return f"process {pid} ({command_of(pid)})"


#: How descriptions of keepers begin.
_KEEPER = "the keeper of a daemon that was killed"


def is_keeper(holder: str | None) -> bool:
    """Whether that is the description of a keeper."""
    return holder is not None and holder.startswith(_KEEPER)


def keeper_after(pid: int) -> str:
    """Describe the keeper of a daemon that was killed (``survive = adopt``), by its pid."""
    return f"{_KEEPER} (pid {pid})"


def keeper_of(pidfile: str) -> str:
    """The same by the pidfile of the daemon."""
    return f"{_KEEPER}, whose pidfile is {pidfile}"


def _tcp_listeners() -> Iterator[tuple[Address, int, str]]:
    """Yield address, port and inode of each listening TCP socket."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(name):
            fields = line.split()
            if fields[3] == LISTEN:
                address, _, port = fields[1].partition(":")
                yield _packed(address), int(port, 16), fields[9]


def _packed(text: str) -> Address:
    """Parse an address as the kernel prints it: words in the byte order of this machine."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return _plain(ipaddress.ip_address(packed))


def _address(text: object) -> Address:
    return _plain(ipaddress.ip_address(str(text).partition("%")[0]))  # without the zone


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _owner(inode: str) -> str:
    """Describe the process that has a socket open, as far as we have the right to see it."""
    keeper = None
    for pid in _holders(inode):
        pidfile = _pidfile_of_keeper(pid)
        if pidfile is None:
            return f"process {pid} ({command_of(pid)})"
        keeper = keeper_of(pidfile)  # it has a copy
    return keeper or "a process of another user"


def _holders(inode: str) -> Iterator[int]:
    """Yield the processes that have a socket open and may be looked at."""
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        here = f"/proc/{name}/fd"
        with contextlib.suppress(OSError):  # the process has ended, or belongs to another user
            if any(os.readlink(f"{here}/{fd}") == f"socket:[{inode}]" for fd in os.listdir(here)):
                yield int(name)


def _pidfile_of_keeper(pid: int) -> str | None:
    """Return the pidfile of the daemon that a keeper belongs to; None if that is no keeper."""
    words = words_of(pid)
    if os.path.basename("".join(words[-3:-2])) != KEEPER_SCRIPT:
        return None
    return words[-2].removesuffix(KEEPER_SUFFIX)


def words_of(pid: int) -> list[str]:
    """Return the command line of a process; empty if there is no such process."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
        return [word.decode(errors="replace") for word in words]
    return []


def command_of(pid: int) -> str:
    """Return the beginning of a process's command line; empty if there is no such process."""
    command = " ".join(words_of(pid))
    shown = command[:LONGEST_COMMAND]
    return shown if shown == command else f"{shown}..."


def _lines(name: str) -> list[str]:
    with contextlib.suppress(OSError), open(name, errors="replace") as file:
        return file.read().splitlines()[1:]
    return []
