"""Opens and closes the sockets of HTTP servers (process.md 15.4). Runs before trio does."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress

from trio_supervisor.core.config import InetServer, Server, UnixServer
from trio_supervisor.core.errors import ServerError

BACKLOG = 1024
#: Seconds a program that may hold the socket has to answer; one that is silent counts as there.
PROBE_TIME = 2.0
PROBE = b"GET / HTTP/1.0\r\n\r\n"
#: Bytes of a socket's path that clients can connect to (the kernel's sun_path, without its NUL).
MAX_PATH = 107
#: Nobody can reach the socket before it has its real owner and mode.
RESTRICTIVE_MODE = 0o600


def bind(server: Server) -> socket.socket:
    """A listening socket, non-blocking. Raises ServerError; nothing is left behind then."""
    try:
        if isinstance(server, UnixServer):
            return _bind_unix(server)
        return _bind_inet(server)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(server) from error
        raise ServerError(
            f"Cannot open an HTTP server: {_reason(error)}: {_place(server)}"
        ) from error


def unbind(server: Server, listener: socket.socket) -> None:
    """Close the socket; one in the file system is removed, if it is still there (P-340)."""
    listener.close()
    if isinstance(server, UnixServer):
        with suppress(FileNotFoundError):
            os.unlink(server.file)


def _bind_inet(server: InetServer) -> socket.socket:
    host, port = server.host, server.port
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
        host or None,
        port,
        socket.AF_UNSPEC if host else socket.AF_INET,
        socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return _listening(listener)
    except BaseException:
        listener.close()
        raise


def _bind_unix(server: UnixServer) -> socket.socket:
    """The socket is made under another name and moved to its own when it is ready (P-333)."""
    if len(os.fsencode(server.file)) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, "path of a socket too long", server.file)
    _make_room(server)
    # A short name, because the length of the whole path is limited.
    temporary = os.path.join(os.path.dirname(server.file), f".{os.getpid()}")
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    listener = socket.socket(socket.AF_UNIX)
    try:
        # Linux makes the file with the mode of the socket; umask() would be for all threads.
        os.fchmod(listener.fileno(), RESTRICTIVE_MODE)
        listener.bind(temporary)
        if server.chown is not None:
            os.chown(temporary, *server.chown)
        os.chmod(temporary, server.chmod)
        _listening(listener)
        os.rename(temporary, server.file)
    except BaseException:
        listener.close()
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return listener


def _listening(listener: socket.socket) -> socket.socket:
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _make_room(server: UnixServer) -> None:
    """Remove a socket that nobody answers at; leave everything else alone (P-334 to P-337)."""
    try:
        mode = os.lstat(server.file).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServerError(
            f"Cannot open an HTTP server: {server.file} exists and is not a socket; "
            "remove it, or change the file option"
        )
    if _answers(server.file):
        raise _taken(server)
    print(f"Unlinking stale socket {server.file}", file=sys.stderr)  # P-335
    with suppress(FileNotFoundError):
        os.unlink(server.file)


def _answers(path: str) -> bool:
    """Whether a program holds the socket; one that only accepts counts (P-336, Q-68)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PROBE_TIME)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError):  # its queue is full: it never accepts
            return True
        with suppress(OSError):
            client.sendall(PROBE)
            client.recv(1)
        return True


def _taken(server: Server) -> ServerError:
    return ServerError(
        f"Another program is already listening on a port that one of our HTTP servers needs: "
        f"{_place(server)}. Stop that program, or change the address in the configuration"
    )


def _place(server: Server) -> str:
    """Where a server listens, as a configuration writes it."""
    if isinstance(server, UnixServer):
        return server.file
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{host or '*'}:{server.port}"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return str(error)
    name = errno.errorcode.get(error.errno, "unknown")
    return f"socket.error reported errno.{name} ({error.errno})"
