"""The daemon's pidfile: written after detaching, removed only if it is still ours."""

from __future__ import annotations

import os
import stat

from trio_supervisor.runtime.system.opening import open_file, open_regular, remove

#: Bytes to read: more than any pid with its newline.
LONGEST = 32


class Pidfile:
    """The file ``path`` with our pid and a newline, from ``write`` to ``remove``.

    A symbolic link is not followed, and a FIFO does not block.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False

    def write(self) -> None:
        """Write the pid. Raises OSError; the daemon then runs without a pidfile."""
        fd = open_file(self._path, os.O_WRONLY | os.O_CREAT, follow=False)
        try:
            # Written in place: we may be allowed to write the file, but not its directory.
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, 0)
            os.write(fd, _content())
        finally:
            os.close(fd)
        self._written = True

    def adopt(self) -> None:
        """Own the file that an earlier program of this process has written."""
        self._written = True

    def let_go(self) -> None:
        """Leave the file for the next program of this process."""
        self._written = False

    def remove(self) -> None:
        """Remove the file, unless another daemon has written its pid to it meanwhile."""
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
            return  # removed, or not accessible any more


def _content() -> bytes:
    return f"{os.getpid()}\n".encode()
