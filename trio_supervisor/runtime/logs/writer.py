"""A thread that writes to a target which may block: a pipe, a terminal, a FIFO, syslog.

The descriptor is often shared with others (our own stdout), so it cannot be made non-blocking; a
thread is what keeps a reader that sleeps from stopping the event loop.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.drops import WHOLE, DropCounter, reason
from trio_supervisor.runtime.logs.reports import ReportQueue
from trio_supervisor.runtime.logs.worker import wake
from trio_supervisor.runtime.system.threads import NoThread, start

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that may wait for the target; callers hold back or drop beyond it.
BACKLOG_LIMIT = 1024 * 1024
#: ``room`` returns at this backlog: low enough that a reader is not stopped for every chunk.
ROOM = BACKLOG_LIMIT // 2
#: Limit also for callers that hold back: what children leave in their pipes when they die is read
#: in any case, and a target that is stuck for days must not take all memory.
QUEUE_LIMIT = 8 * BACKLOG_LIMIT

#: Seconds without progress after which a target counts as hanging.
HANGING = 2.0


class Device(Protocol):
    """Target of a writer, used in its thread."""

    def write(self, data: memoryview) -> int:
        """Write some of the data, waiting as long as it takes; how much. Raises OSError."""

    def close(self) -> None: ...


class Descriptor:
    """A file descriptor to write to; owns it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._last_line = WHOLE

    def write(self, data: memoryview) -> int:
        try:
            if prefix := self._last_line.prefix:
                self._last_line = self._last_line.written(prefix[: self._write(prefix)])
            written = self._write(data)
        except OSError as error:
            if error.errno != errno.EPIPE:  # the next reader of a FIFO begins with a line anyway
                self._last_line = self._last_line.lost()
            raise
        self._last_line = self._last_line.written(data[:written])
        return written

    def _write(self, data: bytes | memoryview) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # another process that shares it made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()

    def close(self) -> None:
        os.close(self._fd)


class Writer:
    """Writes in order for all users of a target; ends when the last user has released it.

    ``report`` is called in the thread of the users only. Making one raises NoThread; ``target`` is
    closed then.
    """

    def __init__(
        self, name: str, target: Device, *, report: Callable[[Severity, str], None]
    ) -> None:
        self.backlog = 0
        self.broken = False
        """True after EPIPE. Writing goes on, because a FIFO can be reopened by a new reader."""
        self.name = name
        self._target = target
        self._reports = ReportQueue()
        self._report = partial(self._reports.add, report)
        self._drops = DropCounter(name, self._report)
        self._queue: deque[bytes] = deque()
        self._users = 1
        self._ended = False
        self._left = False
        """Whether it was reported that some of what waits is not written before the end."""
        self._moved = 0.0
        """When the target last took something, or was first given something; monotonic."""
        self._waiting: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = []
        self._changed = threading.Condition()
        # A daemon thread: a stuck target must not hold up our exit.
        self._thread = threading.Thread(target=self._run, name=f"log writer: {name}", daemon=True)
        try:
            start(self._thread)
        except NoThread:
            target.close()
            raise

    @property
    def hangs(self) -> bool:
        """Whether bytes wait, and the target has taken none for a while."""
        with self._changed:
            return bool(self.backlog) and time.monotonic() - self._moved > HANGING

    def writes_to(self, target: Device) -> bool:
        return self._target is target

    def retain(self) -> bool:
        """Become one more user; False if the writer has ended."""
        with self._changed:
            self._users += not self._ended
            return not self._ended

    def release(self) -> None:
        """Release one use; what is queued is still written."""
        with self._changed:
            self._users -= 1
            self._changed.notify_all()
        self._reports.pass_on()

    def put(self, data: bytes, lead: bytes = b"") -> bool:
        """Queue bytes, with ``lead`` in front of them; return False if they had to be dropped.

        They are written without those of other callers in between.
        """
        with self._changed:
            fits = self.backlog + len(data) <= QUEUE_LIMIT
            if fits:
                if not self.backlog:
                    self._moved = time.monotonic()
                self._queue.append(lead + data)
                self.backlog += len(lead) + len(data)
                self._changed.notify_all()
            else:
                self._drops.lost(len(data), "its reader is too slow")
        self._reports.pass_on()
        return fits

    async def room(self) -> None:
        """Return when little is waiting."""
        event = trio.Event()
        with self._changed:
            if self.backlog <= ROOM:
                event.set()
            else:
                self._waiting.append((trio.lowlevel.current_trio_token(), event))
        await event.wait()

    def settle(self, pause: float, longest: float, began: float) -> None:
        """Wait until all is written and, without users, the writer has ended.

        ``pause`` is the longest time in seconds without progress, ``longest`` that of the whole
        wait, which counts from ``began``. What is left then is reported once.
        """
        with self._changed:
            while self.backlog and (left := self._patience(pause, longest, began)) > 0:
                self._changed.wait(left)
            unused = not self._users
            if self.backlog and not self._left:
                self._left = True
                self._report(
                    Severity.ERROR,
                    f"log {self.name}: {self.backlog} bytes are not written before the end,"
                    " because its reader is too slow",
                )
        if unused:
            self._thread.join(max(0.0, self._patience(pause, longest, began)))
        self._reports.pass_on()

    def _patience(self, pause: float, longest: float, began: float) -> float:
        """Return for how many seconds to go on waiting; 0 or less means no longer."""
        deadline = min(began + longest, max(began, self._moved) + pause)
        return deadline - time.monotonic()

    def _run(self) -> None:
        while (data := self._next()) is not None:
            rest = memoryview(data)
            error: OSError | None = None
            try:
                while rest:
                    rest = rest[self._target.write(rest) :]
            except OSError as caught:
                error = caught
            self._done(len(data), len(rest), error)
        with self._changed:
            self._drops.closed()
        self._target.close()

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or not self._users)
            if self._queue:
                return self._queue.popleft()
            self._ended = True
            return None

    def _done(self, size: int, unwritten: int, error: OSError | None) -> None:
        with self._changed:
            self.backlog -= size
            self._moved = time.monotonic()
            if error is None:
                self._drops.recovered()
            else:
                self._drops.lost(unwritten, reason(error))
            self.broken = error is not None and error.errno == errno.EPIPE
            self._changed.notify_all()
            if self.backlog <= ROOM:
                waiting, self._waiting = self._waiting, []
                for token, event in waiting:
                    wake(token, event)
