"""A log in a regular file as a sink: what is written waits for the clerk, in order.

Callers wait for a disk but for a moment where they rely on the outcome, and longer only in the task
of the process that is concerned.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from trio_supervisor.runtime.logs.drops import Losses, Seam
from trio_supervisor.runtime.logs.reports import Notices
from trio_supervisor.runtime.logs.writer import QUEUE_LIMIT, ROOM, wake

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.logs.logfile import LogFile
    from trio_supervisor.runtime.logs.worker import DiskWorker, Work

#: Seconds a caller waits for a disk. Usual are 0.0001; a busy machine may take this long.
PATIENCE = 0.1
#: The same while some disk is known to hang, or where waiting can go on in one task: a thousand
#: logs must not be a hundred seconds.
HURRY = 0.005
#: Seconds the task of one process waits for a log to be opened, without which there is no child,
#: and for its last output to be written before its end is recorded (P-208). Nobody else waits.
DISK_PATIENCE = 2


T = TypeVar("T")
Waiter = tuple[trio.lowlevel.TrioToken, trio.Event]


class Job(Generic[T]):
    """Something to do with the file ``path`` in the clerk's thread, which may raise OSError.

    ``undo`` takes back what came of it too late.
    """

    def __init__(self, action: Callable[[str], T], path: str, undo: Callable[[T], object]) -> None:
        self._action = action
        self._path = path
        self._undo = undo
        self._lock = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._given_up = False
        self._results: list[T] = []
        self._error = _unanswered(path)
        self._waiter: Waiter | None = None

    def wait(self, clerk: DiskWorker) -> T:
        """What came of it. Raises OSError, also if the disk does not answer."""
        self._begin(clerk, PATIENCE)
        return self._result()

    async def outcome(self, clerk: DiskWorker) -> T:
        """The same; if it takes more than a moment only the calling task waits."""
        if not self._begin(clerk, HURRY):
            event = trio.Event()
            with self._lock:
                self._waiter = trio.lowlevel.current_trio_token(), event
                if self._done.acquire(blocking=False):
                    event.set()
            try:
                with trio.move_on_after(DISK_PATIENCE):
                    await event.wait()
            except trio.Cancelled:
                with suppress(OSError):
                    self._undo(self._result())
                raise
        return self._result()

    def _begin(self, clerk: DiskWorker, patience: float) -> bool:
        """Whether it is done already."""
        clerk.submit(self._work)
        done = self._done.acquire(timeout=patience)
        if not done:
            clerk.relieve(patience)
        return done

    def _result(self) -> T:
        with self._lock:
            self._given_up = True
            if not self._results:
                raise self._error
            return self._results[0]

    def _work(self) -> None:
        try:
            result = self._action(self._path)
        except OSError as error:
            self._error = error
        else:
            with self._lock:
                if self._given_up:
                    self._undo(result)
                else:
                    self._results.append(result)
        with self._lock:
            self._done.release()
            if self._waiter is not None:
                wake(*self._waiter)


class FileSink:
    """``make`` makes the log file; it is told where to report, from the clerk's thread."""

    broken = False

    def __init__(
        self,
        make: Callable[[Callable[[Severity, str], None]], LogFile],
        clerk: DiskWorker,
        report: Callable[[Severity, str], None],
    ) -> None:
        self.backlog = 0
        self._clerk = clerk
        self._notices = Notices(report)
        self._file = make(self._notices.add)
        self._losses = Losses(self._file.path, report)
        self._seam = Seam()
        self._lock = threading.Lock()
        self._queue: deque[bytes | Work] = deque()
        self._busy = False
        self._late = False
        """Was waited for in vain; not waited for again before it has caught up."""
        self._idle = threading.Lock()
        self._waiting: list[Waiter] = []
        self._waiting_for_all: list[Waiter] = []

    def write(self, data: bytes) -> None:
        if self.backlog + len(data) > QUEUE_LIMIT:
            self._seam.lost()
            self._losses.lost(len(data), "its disk is too slow")
        else:
            joined = self._seam.lead + data
            self._put(joined, len(joined))
            self._seam.written(joined)
            self._losses.recovered()
        self._notices.pass_on()

    def flush(self) -> None:
        """Wait a moment until all is written."""
        self._wait(HURRY if self._clerk.hangs else PATIENCE)

    async def room(self) -> None:
        event = trio.Event()
        with self._lock:
            if self.backlog <= ROOM:
                event.set()
            else:
                self._waiting.append((trio.lowlevel.current_trio_token(), event))
        await event.wait()

    async def settled(self) -> None:
        event = trio.Event()
        with self._lock:
            if not self._busy:
                return
            self._waiting_for_all.append((trio.lowlevel.current_trio_token(), event))
        with trio.move_on_after(DISK_PATIENCE):
            await event.wait()

    def reopen(self) -> None:
        self._do(self._file.reopen)

    def clear(self) -> None:
        self._do(self._file.clear)
        self._seam.restart()

    def close(self) -> None:
        self._put(self._file.close, 0)
        self._wait(HURRY)  # whoever relies on it has ``settled``

    def _wait(self, patience: float) -> None:
        with self._lock:
            wait = self._busy and not self._late
            idle = self._idle
        if wait:
            if idle.acquire(timeout=patience):
                idle.release()
            else:
                self._late = True
                self._clerk.relieve(patience)
        self._notices.pass_on()

    def _do(self, action: Work) -> None:
        """Raises OSError; ETIMEDOUT: the disk does not answer, and it is done when it does."""
        outcome: list[OSError | None] = []
        self._put(partial(_attempt, action, outcome), 0)
        self.flush()
        if not outcome:
            raise _unanswered(self._file.path)
        if outcome[0] is not None:
            raise outcome[0]

    def _put(self, item: bytes | Work, size: int) -> None:
        with self._lock:
            self._queue.append(item)
            self.backlog += size
            if self._busy:
                return
            self._busy = True
            self._late = False
            self._idle = threading.Lock()
            self._idle.acquire()
        self._clerk.submit(self._work)

    def _work(self) -> None:
        """One item, in the clerk's thread: others have their turn after each."""
        item = self._queue[0]
        if isinstance(item, bytes):
            self._file.write(item)
        else:
            item()
        with self._lock:
            self._queue.popleft()
            self.backlog -= len(item) if isinstance(item, bytes) else 0
            if self.backlog <= ROOM:
                _wake_all(self._waiting)
            if not self._queue:
                self._busy = False
                self._idle.release()
                _wake_all(self._waiting_for_all)
                return
        self._clerk.submit(self._work)


def _wake_all(waiting: list[Waiter]) -> None:
    for waiter in waiting:
        wake(*waiter)
    waiting.clear()


def _attempt(action: Work, outcome: list[OSError | None]) -> None:
    try:
        action()
    except OSError as error:
        outcome.append(error)
    else:
        outcome.append(None)


def _unanswered(path: str) -> OSError:
    return OSError(errno.ETIMEDOUT, "its disk does not answer", path)
