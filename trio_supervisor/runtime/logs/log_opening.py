"""The files in which one child is logged: they are opened in a thread, by one job for all."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.logs.logfile import USUAL, LogCreation, own_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.logs.rotation import Rotations, RotationScheme


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A log file that is to be opened for appending."""

    path: str
    rotation: RotationScheme
    creation: LogCreation = USUAL
    report: Callable[[Severity, str], None] | None = None
    """Gets what is wrong with it; None: the activity log does."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """An open log file, or a duplicate of a descriptor of the daemon that its path means."""

    request: LogRequest
    fd: int
    rotated: int
    """How often the log had been rotated before it was opened."""
    size: int | None
    """Of a regular file, in bytes; None for anything else."""


class LogOpening:
    """The opening of log files, of which all are open afterwards or none."""

    def __init__(self, requests: tuple[LogRequest, ...], rotations: Rotations) -> None:
        self.opened: list[OpenLog] = []
        self._requests = requests
        self._rotations = rotations

    @property
    def are_files(self) -> bool:
        """Whether all that is open are regular files."""
        return all(log.size is not None for log in self.opened)

    @property
    def first(self) -> str:
        """The path that is opened first."""
        return self._requests[0].path

    def run(self) -> None:
        """Open them, without waiting for a reader but perhaps for a disk. Raises OSError."""
        try:
            for request in self._requests:
                self.opened.append(self._open(request))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close them again."""
        opened, self.opened = self.opened, []
        for log in opened:
            os.close(log.fd)

    def unanswered(self) -> OSError:
        """Return what to raise if that takes too long: the disk of a log does not answer."""
        hanging = self._requests[min(len(self.opened), len(self._requests) - 1)]
        return OSError(errno.ETIMEDOUT, "its disk does not answer", hanging.path)

    def _open(self, request: LogRequest) -> OpenLog:
        rotated = self._rotations.count(request.path)
        own = own_descriptor(request.path)
        if own is not None:
            return OpenLog(request, os.dup(own), rotated, size=None)
        fd = request.creation.open(request.path)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            return OpenLog(request, fd, rotated, status.st_size)
        os.set_blocking(fd, True)  # it is not shared, and its thread may wait for a slow reader
        return OpenLog(request, fd, rotated, size=None)
