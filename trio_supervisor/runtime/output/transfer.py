"""Moves the output of a flood from its pipe to its log in the disk worker's thread.

Theory of operation
-------------------
In a flood the event loop would read 128 KiB, hand it to the disk worker's thread, be woken for the
next, and compete with that thread for the interpreter lock all the time. If only the log needs the
bytes, the thread waits for the pipe and reads it as well (``FileSink.write_from``), and the event
loop only looks at times how the transfer goes on.

* Each read with its write is a job in the queue of the log file. So all files take turns as usual,
  a disk that hangs holds up its own file only, and what others put into the queue comes in between.
* ``lock`` is held while the pipe is read, which takes microseconds, and never while the disk is
  waited for. After ``stop`` nothing is read any more: the pipe may be read by others and closed,
  and what they put into the queue is written behind what the transfer has read.
* A small read ends it too: lines are not read one by one, and the event loop knows how to wait for
  more of them.
* What the channel knows of its output (its amount, its end, its times) is changed in the event loop
  only: ``account`` passes on what was moved since the last call.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.logs.worker import wake
from trio_supervisor.runtime.output.pipe import CHUNK, SMALL, enlarge, read_available
from trio_supervisor.runtime.output.tail_buffer import TailBuffer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from trio_supervisor.runtime.logs.filesink import FileSink
    from trio_supervisor.runtime.output.time_index import TimeIndex


#: Most bytes of one read: the kernel needs less time for a byte in a large write. Reads are smaller
#: only where the log would exceed its ``maxbytes`` by more than CHUNK.
PIECE = 512 * 1024


class Transfer:
    """Moves output from a pipe to a log, from ``start`` to the end of a ``with`` block.

    ``tail`` and ``time_index`` are those of the channel, which ``account`` changes.
    """

    __slots__ = (
        "_ended",
        "_moved",
        "_sink",
        "_tail",
        "_time_index",
        "_token",
        "fd",
        "has_ended",
        "is_over",
        "lock",
    )

    def __init__(self, fd: int, sink: FileSink, tail: TailBuffer, time_index: TimeIndex) -> None:
        self.fd = fd
        self.lock: AbstractContextManager[object] = threading.Lock()
        self.is_over = False
        """Whether nothing more is read. Guarded by ``lock``."""
        self.has_ended = False
        """Whether the end of the pipe was read."""
        self._sink = sink
        self._tail = tail
        self._time_index = time_index
        self._moved = TailBuffer()
        """What was moved since the last account. Guarded by ``lock``."""
        self._token = trio.lowlevel.current_trio_token()
        self._ended = trio.Event()

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: object) -> None:
        self.stop()
        self.account()

    def start(self) -> None:
        """Raises OSError; then nothing was started."""
        enlarge(self.fd, PIECE)
        self._sink.write_from(self)

    def stop(self) -> None:
        """Read nothing more."""
        with self.lock:
            if not self.is_over:
                self.is_over = True
                self._sink.forget(self)
        self._ended.set()

    async def ended(self) -> None:
        """Return when nothing more is read."""
        await self._ended.wait()

    def account(self) -> int:
        """Add what was moved since the last call to what the channel knows; return its size."""
        with self.lock:
            moved, self._moved = self._moved, TailBuffer()
        if moved.count:
            self._time_index.note(trio.current_time(), self._tail.count)
            self._tail.add(moved)
        return moved.count

    def read(self, room: int) -> bytes:
        """Return the next bytes; called in the worker's thread, with the lock."""
        data = None if self.is_over else read_available(self.fd, min(PIECE, max(CHUNK, room)))
        if data is None:
            return b""
        self._moved.feed(data)
        if len(data) < SMALL:
            self.has_ended = not data
            self.give_up()
        return data

    def give_up(self) -> None:
        """Be over without ``stop``; called in the worker's thread, with the lock."""
        self.is_over = True
        self._sink.forget(self)
        wake(self._token, self._ended)
