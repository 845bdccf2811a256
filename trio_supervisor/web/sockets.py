"""Opens and closes the sockets of HTTP servers (process.md 15.4). Runs before trio does."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress

from trio_supervisor.core.config.model import InetServer, Server, UnixServer
from trio_supervisor.core.errors import ServerError
from trio_supervisor.runtime.inspect.port_owners import holder_of_port, peer_of
from trio_supervisor.runtime.system.opening import explanation
from trio_supervisor.runtime.system.unix_socket import UnixListener, listen

BACKLOG = 1024
#: Seconds a program that may hold the socket has to answer; one that is silent counts as there.
PROBE_TIME = 2.0
PROBE = b"GET / HTTP/1.0\r\n\r\n"


def bind(server: Server) -> socket.socket:
    """A listening socket, non-blocking. Raises ServerError; nothing is left behind then."""
    return bind_unix(server) if isinstance(server, UnixServer) else _bind_inet(server)


def bind_unix(server: UnixServer) -> UnixListener:
    """As ``bind``; the file appears when it has its owner and mode (P-333)."""

    def stale() -> None:
        with suppress(OSError):  # the terminal or the reader of stderr may be gone
            print(f"Unlinking stale socket {server.file}", file=sys.stderr)  # P-335

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
        if error.errno == errno.EEXIST:  # P-337
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
    """Close the socket; its file is removed unless it is another program's now (P-340).

    Raises OSError if the file cannot be removed; the socket is closed all the same.
    """
    with listener:  # open until then: the file is known by a number that another may get after it
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
    """The program that holds the socket; one that only accepts counts (P-336, Q-68)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PROBE_TIME)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except (TimeoutError, BlockingIOError):  # its queue is full
            return "a program that does not answer"
        who = peer_of(client)
        with suppress(OSError):
            client.sendall(PROBE)
            client.recv(1)
        return who


def _taken(server: Server, who: str | None) -> ServerError:
    held = "" if who is None else f", held by {who}"
    return ServerError(
        f"Another program is already listening on a port that one of our HTTP servers needs: "
        f"{_place(server)}{held}. Stop that program, or change the address in the configuration"
    )


def _failed(server: Server, error: OSError) -> ServerError:
    return ServerError(f"Cannot open an HTTP server: {_reason(error)}: {_place(server)}")


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
    reported = f"socket.error reported errno.{name} ({error.errno})"
    why = explanation(error)
    return reported if why is None else f"{reported}: {why}"
