"""Readers of pipes: the strategy that decides when the output of a channel is fetched.

A channel is given its reader: the prompt one here, or that which gathers the output of programs
(``gathering.py``). The pipes of all event listeners are read in one task
(``runtime/events/listener_reader.py``).
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most bytes taken from a pipe by one read; also how far a log may exceed its ``maxbytes``.
CHUNK = 128 * 1024
#: Reads of one pipe before other tasks get their turn.
READS_PER_TURN = 4
#: A pipe that filled a whole default pipe buffer is enlarged to this, for fewer and larger reads.
#: Never by default, because an unprivileged user may have only 1024 large pipes.
HOT_PIPE_SIZE = 256 * 1024
DEFAULT_PIPE_SIZE = 64 * 1024


class Intake(Protocol):
    """Receiver of what a reader has read: an output channel."""

    def feed(self, data: bytes) -> None:
        """Process output of the child. Never raises."""

    def pipe_ended(self, fd: int) -> None:
        """Take note that the pipe has been read to its end."""

    @property
    def backlogged(self) -> bool:
        """Whether a log target is too slow for more output."""

    async def room(self) -> None:
        """Return when no log target is too slow."""


class Reader(Protocol):
    """How the pipe of a channel is read. The same object reads the pipes of all its children."""

    async def drain(self, fd: int, intake: Intake) -> None:
        """Read as output arrives, and return at the end of the pipe."""

    def take(self, data: bytes, intake: Intake) -> None:
        """Pass on bytes that were read for this reader, when the child was dead already."""

    def finish(self, intake: Intake) -> None:
        """Pass on all that is still held back: no more output comes from this child."""


class PromptReader:
    """Reads each pipe as soon as output arrives: for channels whose output means something."""

    async def drain(self, fd: int, intake: Intake) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            if read_turn(fd, intake) is None:
                intake.pipe_ended(fd)
                return
            if intake.backlogged:
                await intake.room()

    def take(self, data: bytes, intake: Intake) -> None:
        intake.feed(data)

    def finish(self, intake: Intake) -> None:
        """Nothing is held back."""


#: The prompt reader has no state, so all channels share it.
PROMPT = PromptReader()


def read_turn(fd: int, intake: Intake) -> int | None:
    """Read what is in a pipe, but not more than is fair to other tasks.

    Returns the number of bytes, or None at the end of the pipe.
    """
    count = 0
    for _ in range(READS_PER_TURN):
        data = read_available(fd, CHUNK)
        if data == b"":
            return None
        if data is None:
            break
        intake.feed(data)
        count += len(data)
        if intake.backlogged:  # a format may have made many times as much of it
            break
        if len(data) < DEFAULT_PIPE_SIZE:
            break
        if len(data) == DEFAULT_PIPE_SIZE:
            _enlarge(fd)
    return count


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


def _enlarge(fd: int) -> None:
    try:
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < HOT_PIPE_SIZE:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, HOT_PIPE_SIZE)
    except OSError:
        return  # over the user's limit: a small pipe works too
