"""Follows a growing log, as ``tail -f`` does (interfaces.md 3.4).

Sees rotation, replacement and truncation by looking; knows nothing of who reads what it finds.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from trio_supervisor.core.errors import Failed, NoFile

#: Bytes of the log shown to begin with, unless others are asked for.
HISTORY = 1024
#: Most bytes of one poll; a reader who is far behind polls again at once.
CHUNK = 128 * 1024
TRUNCATED = b"==> File truncated <==\n"


class LogFollower:
    """One reader's place in a log. ``modified`` is the file's time when following began.

    ``history`` is how many bytes of what is there are read to begin with.
    Raises NoFile, or Failed for a log that cannot be read (no permission, not a regular file).
    """

    def __init__(self, path: str, history: int = HISTORY) -> None:
        self._path = path
        try:
            self._fd = _open(path)
        except FileNotFoundError as error:
            raise NoFile(path) from error
        except OSError as error:
            raise Failed(path) from error
        status = os.fstat(self._fd)
        self.modified = status.st_mtime
        self._position = max(0, status.st_size - history)

    def poll(self) -> bytes:
        """What has been added since the last poll; empty if nothing was. Does not wait."""
        data = self._read()
        if data:
            return data
        if os.fstat(self._fd).st_size < self._position:
            self._position = 0
            return TRUNCATED
        if not self._replaced():
            return b""
        data = self._read()  # added between the look at the old file and that at its name
        if data:
            return data
        self._switch()
        return self._read()

    def close(self) -> None:
        os.close(self._fd)

    def _read(self) -> bytes:
        data = os.pread(self._fd, CHUNK, self._position)
        self._position += len(data)
        return data

    def _replaced(self) -> bool:
        """Whether the name stands for another file now; if for none, there may be one soon."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return False

    def _switch(self) -> None:
        with suppress(OSError):
            fresh = _open(self._path)
            os.close(self._fd)
            self._fd, self._position = fresh, 0


def _open(path: str) -> int:
    """Raises OSError; opens only regular files, since a FIFO would take us for its reader."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is not a regular file")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
