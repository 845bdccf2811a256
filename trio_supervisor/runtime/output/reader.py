"""Readers of pipes: the strategy that decides when the output of a channel is fetched.

A channel is given its reader: the prompt one here, or that which gathers the output of programs
(``gathering.py``). The pipes of all event listeners are read in one task
(``runtime/events/listener_reader.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.runtime.output.pipe import (
    CHUNK,
    DEFAULT_PIPE_SIZE,
    HOT_PIPE_SIZE,
    enlarge,
    read_available,
)

if TYPE_CHECKING:
    from trio_supervisor.runtime.output.transfer import Transfer

#: Reads of one pipe before other tasks get their turn.
READS_PER_TURN = 4


class Intake(Protocol):
    """Receiver of what a reader has read: an output channel."""

    def feed(self, data: bytes) -> None:
        """Process output of the child. Never raises."""

    def pipe_ended(self, fd: int) -> None:
        """Take note that the pipe has been read to its end."""

    def transfer(self, fd: int) -> Transfer | None:
        """Start what moves output past the event loop; None if that is not possible now."""

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
            enlarge(fd, HOT_PIPE_SIZE)
    return count
