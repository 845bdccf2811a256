"""Reads a log and its backups as one sequence of bytes: its end, and positions to come back to.

May wait for the disk, so it is used in threads. The files may be rotated by the daemon or by
another program such as logrotate, also while they are read.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING
from zlib import crc32

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.logs.compression import unpacked_end
from trio_supervisor.runtime.logs.logfile import own_descriptor
from trio_supervisor.runtime.logs.rotation import PACKED, backup_name
from trio_supervisor.runtime.system.opening import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most backups that are read.
MOST_BACKUPS = 100
#: Numbers in a row that may be missing although there are older backups. Each step of a rotation
#: leaves one free for a moment, and the log's own name is free until the new file is there.
MOST_GAPS = 2


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a log that survives renaming of its file and a restart of the daemon.

    ``offset`` may reach beyond the ends of the file ``inode``: into a newer or older one. ``log``
    tells logs apart, since inode numbers are used again.
    """

    log: int
    inode: int
    offset: int

    def __str__(self) -> str:
        return f"{self.log}-{self.inode}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ValueError."""
        log, inode, offset = text.split("-", 2)
        return cls(int(log), int(inode), int(offset))

    def moved(self, count: int) -> Position:
        return replace(self, offset=self.offset + count)


@dataclass(frozen=True, slots=True)
class Tail:
    """The last bytes of a log, and where they begin."""

    data: bytes
    position: Position

    def since(self, start: int) -> Tail:
        """Return it without its first bytes."""
        return Tail(self.data[start:], self.position.moved(start))


def is_log(path: str) -> bool:
    """Return whether a path is a regular file, or was one before the last step of a rotation."""
    if own_descriptor(path) is not None:
        return False
    try:
        with _opened(path) as files:
            next(files)
    except OSError:
        return False
    return True


def read_end(path: str, size: int) -> Tail:
    """Return the last bytes, backups included. Raises OSError."""
    pieces: list[bytes] = []
    with ExitStack() as stack:
        files = _generations(path, stack)
        newest = next(files).fd
        end = position_in(path, newest, os.fstat(newest).st_size)
        pieces.append(_read(newest, max(0, end.offset - size), end.offset))
        left = size - len(pieces[0])
        while left > 0 and (file := next(files, None)) is not None:
            try:
                pieces.append(file.end(left))
            except OSError:  # it is damaged; what is newer can be read
                break
            left -= len(pieces[-1])
    data = b"".join(reversed(pieces))
    return Tail(data, end.moved(-len(data)))


def open_at(path: str, position: Position) -> tuple[int, int] | None:
    """Return the open file that has this position, and the offset in it; None if no file has it.

    Raises OSError if there is no log now.
    """
    if position.log != _number(path):
        return None
    with _opened(path) as opened:
        files = list(opened)
        inodes = [os.fstat(fd).st_ino for fd in files]
        lengths = [os.fstat(fd).st_size for fd in files]
        if position.inode not in inodes:
            return None
        at, offset = inodes.index(position.inode), position.offset
        while offset < 0 and at + 1 < len(files):
            at += 1
            offset += lengths[at]
        while offset > lengths[at] and at > 0:
            offset -= lengths[at]
            at -= 1
        return (os.dup(files[at]), offset) if 0 <= offset <= lengths[at] else None


def open_next(path: str, fd: int) -> int:
    """Open the file that was written after ``fd``, which has another name now or none.

    That is the oldest of the files that are newer. Raises OSError, also if there is none yet.
    """
    own = os.fstat(fd)
    newer: int | None = None
    with _opened(path) as files:
        for file in files:
            status = os.fstat(file)
            older = newer is not None and status.st_mtime_ns < own.st_mtime_ns
            if older or os.path.samestat(status, own):
                break
            newer = file
        if newer is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return os.dup(newer)


def position_in(path: str, fd: int, offset: int) -> Position:
    """Return the position of an offset in one of the files of a log."""
    return Position(_number(path), os.fstat(fd).st_ino, offset)


@dataclass(frozen=True, slots=True)
class Generation:
    """An open file of a log."""

    fd: int
    packed: bool
    """Whether it is compressed: then it has no positions to come back to."""

    def end(self, size: int) -> bytes:
        """Return the last bytes of its content. Raises OSError."""
        if self.packed:
            return unpacked_end(self.fd, size)
        length = os.fstat(self.fd).st_size
        return _read(self.fd, max(0, length - size), length)


@contextmanager
def _opened(path: str) -> Iterator[Iterator[int]]:
    """The plain files of a log, newest first, opened as they are asked for. Raises OSError."""
    with ExitStack() as stack:
        files = _generations(path, stack)
        yield (file.fd for file in takewhile(lambda file: not file.packed, files))


def _generations(path: str, stack: ExitStack) -> Iterator[Generation]:
    last: int | None = None
    missing: list[OSError] = []
    for number in range(MOST_BACKUPS + 1):
        try:
            file = _open_generation(backup_name(path, number))
        except OSError as error:
            missing.append(error)
            if len(missing) > MOST_GAPS or not isinstance(error, FileNotFoundError):
                break
            continue
        missing.clear()
        stack.callback(os.close, file.fd)
        # A rotation just now has moved the file we had to this name.
        if last is None or not os.path.samestat(os.fstat(file.fd), os.fstat(last)):
            last = file.fd
            yield file
    if last is None:
        raise missing[0]


def _open_generation(path: str) -> Generation:
    """Raises OSError. A plain file is complete, and a compressed one beside it may be older."""
    try:
        return Generation(open_regular(path), packed=False)
    except FileNotFoundError:
        return Generation(open_regular(path + PACKED), packed=True)


def _read(fd: int, start: int, end: int) -> bytes:
    pieces = []
    while start < end and (piece := os.pread(fd, end - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _number(path: str) -> int:
    return crc32(os.fsencode(path))
