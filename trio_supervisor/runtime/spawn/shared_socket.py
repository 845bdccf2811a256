"""The listening socket that the processes of one FastCGI program share.

Open while at least one of them has, or is about to have, a child.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.inspect.port_owners import peer_of
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.system.unix_socket import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.core.config.model import FastCgiSocket


class SharedSocket:
    """``uid`` is the program's user, who owns a unix socket unless the program names an owner."""

    def __init__(
        self,
        config: FastCgiSocket,
        uid: int | None,
        log: Callable[[Severity, str], None],
        descriptor: int | None = None,
        stays_open: Callable[[], bool] = lambda: False,
    ) -> None:
        """``descriptor`` is that of a listening socket which an earlier supervisor has opened.

        ``stays_open`` tells whether the last holder leaves it open, for another supervisor.
        """
        self._stays_open = stays_open
        self._config = config
        self._uid = uid
        self._log = log
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)
        self._holders = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Provide the socket's descriptor for as long as one process needs it. Raises OSError.

        The first holder opens the socket, the last one closes it.
        """
        if self._socket is None:
            self._log(Severity.INFO, f"Creating socket {self._config.url}")
            self._socket = self._open()
        self._holders += 1
        try:
            yield self._socket.fileno()
        finally:
            self._holders -= 1
            if not self._holders and not self._stays_open():
                self._log(Severity.INFO, f"Closing socket {self._config.url}")
                self._socket.close()  # the file of a unix socket stays, as with Supervisor
                self._socket = None

    @property
    def descriptor(self) -> int | None:
        """None if it is not open."""
        return None if self._socket is None else self._socket.fileno()

    def detach(self) -> None:
        """Forget the socket, which stays open."""
        if self._socket is not None:
            self._socket.detach()

    def lend(self, holder: contextlib.ExitStack) -> int:
        """Return the descriptor, held until ``holder`` is closed. Raises SpawnError."""
        try:
            return holder.enter_context(self.held())
        except OSError as error:
            raise SpawnError(f"cannot create FastCGI socket: {error}") from error

    def check(self) -> None:
        """Prove that the socket can be opened. Raises OSError."""
        with self.held():
            pass

    def _open(self) -> socket.socket:
        scheme, _, address = self._config.url.partition("://")
        backlog = socket.SOMAXCONN if self._config.backlog is None else self._config.backlog
        if scheme == "tcp":
            host, _, port = address.rpartition(":")
            return socket.create_server((host, int(port)), backlog=backlog)  # SO_REUSEADDR
        return self._open_unix(address, backlog)

    def _open_unix(self, path: str, backlog: int) -> socket.socket:
        try:
            return listen(
                path,
                mode=self._config.mode,
                owner=self._owner(),
                backlog=backlog,
                holder=_holder,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"another program listens there: {error.strerror}"
                raise OSError(error.errno, why, path) from error
            raise

    def _owner(self) -> tuple[int, int] | None:
        if self._config.owner is not None:
            return self._config.owner
        if self._uid is None or self._uid == os.getuid():
            return None
        return self._uid, pwd.getpwuid(self._uid).pw_gid


def _holder(path: str) -> str | None:
    """Name the program that listens on a unix socket, without waiting; None means none."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return None
        except BlockingIOError:  # its backlog is full, so it is alive
            return "a program that does not answer"
        return peer_of(probe)
