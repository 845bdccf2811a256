"""The reader of most channels: it lets output gather in the pipes, for fewer and larger reads.

Theory of operation
-------------------
To wait for a pipe, to be woken and to wake the disk worker cost many times what it costs to read a
line. How a pipe is read therefore depends on how much comes:

* **Quiet.** A task waits until the pipe is readable, and reads at once.
* **Busy.** Output came twice within ``GATHER`` seconds. The pipe is read on the *beat*: one of
  their tasks, with one timer, reads all busy pipes one after another, without waiting for any of
  them, and wakes the disk worker once for all of it. After a beat without output the pipe is quiet
  again.
* **Flooded.** A read fetched as much as a default pipe holds. If only a log file needs the bytes,
  the disk worker's thread moves them there without the event loop (``transfer.py``). Otherwise the
  pipe is enlarged, and the channel's own task reads whenever it is readable, as long as so much
  comes that the child would have to wait for the next beat. If reads are small it pauses for a
  moment in between.

Nothing is held back: what has been read is passed on at once, so a channel may be cancelled at any
time, and the rest is read from the pipe by others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.output.pipe import DEFAULT_PIPE_SIZE, HOT_PIPE_SIZE, SMALL
from trio_supervisor.runtime.output.reader import read_turn
from trio_supervisor.runtime.system.malloc import fix_thresholds

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trio_supervisor.runtime.output.reader import Intake
    from trio_supervisor.runtime.output.transfer import Transfer

#: Seconds between two beats. A wake-up costs more than the bytes it fetches, and 20 ms cannot be
#: seen in a log.
GATHER = 0.02
#: Pipes read in one go on the beat, before other tasks run.
PIPES_PER_TURN = 50
#: Seconds that the task pauses after a small read, in which a child can hardly fill its pipe.
SMALL_PAUSE = 0.001
#: Seconds between two looks at a flood that goes past the event loop. It is over if it had less
#: than HOT_PIPE_SIZE bytes meanwhile.
REVIEW = 0.2


class _Busy:
    """A pipe that is read on the beat."""

    __slots__ = ("count", "fd", "intake", "is_over", "woken")

    def __init__(self, fd: int, intake: Intake) -> None:
        self.fd = fd
        self.intake = intake
        self.is_over = False
        self.woken = trio.Event()
        """Set when this pipe is over, or its task is to give the beat."""
        self.count: int | None = 0
        """What the last read fetched; None means the end of the pipe."""

    def read(self) -> None:
        count = self.count = read_turn(self.fd, self.intake)
        if not count or count >= DEFAULT_PIPE_SIZE or self.intake.backlogged:
            self.is_over = True
            self.woken.set()


class GatheringReader:
    """Reads the pipes of the programs of one supervisor.

    The disk worker is not woken within the context ``batch``, but at its end. It is entered for
    each turn of reads.
    """

    def __init__(self, batch: AbstractContextManager[None]) -> None:
        self._batch = batch
        self._busy: dict[_Busy, None] = {}
        self._has_beat = False
        """Whether some task gives the beat."""

    async def drain(self, fd: int, intake: Intake) -> None:
        last_read = -GATHER
        while True:
            await trio.lowlevel.wait_readable(fd)
            now = trio.current_time()
            if now - last_read < GATHER:
                count = await self._read_on_the_beat(fd, intake)
            else:
                count = self._read(fd, intake)
                last_read = now
            if count is not None and count >= DEFAULT_PIPE_SIZE:
                count = await self._read_flood(fd, intake)
            if count is None:
                intake.pipe_ended(fd)
                return
            if intake.backlogged:
                await intake.room()

    def take(self, data: bytes, intake: Intake) -> None:
        intake.feed(data)

    def finish(self, intake: Intake) -> None:
        """Nothing is held back."""

    def _read(self, fd: int, intake: Intake) -> int | None:
        with self._batch:
            return read_turn(fd, intake)

    async def _read_on_the_beat(self, fd: int, intake: Intake) -> int | None:
        """Return what the last read fetched.

        The task of one of the busy pipes gives the beat for all. When its own pipe is over, it
        leaves that to another.
        """
        pipe = _Busy(fd, intake)
        self._busy[pipe] = None
        try:
            while not pipe.is_over:
                if self._has_beat:
                    await pipe.woken.wait()
                    pipe.woken = trio.Event()  # the beat may be another's again
                else:
                    await self._give_beat(pipe)
        finally:
            self._busy.pop(pipe, None)
        return pipe.count

    async def _give_beat(self, own: _Busy) -> None:
        self._has_beat = True
        try:
            while not own.is_over:
                await trio.sleep(GATHER)
                await self._read_all()
        finally:
            self._has_beat = False
            for pipe in self._busy:
                if pipe is not own and not pipe.is_over:
                    pipe.woken.set()
                    break

    async def _read_all(self) -> None:
        pipes = tuple(self._busy)
        for start in range(0, len(pipes), PIPES_PER_TURN):
            if start:
                await trio.lowlevel.checkpoint()
            with self._batch:
                for pipe in pipes[start : start + PIPES_PER_TURN]:
                    if pipe in self._busy:  # its child may have died meanwhile
                        pipe.read()
                        if pipe.is_over:
                            del self._busy[pipe]

    async def _read_flood(self, fd: int, intake: Intake) -> int | None:
        """Return what the last read fetched."""
        fix_thresholds()
        since, amount, count = trio.current_time(), 0, DEFAULT_PIPE_SIZE
        while True:
            if intake.backlogged:
                await intake.room()
            if count >= DEFAULT_PIPE_SIZE and (transfer := intake.transfer(fd)) is not None:
                read = await _follow(transfer)
                since, amount = trio.current_time(), 0
            else:
                await trio.lowlevel.wait_readable(fd)
                read = self._read(fd, intake)
            if read is None:
                return None
            count = read
            amount += count
            now = trio.current_time()
            if now - since >= GATHER:
                if amount < HOT_PIPE_SIZE:
                    return count
                since, amount = now, 0
            if count < SMALL:
                await trio.sleep(SMALL_PAUSE)


async def _follow(transfer: Transfer) -> int | None:
    """Let a flood go past the event loop until it ebbs; return None at the end of the pipe."""
    with transfer:
        moved = HOT_PIPE_SIZE
        while moved >= HOT_PIPE_SIZE and not transfer.is_over:
            with trio.move_on_after(REVIEW):
                await transfer.ended()
            moved = transfer.account()
    return None if transfer.has_ended else 0
