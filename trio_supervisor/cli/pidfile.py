"""The daemon's pidfile: written after detaching, removed only if it is still ours."""

from __future__ import annotations

import os
import stat

from trio_supervisor.runtime.system.opening import open_file, open_regular, remove

#: Bytes that are read: more than any pid and its newline.
LONGEST = 32


class Pidfile:
    """``path`` holds our pid and a newline from ``write`` to ``remove`` (P-318 to P-320).

    A link in its place is not followed, and a FIFO not waited for.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False

    def write(self) -> None:
        """Raises OSError; the daemon goes on without a pidfile then (P-319)."""
        fd = open_file(self._path, os.O_WRONLY | os.O_CREAT, follow=False)
        try:
            # In place: some may write this file, and not make another one in its directory.
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, 0)
            os.write(fd, _content())
        finally:
            os.close(fd)
        self._written = True

    def remove(self) -> None:
        """Another daemon may have taken the file over meanwhile (Q-66)."""
        if not self._written:
            return
        self._written = False
        try:
            fd = open_regular(self._path, follow=False)
            try:
                ours = os.read(fd, LONGEST) == _content()
            finally:
                os.close(fd)
            if ours:
                remove(self._path)
        except OSError:
            return  # gone, or not ours any more


def _content() -> bytes:
    return f"{os.getpid()}\n".encode()
