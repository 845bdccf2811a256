"""The listening socket that the processes of one FastCGI program share (process.md 14).

Open while at least one of them has, or is about to have, a child.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import stat
from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity
from trio_supervisor.runtime.spawn import SpawnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.core.config import FastCgiSocket


class SharedSocket:
    """``uid`` is the program's user: by default a unix socket belongs to it (P-307)."""

    def __init__(
        self, config: FastCgiSocket, uid: int | None, log: Callable[[Severity, str], None]
    ) -> None:
        self._config = config
        self._uid = uid
        self._log = log
        self._socket: socket.socket | None = None
        self._holders = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """The socket's descriptor, for as long as one process needs it. Raises OSError.

        The first holder opens it, the last closes it (P-299, P-300, P-305).
        """
        if self._socket is None:
            self._log(Severity.INFO, f"Creating socket {self._config.url}")
            self._socket = self._open()
        self._holders += 1
        try:
            yield self._socket.fileno()
        finally:
            self._holders -= 1
            if not self._holders:
                self._log(Severity.INFO, f"Closing socket {self._config.url}")
                self._socket.close()  # the file of a unix socket stays (P-310, Q-64)
                self._socket = None

    def lend(self, holder: contextlib.ExitStack) -> int:
        """The descriptor, until the holder's end. Raises SpawnError (P-304, Q-62)."""
        try:
            return holder.enter_context(self.held())
        except OSError as error:
            raise SpawnError(f"cannot create FastCGI socket: {error}") from error

    def check(self) -> None:
        """Prove that the socket can be opened (P-302). Raises OSError."""
        with self.held():
            pass

    def _open(self) -> socket.socket:
        scheme, _, address = self._config.url.partition("://")
        backlog = socket.SOMAXCONN if self._config.backlog is None else self._config.backlog
        if scheme == "tcp":
            host, _, port = address.rpartition(":")
            return socket.create_server((host, int(port)), backlog=backlog)  # reuses (P-308)
        return self._open_unix(address, backlog)

    def _open_unix(self, path: str, backlog: int) -> socket.socket:
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(path)
            owner = self._owner()
            if owner is not None:
                os.chown(path, *owner)
            os.chmod(path, self._config.mode)
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
        return listener

    def _owner(self) -> tuple[int, int] | None:
        if self._config.owner is not None:
            return self._config.owner
        if self._uid is None or self._uid == os.getuid():
            return None
        return self._uid, pwd.getpwuid(self._uid).pw_gid


def _remove_stale(path: str) -> None:
    """Only a socket nobody listens on makes way; any other file is kept (P-306, Q-60, Q-63)."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is not a socket is there", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its backlog is full, so it is alive
    raise OSError(errno.EADDRINUSE, "another program listens there", path)
