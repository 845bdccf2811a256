"""A log in a regular file as a sink: what is written waits for the disk worker, in order.

How the two work together is told in ``worker.py``. The event loop waits for a disk only for a
moment, and only where a caller relies on the outcome: in ``reopen``, ``clear`` and ``DiskCall``.
"""

from __future__ import annotations

import errno
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from trio_supervisor.runtime.logs.drops import CutLine, DropCounter
from trio_supervisor.runtime.logs.reports import ReportQueue
from trio_supervisor.runtime.logs.worker import wake
from trio_supervisor.runtime.logs.writer import QUEUE_LIMIT, ROOM

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.logs.growth import LogWrites
    from trio_supervisor.runtime.logs.logfile import LogFile
    from trio_supervisor.runtime.logs.worker import DiskWorker, Job

#: Seconds the event loop waits for a disk. Usual are 0.0001; a busy machine may take this long.
PATIENCE = 0.1
#: The same while some disk is known to hang, or where the calling task can go on waiting by itself:
#: a thousand logs must not be a hundred seconds.
HURRY = 0.005
#: Seconds the task of one process waits for a log to be opened, without which there is no child,
#: and for its last output to be written before its end is recorded. No other task waits for it.
DISK_PATIENCE = 2


T = TypeVar("T")


class DiskCall(Generic[T]):
    """A call of ``action(path)`` in the disk worker's thread, which may raise OSError.

    ``undo`` takes back a result that comes after the caller has given up.
    """

    def __init__(
        self,
        worker: DiskWorker,
        action: Callable[[str], T],
        path: str,
        undo: Callable[[T], object],
    ) -> None:
        self._worker = worker
        self._action = action
        self._path = path
        self._undo = undo
        self._done = False
        self._given_up = False
        self._results: list[T] = []
        self._error = _unanswered(path)
        self._waiter: tuple[trio.lowlevel.TrioToken, trio.Event] | None = None

    def wait(self) -> T:
        """Return the result. Raises OSError; ETIMEDOUT: the disk does not answer."""
        self._begin(PATIENCE)
        return self._result()

    async def outcome(self) -> T:
        """As ``wait``; if it takes more than a moment only the calling task waits."""
        if not self._begin(HURRY):
            event = trio.Event()
            with self._worker.lock:
                self._waiter = trio.lowlevel.current_trio_token(), event
                if self._done:
                    event.set()
            try:
                with trio.move_on_after(DISK_PATIENCE):
                    await event.wait()
            except trio.Cancelled:
                with suppress(OSError):
                    self._undo(self._result())
                raise
        return self._result()

    def _begin(self, patience: float) -> bool:
        """Return whether it was done at once."""
        self._worker.submit(self._run)
        return self._worker.wait(lambda: self._done, patience)

    def _result(self) -> T:
        with self._worker.lock:
            self._given_up = True
            if not self._results:
                raise self._error
            return self._results[0]

    def _run(self) -> None:
        """Called in the worker's thread."""
        try:
            result = self._action(self._path)
        except OSError as error:
            self._finish([], error)
        else:
            if self._finish([result], self._error):
                self._undo(result)

    def _finish(self, results: list[T], error: OSError) -> bool:
        """Return whether the caller has given up."""
        with self._worker.lock:
            if self._given_up:
                return True
            self._results, self._error, self._done = results, error, True
            self._worker.notify()
            if self._waiter is not None:
                wake(*self._waiter)
            return False


class FileSink:
    """``make`` makes the log file. It is given the function to report with, which may be called in
    the worker's thread. ``writes`` is told of every write.
    """

    __slots__ = (
        "_cut",
        "_drops",
        "_file",
        "_late",
        "_queue",
        "_reports",
        "_waiting",
        "_worker",
        "_writes",
        "backlog",
    )

    broken = False

    def __init__(
        self,
        make: Callable[[Callable[[Severity, str], None]], LogFile],
        worker: DiskWorker,
        writes: LogWrites,
        report: Callable[[Severity, str], None],
    ) -> None:
        self.backlog = 0
        self._worker = worker
        self._writes = writes
        self._reports = ReportQueue(report)
        self._file = make(self._reports.add)
        self._drops = DropCounter(self._file.path, report)
        self._cut = CutLine()
        self._queue: deque[bytes | Job] | None = None
        """What is to be done; None while this sink is idle, to save the memory."""
        self._late = False
        """Whether ``flush`` has waited in vain; it does not again before the queue is empty."""
        self._waiting: list[tuple[int, trio.lowlevel.TrioToken, trio.Event]] | None = None
        """Tasks that wait for the backlog to be so small; -1: for the queue to be empty."""
        writes.opened(self._file.path)

    def write(self, data: bytes) -> None:
        if self.backlog + len(data) > QUEUE_LIMIT:
            self._cut.lost()
            self._drops.lost(len(data), "its disk is too slow")
        else:
            joined = self._cut.lead + data
            self._put(joined, len(joined))
            self._cut.written(joined)
            self._drops.recovered()
        self._reports.pass_on()

    async def room(self) -> None:
        await self._wait_for(ROOM)

    async def settled(self) -> None:
        if self._queue is not None:
            with trio.move_on_after(DISK_PATIENCE):
                await self._wait_for(_IDLE)

    def reopen(self) -> None:
        self._do(self._file.reopen)

    def clear(self) -> None:
        self._do(self._file.clear)
        self._cut.restart()

    def close(self) -> None:
        self._put(self._file.close, 0)
        self._writes.closed(self._file.path)
        self._wait(HURRY)  # callers that rely on it await ``settled``

    def flush(self) -> None:
        """Block a moment until all is written."""
        self._wait(HURRY if self._worker.hangs else PATIENCE)

    def _wait(self, patience: float) -> None:
        if not self._late and not self._worker.wait(lambda: self._queue is None, patience):
            self._late = True
        self._reports.pass_on()

    async def _wait_for(self, backlog: int) -> None:
        event = trio.Event()
        with self._worker.lock:
            if self._queue is None or self.backlog <= backlog:
                event.set()
            else:
                if self._waiting is None:
                    self._waiting = []
                self._waiting.append((backlog, trio.lowlevel.current_trio_token(), event))
        await event.wait()

    def _do(self, action: Job) -> None:
        """Raises OSError; ETIMEDOUT: the disk does not answer, and it is done when it does."""
        outcome: list[OSError | None] = []
        self._put(partial(_attempt, action, outcome), 0)
        self.flush()
        if not outcome:
            raise _unanswered(self._file.path)
        if outcome[0] is not None:
            raise outcome[0]

    def _put(self, item: bytes | Job, size: int) -> None:
        with self._worker.lock:
            self.backlog += size
            if self._queue is not None:
                self._queue.append(item)
                return
            self._queue = deque((item,))
            self._late = False
        self._worker.submit(self._work)

    def _work(self) -> None:
        """Do one thing, in the worker's thread; the next is another job, so that files take turns.

        While the queue is not empty no other thread takes anything out of it.
        """
        queue = self._queue
        assert queue is not None
        item = queue[0]
        if isinstance(item, bytes):
            self._file.write(item)
        else:
            item()
        self._writes.written(self._file.path)
        with self._worker.lock:
            queue.popleft()
            self.backlog -= len(item) if isinstance(item, bytes) else 0
            if not queue:
                self._queue = None
                self._worker.notify()
            if self._waiting:
                self._wake()
            if not queue:
                return
        self._worker.submit(self._work)

    def _wake(self) -> None:
        """Wake the tasks whose condition holds. Needs the lock."""
        assert self._waiting is not None
        still = []
        for waiter in self._waiting:
            backlog, token, event = waiter
            if self._queue is None or self.backlog <= backlog:
                wake(token, event)
            else:
                still.append(waiter)
        self._waiting = still or None


_IDLE = -1


def _attempt(action: Job, outcome: list[OSError | None]) -> None:
    try:
        action()
    except OSError as error:
        outcome.append(error)
    else:
        outcome.append(None)


def _unanswered(path: str) -> OSError:
    return OSError(errno.ETIMEDOUT, "its disk does not answer", path)
