"""A log in a regular file: append, rotate, survive (process.md 11.2 to 11.4).

Writes go out inline: appending to a page cache costs less than handing the bytes to a thread.
Nothing here ever raises into the drain of a child's output: what cannot be written is counted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

#: O_APPEND: an external truncation leaves no hole (P-250). O_NONBLOCK: opening a FIFO without a
#: reader fails instead of waiting (P-246); it means nothing for a regular file.
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
#: Minus the umask (P-217).
CREATE_MODE = 0o666


class LogFile:
    """``maxbytes`` of 0 or less: never rotated. Opening raises OSError."""

    #: Nothing ever waits: a write is done when ``write`` returns.
    backlog = 0

    def __init__(
        self,
        path: str,
        *,
        maxbytes: int,
        backups: int,
        report: Callable[[Severity, str], None],
    ) -> None:
        self.path = path
        self._maxbytes = maxbytes
        self._backups = backups
        self._report = report
        self._dropped = 0
        self._stuck = False
        """A rotation failed and was reported; it is tried again with each write."""
        self._fd = os.open(path, OPEN_FLAGS, CREATE_MODE)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append; rotate if the file is full then (P-232). Never raises."""
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._fd, view)
            except OSError as error:
                self._drop(len(view), error)
                return
            self._size += written
            view = view[written:]
        if self._dropped:
            self._report(
                Severity.INFO, f"log {self.path} works again; {self._dropped} bytes were dropped"
            )
            self._dropped = 0
        if 0 < self._maxbytes <= self._size:
            self._rotate_if_full()

    async def room(self) -> None:
        """There always is."""

    def reopen(self) -> None:
        """Open the file by name again; on OSError the open one stays in use (P-249)."""
        fresh = os.open(self.path, OPEN_FLAGS, CREATE_MODE)
        os.close(self._fd)
        self._fd = fresh
        self._size = os.fstat(fresh).st_size

    def clear(self) -> None:
        """Empty the file, under its name also if that was deleted (P-251). Raises OSError."""
        self.reopen()
        os.ftruncate(self._fd, 0)
        self._size = 0

    def close(self) -> None:
        os.close(self._fd)

    def _drop(self, size: int, error: OSError) -> None:
        if not self._dropped:
            self._report(
                Severity.ERROR,
                f"cannot write log {self.path}: {error.strerror}; output is dropped until it works",
            )
        self._dropped += size

    def _rotate_if_full(self) -> None:
        try:
            self._size = os.fstat(self._fd).st_size  # somebody may have truncated it (P-250)
            if self._size >= self._maxbytes:
                self._rotate()
            self._stuck = False
        except OSError as error:
            if not self._stuck:
                self._report(
                    Severity.ERROR,
                    f"cannot rotate log {self.path}: {error.strerror}; it grows until that works",
                )
            self._stuck = True

    def _rotate(self) -> None:
        """P-234 to P-238. Whatever fails, the open file stays in use (P-242, Q-42)."""
        if self._backups <= 0:
            os.ftruncate(self._fd, 0)
        else:
            for number in range(self._backups - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):  # gaps move along (P-235)
                    os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
            with contextlib.suppress(FileNotFoundError):  # deleted from outside (P-241)
                os.replace(self.path, f"{self.path}.1")
        self.reopen()


def is_regular(path: str) -> bool:
    """Whether the path is, or would become, a regular file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def clear_log(path: str) -> None:
    """Empty a log that is not open (P-252); missing is fine, special files are left alone (P-254).

    Raises OSError.
    """
    if os.path.isdir(path) or is_regular(path):
        with contextlib.suppress(FileNotFoundError):
            os.truncate(path, 0)
