"""The directories in which the notify sockets of supervisors are, and the removal of dead ones.

Theory of operation
-------------------
A supervisor holds a lock on its directory as long as it lives, and the kernel releases the lock
when it dies. The next supervisor that needs a directory looks, in a thread, at those beside its
own, and removes each that belongs to its own user, is locked by nobody, and whose sockets nobody
holds: a daemon that is being replaced by another one has no lock for a moment, but its sockets are
open.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "tsupervisord-notify-"


class NotifyDirectory:
    """The directory of the sockets of one supervisor: made at the first need."""

    def __init__(self, environment: Mapping[str, str], path: str | None = None) -> None:
        """``path`` is that of a directory which an earlier supervisor has made."""
        self._candidates = [
            path
            for path in (environment.get("RUNTIME_DIRECTORY", "").split(":")[0], "/run")
            if path
        ]
        self._path = path
        self._lock: int | None = None if path is None else _locked(path)

    def new_path(self) -> str:
        """Return a path for a socket that nobody can guess. Raises OSError."""
        if self._path is None or not os.path.isdir(self._path):
            self.unlock()
            self._path = self._made()
            with suppress(RuntimeError):  # no thread is left: another start does it
                sweep = partial(remove_dead, os.path.dirname(self._path))
                trio.lowlevel.start_thread_soon(sweep, lambda outcome: None)
        return os.path.join(self._path, os.urandom(16).hex())

    @property
    def path(self) -> str | None:
        """None if it was not made yet."""
        return self._path

    def close(self) -> None:
        """Remove the directory; sockets that are still open are left alone."""
        if self._path is not None:
            with suppress(OSError):
                os.rmdir(self._path)
            self._path = None
        self.unlock()

    def unlock(self) -> None:
        """Release the lock: no longer needed, or left to the next supervisor."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _made(self) -> str:
        *preferred, last = [*self._candidates, tempfile.gettempdir()]
        for path in preferred:
            with suppress(OSError):  # as for a user who may not write to /run
                return self._made_in(path)
        return self._made_in(last)

    def _made_in(self, parent: str) -> str:
        while True:
            path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
            self._lock = _locked(path)
            # Another supervisor may have taken it for a dead one before it was locked.
            if self._lock is None or os.path.isdir(path):
                os.chmod(path, 0o711)
                return path
            self.unlock()


def remove_dead(parent: str) -> None:
    """Remove the directories of supervisors of this user that do not live any more; blocks."""
    with suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(PREFIX):
                with suppress(OSError):
                    _remove_if_dead(os.path.join(parent, name))


def _remove_if_dead(path: str) -> None:
    lock = _locked(path)
    if lock is None:
        return
    try:
        if os.fstat(lock).st_uid != os.getuid():
            return
        names = os.listdir(lock)
        if any(_is_held(os.path.join(path, name)) for name in names):
            return
        for name in names:
            if stat.S_ISSOCK(os.stat(name, dir_fd=lock, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=lock)
        os.rmdir(path)  # not if anything else is in it
    finally:
        os.close(lock)


def _locked(path: str) -> int | None:
    """Return a descriptor that holds the lock of a directory; None if that is not possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_held(path: str) -> bool:
    """Whether some process holds the socket, or that cannot be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
