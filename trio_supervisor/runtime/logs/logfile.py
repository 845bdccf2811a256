"""A log in a regular file: appending, rotation, errors.

May wait for the disk, so it is used by the disk worker (``filesink.py``). ``write`` never raises:
bytes that cannot be written are dropped and counted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.logs.drops import WHOLE, DropCounter, reason
from trio_supervisor.runtime.logs.rotation import Rotations
from trio_supervisor.runtime.system.opening import ROOT, entry, make_directories, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.logs.compression import Compressor
    from trio_supervisor.runtime.logs.reports import ReportQueue
    from trio_supervisor.runtime.logs.rotation import RotationScheme

#: O_APPEND, so that an external truncation leaves no hole.
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
#: Names of our own descriptors; opening the path would fail for a socket or another user's file,
#: and rotation would rename the link for everybody on the host.
_OWN_DESCRIPTOR = re.compile(r"/dev/std(in|out|err)|(?:/dev|/proc/(self|\d+))/fd/(\d+)")
_STANDARD = {"in": 0, "out": 1, "err": 2}
#: Links followed in search of one of these names; as many as the kernel follows.
_MOST_LINKS = 40
#: The umask is taken off.
CREATE_MODE = 0o666


@dataclass(frozen=True, slots=True)
class LogCreation:
    """Options for the creation of a log file."""

    mode: int | None = None
    """Permissions, which an existing file gets too; None: those that the umask leaves."""
    directories: bool = False
    """Whether missing directories are made."""

    def open(self, path: str) -> int:
        """Open a log for appending, without waiting for a reader. Raises OSError."""
        if self.directories:
            make_directories(os.path.dirname(os.path.abspath(path)))
        fd = open_file(path, OPEN_FLAGS, CREATE_MODE if self.mode is None else self.mode)
        if self.mode is not None:
            with contextlib.suppress(PermissionError):  # it is another user's
                os.fchmod(fd, self.mode)
        return fd


#: How logs without options about that are made.
USUAL = LogCreation()


def open_log(path: str) -> int:
    """Open a log for appending, without waiting for a reader. Raises OSError."""
    return USUAL.open(path)


class LogFile:
    """An open log. Takes over ``fd``, the open file.

    ``report`` is told what is wrong, in the thread that writes or, if there are ``reports``, by way
    of them.
    ``rotations`` are those of all logs that may have the same path; None: no other has it.
    ``rotated`` is how often they had rotated it before it was opened. ``size`` is that of the file
    in bytes; None: it is asked for.
    """

    __slots__ = (
        "_compressor",
        "_creation",
        "_drops",
        "_fd",
        "_last_line",
        "_report",
        "_reports",
        "_rotated",
        "_rotation",
        "_rotation_failed",
        "_rotations",
        "_size",
        "_stale",
        "_write",
        "path",
    )

    def __init__(
        self,
        path: str,
        fd: int,
        *,
        rotation: RotationScheme,
        report: Callable[[Severity, str], None],
        reports: ReportQueue | None = None,
        creation: LogCreation = USUAL,
        compressor: Compressor | None = None,
        rotations: Rotations | None = None,
        rotated: int = 0,
        write: Callable[[int, memoryview], int] = os.write,
        size: int | None = None,
    ) -> None:
        self.path = path
        self._fd = fd
        self._size = os.fstat(fd).st_size if size is None else size
        self._rotation = rotation
        self._creation = creation
        self._compressor = compressor
        self._rotations = Rotations() if rotations is None else rotations
        self._rotated = rotated
        self._report = report
        self._reports = reports
        self._write = write
        self._drops: DropCounter | None = None
        """None before the first failure: nearly all logs never have one."""
        self._last_line = WHOLE
        self._rotation_failed = False
        """Whether that was reported. Rotation is tried again after each write."""
        self._stale = False
        """Whether the file could not be opened again; each write tries."""

    @property
    def room(self) -> int:
        """Bytes that it takes before it is rotated."""
        return self._rotation.room(self._size)

    def write(self, data: bytes) -> None:
        """Append; rotate if the file is full then. Never raises."""
        if self._stale or self._rotations.count(self.path) != self._rotated:
            with contextlib.suppress(OSError):
                self.reopen()
        is_failing = self._drops is not None and self._drops.failing
        if is_failing and not os.fstat(self._fd).st_size:
            self._last_line = WHOLE  # another program has truncated it
        rest = memoryview(self._last_line.prefix + data)
        try:
            while rest:
                written = self._write(self._fd, rest)
                self._size += written
                self._last_line = self._last_line.written(rest[:written])
                rest = rest[written:]
        except OSError as error:
            self._last_line = self._last_line.lost()
            if self._drops is None:
                self._drops = DropCounter(self.path, self._tell)
            self._drops.lost(min(len(rest), len(data)), reason(error))
            return
        if self._drops is not None:
            self._drops.recovered()
        if self._rotation.due(self._size):
            self._rotate_if_full()

    def reopen(self) -> None:
        """Open the file by name again. Raises OSError; then the open one stays in use, and each
        write tries again."""
        self._stale = True
        self._rotated = self._rotations.count(self.path)
        fresh = self._creation.open(self.path)
        status = os.fstat(fresh)
        if not stat.S_ISREG(status.st_mode):
            os.close(fresh)
            raise OSError(errno.EINVAL, "Not a regular file any more", self.path)
        os.close(self._fd)
        self._fd = fresh
        self._size = status.st_size
        self._stale = False
        if not self._size:
            self._last_line = WHOLE

    def clear(self) -> None:
        """Empty the file, under its name also if that was deleted. Raises OSError."""
        self.reopen()
        os.ftruncate(self._fd, 0)
        self._size = 0
        self._last_line = WHOLE

    def close(self) -> None:
        if self._drops is not None:
            self._drops.closed()
        os.close(self._fd)

    def _tell(self, severity: Severity, text: str) -> None:
        """Report what is wrong."""
        if self._reports is None:
            self._report(severity, text)
        else:
            self._reports.add(self._report, severity, text)

    def _rotate_if_full(self) -> None:
        try:
            self._size = os.fstat(self._fd).st_size  # another program may have truncated it
            if self._rotation.due(self._size):
                self._rotate()
        except OSError as error:
            if not self._rotation_failed:
                self._rotation_failed = True  # first: the report may come back to this very file
                self._tell(
                    Severity.ERROR,
                    f"cannot rotate log {self.path}: {reason(error)}; it grows until that works",
                )
        else:
            self._rotation_failed = False

    def _rotate(self) -> None:
        """Shift the backups and begin a new file. Raises OSError; then the old one stays open."""
        if self._rotation.backups <= 0:
            self.clear()
            return
        with self._rotations.shifting(self.path):
            # With another file of that name, or none (deleted or renamed by another program, or
            # shifted by another log or by a rotation that then failed), there is nothing to shift:
            # backups would be pushed out for nothing.
            if self._has_its_name():
                with entry(self.path, follow=False) as found:
                    self._rotation.shift(found)
                self._rotations.rotated(self.path)
            self.reopen()
        if self._compressor is not None:
            self._compressor.submit(self.path, self._tell)

    def _has_its_name(self) -> bool:
        """Whether the open file is still found by its name. Raises OSError."""
        if not is_regular(self.path):
            return False
        return os.path.samestat(os.stat(self.path), os.fstat(self._fd))


def clear_log(path: str) -> None:
    """Empty a log that is not open. A missing file is no error; special files are left alone.

    Raises OSError.
    """
    if not is_regular(path):
        return
    fd = open_file(path, os.O_WRONLY)
    try:
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def is_regular(path: str) -> bool:
    """Whether a log is a regular file of its own, which can be rotated, cleared and read."""
    try:
        return own_descriptor(path) is None and stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def own_descriptor(path: str) -> int | None:
    """Return the descriptor of the daemon that a path means, also by way of links, or None.

    Links of other users lead to our standard descriptors only: the others are logs of theirs that
    the user may not write, connections, and sockets.
    """
    trusted = True
    for _ in range(_MOST_LINKS):
        match = _OWN_DESCRIPTOR.fullmatch(path)
        if match is not None and match[2] in (None, "self", str(os.getpid())):
            number = _STANDARD[match[1]] if match[1] else int(match[3])
            return number if trusted or number in _STANDARD.values() else None
        try:
            if not stat.S_ISLNK(os.lstat(path).st_mode):  # nearly always
                return None
            link = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            trusted = trusted and os.fstat(link).st_uid in (ROOT, os.geteuid())
            target = os.readlink("", dir_fd=link)
        except OSError:  # not a link
            return None
        finally:
            os.close(link)
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return None
