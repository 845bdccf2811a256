"""Opens and closes the listening sockets of HTTP servers. Does not need trio."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress

from trio_supervisor.core.config.model import InetServer, Server, UnixServer
from trio_supervisor.core.errors import ServerError
from trio_supervisor.runtime.inspect.port_owners import holder_of_port, is_keeper, peer_of
from trio_supervisor.runtime.system.opening import explanation
from trio_supervisor.runtime.system.unix_socket import UnixListener, listen

BACKLOG = 1024
#: Seconds that a program which may have the socket gets to answer. A silent one counts as there.
PROBE_TIME = 2.0
PROBE = b"GET / HTTP/1.0\r\n\r\n"


def bind(server: Server) -> socket.socket:
    """Open a non-blocking listening socket. Raises ServerError, and leaves nothing behind then."""
    return bind_unix(server) if isinstance(server, UnixServer) else _bind_inet(server)


def bind_unix(server: UnixServer) -> UnixListener:
    """Like ``bind``. The file appears only when it has its owner and mode."""

    def stale() -> None:
        with suppress(OSError):  # the terminal or the reader of stderr may be gone
            print(f"Unlinking stale socket {server.file}", file=sys.stderr)

    try:
        listener = listen(
            server.file,
            mode=server.chmod,
            owner=server.chown,
            backlog=BACKLOG,
            holder=_holder,
            on_stale=stale,
        )
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise ServerError(
                f"Cannot open an HTTP server: {server.file} exists and is not a socket; "
                "remove it, or change the file option"
            ) from error
        if error.errno == errno.EADDRINUSE:
            raise _taken(server, error.strerror) from error
        raise _failed(server, error) from error
    listener.setblocking(False)
    return listener


def unbind(server: Server, listener: socket.socket) -> None:
    """Close the socket and remove its file, unless another program has replaced the file.

    Raises OSError if the file cannot be removed. The socket is closed in any case.
    """
    with listener:  # open until then, or another file could get the inode number
        if isinstance(listener, UnixListener):
            listener.remove_file()


def _bind_inet(server: InetServer) -> socket.socket:
    try:
        return _listen_inet(server)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(server, holder_of_port(server.host, server.port)) from error
        raise _failed(server, error) from error


def _listen_inet(server: InetServer) -> socket.socket:
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
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return listener
    except BaseException:
        listener.close()
        raise


def _holder(path: str) -> str | None:
    """Describe the program that has the socket; None if there is none. It need not answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PROBE_TIME)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except (TimeoutError, BlockingIOError):  # its queue is full
            return "a program that does not answer"
        holder = peer_of(client)
        with suppress(OSError):
            client.sendall(PROBE)
            client.recv(1)
        return holder


def _taken(server: Server, holder: str | None) -> ServerError:
    held = "" if holder is None else f", held by {holder}"
    remedy = "Stop that program"
    if is_keeper(holder):
        remedy = "Start this daemon with the pidfile of that one, so that it adopts its programs"
    return ServerError(
        f"Another program is already listening on a port that one of our HTTP servers needs: "
        f"{_place(server)}{held}. {remedy}, or change the address in the configuration"
    )


def _failed(server: Server, error: OSError) -> ServerError:
    return ServerError(f"Cannot open an HTTP server: {_reason(error)}: {_place(server)}")


def _place(server: Server) -> str:
    """Return the address of a server as it is written in a configuration."""
    if isinstance(server, UnixServer):
        return server.file
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{host or '*'}:{server.port}"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return str(error)
    name = errno.errorcode.get(error.errno, "unknown")
    reported = f"socket.error reported errno.{name} ({error.errno})"
    why = explanation(error)
    return reported if why is None else f"{reported}: {why}"
