"""Rotation of log files, and the names of rotated files, for the writer and the readers.

A rotated file gets a number behind its name: ``app.log.1`` is the newest backup. A compressed one
has ``.gz`` behind the number.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.system.opening import DirectoryEntry

#: Up to this number of backups a rotation tries each number. With more it lists the directory: the
#: option has no upper limit, and trying each of a billion numbers would block the disk worker.
MOST_TRIED = 100
_NUMBER = re.compile(r"[1-9][0-9]*")
#: Behind the number of a compressed backup.
PACKED = ".gz"
#: Regular expression for what may follow the name of a log: nothing, or the number of a backup.
ANY_GENERATION = r"(?:\.\d+(?:\.gz)?)?"


def backup_name(name: str, number: int) -> str:
    """Return the name or path of a backup; number 0 is the log itself."""
    return f"{name}.{number}" if number else name


@dataclass(frozen=True, slots=True)
class RotationScheme:
    """Size at which a log is rotated, and number of backups.

    ``maxbytes`` of 0 or less: never. ``backups`` of 0 or less: the file is emptied instead.
    """

    maxbytes: int = 0
    backups: int = 0
    compressed: bool = False
    """Whether backups are compressed."""

    def due(self, size: int) -> bool:
        """Return whether a file of this size, in bytes, is to be rotated."""
        return 0 < self.maxbytes <= size

    def room(self, size: int) -> int:
        """Return how many bytes a file of this size takes before it is to be rotated."""
        return max(0, self.maxbytes - size) if self.maxbytes > 0 else sys.maxsize

    def shift(self, log: DirectoryEntry) -> None:
        """Rename the backups and then the log itself to the next number. Raises OSError.

        Gaps in the numbers move along, and backups beyond the limit are left alone.
        """
        name = log.name
        suffixes = ("", PACKED) if self.compressed else ("",)
        if self.compressed:
            # The last one is replaced, also if only the other kind of file gets its number.
            for suffix in suffixes:
                with suppress(FileNotFoundError):
                    os.unlink(backup_name(name, self.backups) + suffix, dir_fd=log.directory)
        for number in self._to_shift(log):
            for suffix in suffixes:
                with suppress(FileNotFoundError):
                    log.rename(
                        backup_name(name, number) + suffix, backup_name(name, number + 1) + suffix
                    )
        log.rename(name, backup_name(name, 1))

    def _to_shift(self, log: DirectoryEntry) -> Iterable[int]:
        """The numbers of backups that may exist and get another number, the oldest first."""
        if self.backups <= MOST_TRIED:
            return range(self.backups - 1, 0, -1)
        kinds = (plain_backups(log), packed_backups(log) if self.compressed else ())
        found = {number for kind in kinds for number in kind if number < self.backups}
        return sorted(found, reverse=True)


class Rotations:
    """The rotations of all logs of one supervisor, by path.

    Several open logs may have one path: those of programs that share a file, and that of a child
    that has ended but whose disk is slow. Two threads that shift the same backups at once would
    overwrite some of them, and what is written to a file that has become a backup is lost when that
    is compressed. May be used in any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shifting: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._counts: dict[str, int] = {}

    def shifting(self, path: str) -> threading.Lock:
        """Return the lock to hold while the backups of this log get other names."""
        with self._lock:
            return self._shifting[path]

    def count(self, path: str) -> int:
        """Return how often this log was rotated. A log that was opened before has another name."""
        return self._counts.get(path, 0)

    def rotated(self, path: str) -> None:
        """Count a rotation. Needs the lock of this log."""
        self._counts[path] = self.count(path) + 1


def plain_backups(log: DirectoryEntry) -> Iterable[int]:
    """The numbers of all backups of a log that are not compressed. Raises OSError."""
    return _backups(log, "")


def packed_backups(log: DirectoryEntry) -> Iterable[int]:
    """The numbers of all compressed backups of a log. Raises OSError."""
    return _backups(log, PACKED)


def _backups(log: DirectoryEntry, suffix: str) -> Iterable[int]:
    prefix = f"{log.name}."
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=log.directory)
    try:
        names = os.listdir(fd)
    finally:
        os.close(fd)
    for name in names:
        if name.startswith(prefix) and name.endswith(suffix):
            number = name[len(prefix) : len(name) - len(suffix)]
            if _NUMBER.fullmatch(number):
                yield int(number)
