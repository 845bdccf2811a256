"""The daemon's ends of the pipes of children: their sizes, and reads that never wait."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most bytes taken from a pipe by one read; also how far a log may exceed its ``maxbytes``.
CHUNK = 128 * 1024
#: A pipe that filled a whole default pipe buffer is enlarged to this, for fewer and larger reads.
#: Never by default, because an unprivileged user may have only 1024 large pipes.
HOT_PIPE_SIZE = 256 * 1024
DEFAULT_PIPE_SIZE = 64 * 1024
#: A flood of lines is not read line by line: a read of fewer bytes than this is small, and followed
#: by a pause.
SMALL = 8 * 1024


def read_available(fd: int, size: int) -> bytes | None:
    """Read from a non-blocking pipe: None means nothing is there now, ``b""`` end of file."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def read_rest(fd: int) -> Iterator[bytes]:
    """Read exactly what is in the pipe now.

    For the pipe of a dead child: a descendant may hold the other end and write for ever.
    """
    (waiting,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))
    while waiting > 0 and (data := read_available(fd, min(waiting, CHUNK))):
        yield data
        waiting -= len(data)


def enlarge(fd: int, size: int) -> None:
    """Let a pipe hold so many bytes, if the user may have such pipes."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < size:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
    except OSError:
        return  # over the user's limit: a small pipe works too
