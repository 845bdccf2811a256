"""Follows a growing log, as ``tail -f`` does, across rotation, replacement and truncation.

May wait for the disk, so it is used in threads (``readers.py``). When to look again is decided by
``growth.py``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.logs.rotated import open_at, open_next, position_in
from trio_supervisor.runtime.system.opening import open_regular

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.rotated import Position

#: Bytes of the log shown to begin with, unless others are asked for.
HISTORY = 1024
#: Most bytes of one poll. A follower that is far behind polls again at once.
CHUNK = 128 * 1024
TRUNCATED = b"==> File truncated <==\n"


class LogFollower:
    """One reader's place in a log. ``modified`` is the file's time when following began.

    It begins at ``position``, or at the beginning of the file if that is not to be found any more;
    without a position with the last ``history`` bytes of the file.
    Raises NoFile, or Failed for a log that cannot be read (no permission, not a regular file).
    """

    def __init__(self, path: str, history: int = HISTORY, position: Position | None = None) -> None:
        self._path = path
        try:
            self._fd, self._offset = _begin(path, history, position)
        except FileNotFoundError as error:
            raise NoFile(path) from error
        except OSError as error:
            raise Failed(path) from error
        self.modified = os.fstat(self._fd).st_mtime
        self.start = position_in(path, self._fd, self._offset)
        """Where the first bytes come from."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    @property
    def behind(self) -> int:
        """Bytes of the file that have not been read yet."""
        return max(0, self.size - self._offset)

    def poll(self) -> bytes:
        """Return what was added since the last poll, or ``b""``. Does not wait for more."""
        data = self._read()
        if data:
            return data
        if self.size < self._offset:
            self._offset = 0
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
        try:
            data = os.pread(self._fd, CHUNK, self._offset)
        except BlockingIOError:  # a file that is no log, made by a kernel's driver
            return b""
        self._offset += len(data)
        return data

    def _replaced(self) -> bool:
        """Return whether the path names another file now. None yet means it may name one soon."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return False

    def _switch(self) -> None:
        with suppress(OSError):
            fresh = open_next(self._path, self._fd)
            os.close(self._fd)
            self._fd, self._offset = fresh, 0


def _begin(path: str, history: int, position: Position | None) -> tuple[int, int]:
    """An open file and the offset in it. Raises OSError."""
    if position is None:
        fd = open_regular(path)
        return fd, max(0, os.fstat(fd).st_size - history)
    return open_at(path, position) or (open_regular(path), 0)
