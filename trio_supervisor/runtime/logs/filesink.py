"""Sink for a log in a regular file: writes are queued, in order, for the disk worker.

``worker.py`` explains how the two work together. The event loop blocks for a disk only briefly, and
only in ``DiskCall``, whose caller relies on the outcome.
"""

from __future__ import annotations

import errno
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from trio_supervisor.runtime.logs.drops import WHOLE, DropCounter
from trio_supervisor.runtime.logs.worker import wake
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT, QUEUE_LIMIT, ROOM

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.logs.growth import LogWrites
    from trio_supervisor.runtime.logs.logfile import LogFile
    from trio_supervisor.runtime.logs.reports import ReportQueue
    from trio_supervisor.runtime.logs.worker import DiskWorker, Job

#: Seconds that the event loop blocks for a disk at most. A call takes about 0.0001 s; on a busy
#: machine it can take this long.
BLOCK_TIMEOUT = 0.1
#: The same if the calling task can continue to wait without blocking the event loop, unless a disk
#: is known to hang: a thousand logs on it must not block the event loop for seconds.
SHORT_BLOCK_TIMEOUT = 0.005
#: Seconds that the start of the daemon waits for its own log: nothing runs yet that could be held
#: up, and at the boot of a busy machine an open may take long.
START_TIMEOUT = 10
#: Seconds that a task waits, without blocking the event loop, until a log is opened for a new
#: child, cleared or reopened, or until the last output is written before the exit is recorded.
TASK_TIMEOUT = 2


T = TypeVar("T")


class DiskCall(Generic[T]):
    """A call of ``action(path)`` in the disk worker's thread, which may raise OSError.

    ``undo`` is called with a result that arrives after the caller has given up.
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

    def wait(self, timeout: float = BLOCK_TIMEOUT) -> T:
        """Return the result, after at most some seconds.

        Raises OSError; ETIMEDOUT: the disk does not answer.
        """
        self._begin(timeout)
        return self._result()

    async def outcome(self) -> T:
        """Like ``wait``, but after a short time only the calling task waits, not the event loop."""
        if not self._begin(0 if self._worker.hangs else SHORT_BLOCK_TIMEOUT):
            event = trio.Event()
            with self._worker.lock:
                self._waiter = trio.lowlevel.current_trio_token(), event
                if self._done:
                    event.set()
            try:
                with trio.move_on_after(TASK_TIMEOUT):
                    await event.wait()
            except trio.Cancelled:
                with suppress(OSError):
                    self._undo(self._result())
                raise
        return self._result()

    def _begin(self, timeout: float) -> bool:
        """Submit the call, block for ``timeout`` seconds at most, and return whether it is done."""
        self._worker.submit(self._run)
        return self._worker.wait(lambda: self._done, timeout)

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


class Source(Protocol):
    """A pipe from which a sink fetches bytes in the worker's thread."""

    fd: int
    lock: AbstractContextManager[object]
    """Held while it is read. Nobody takes it who holds the worker's lock."""
    is_over: bool
    """Whether no more bytes come from it. Guarded by its lock."""

    def read(self, room: int) -> bytes:
        """Return the next bytes, without waiting; none if there are none now.

        ``room`` is how many the file takes before it is rotated.
        """

    def give_up(self) -> None:
        """Be over: nothing waits for the pipe any more. Called with the lock."""


class FileSink:
    """Sink for one regular file.

    ``writes`` is notified of every write, so that followers of the file wake. ``report`` is told
    what is wrong, and ``reports`` hold what ``file`` reports in the worker's thread.
    """

    __slots__ = (
        "_drops",
        "_file",
        "_last_line",
        "_queue",
        "_report",
        "_reports",
        "_successor",
        "_waiting",
        "_worker",
        "_writes",
        "backlog",
    )

    broken = False

    def __init__(
        self,
        file: LogFile,
        worker: DiskWorker,
        writes: LogWrites,
        report: Callable[[Severity, str], None],
        reports: ReportQueue,
    ) -> None:
        self.backlog = 0
        self._worker = worker
        self._writes = writes
        self._report = report
        self._reports = reports
        self._file = file
        self._drops: DropCounter | None = None
        """None before the first failure, like that of the file."""
        self._last_line = WHOLE
        self._queue: deque[bytes | Job] | None = None
        """Pending writes and jobs; None while the sink is idle, to save memory."""
        self._successor: FileSink | None = None
        """A sink of the same file that begins when this one has written everything."""
        self._waiting: list[tuple[int, trio.lowlevel.TrioToken, trio.Event]] | None = None
        """Waiting tasks, each with the backlog in bytes that wakes it."""
        writes.opened(file.path)

    def write(self, data: bytes) -> None:
        # What a format makes of one read may be more than the limit, and nothing was wrong before.
        if self.backlog > BACKLOG_LIMIT and self.backlog + len(data) > QUEUE_LIMIT:
            self._last_line = self._last_line.lost()
            if self._drops is None:
                self._drops = DropCounter(self._file.path, self._report)
            self._drops.lost(len(data), "its disk is too slow")
        else:
            joined = self._last_line.prefix + data
            self._put(joined, len(joined))
            self._last_line = self._last_line.written(joined)
            if self._drops is not None:
                self._drops.recovered()
        self._reports.pass_on()

    def write_from(self, source: Source) -> None:
        """Write what comes from a source until it is over, in turns with other files.

        Raises OSError.
        """
        move: Job = partial(self._move, source)
        self._worker.when_readable(source.fd, partial(self._put, move, 0))

    def forget(self, source: Source) -> None:
        """Wait for a source no more. It is over, and its lock is held."""
        self._worker.forget(source.fd)

    async def room(self) -> None:
        await self._wait_for(ROOM)

    async def settled(self) -> None:
        if self.backlog:
            with trio.move_on_after(TASK_TIMEOUT):
                await self._wait_for(0)

    def follow(self, earlier: FileSink) -> None:
        """Write after all that an earlier sink of the same file has yet to write.

        That was the log of the child before, and its disk is slow. To be called before the first
        write.
        """
        with self._worker.lock:
            if earlier._queue is not None:
                self._queue = deque()
                self._worker.submitters.add(self)
                earlier._successor = self

    async def reopen(self) -> None:
        await self._do(self._file.reopen)

    async def clear(self) -> None:
        await self._do(self._file.clear)
        self._last_line = WHOLE

    @property
    def path(self) -> str:
        return self._file.path

    def close(self) -> None:
        with self._worker.lock:
            has_queue = self._queue is not None
            if self._queue is not None:
                self._queue.append(self._file.close)
        if not has_queue:  # nearly always, and many programs often end at once
            self._worker.submit(self._file.close, urgent=False)
        if self._drops is not None:
            self._drops.closed()
        self._writes.closed(self._file.path)
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

    async def _do(self, action: Job) -> None:
        """Do the action in the worker's thread, after what is queued. Raises OSError.

        ETIMEDOUT means that the disk does not answer; the action is done when it does.
        """
        outcome: list[OSError | None] = []
        token, done = trio.lowlevel.current_trio_token(), trio.Event()

        def attempt() -> None:
            try:
                action()
            except OSError as error:
                outcome.append(error)
            else:
                outcome.append(None)
            wake(token, done)

        self._put(attempt, 0)
        with trio.move_on_after(TASK_TIMEOUT):
            await done.wait()
        self._reports.pass_on()
        if not outcome:
            raise _unanswered(self._file.path)
        if outcome[0] is not None:
            raise outcome[0]

    def _move(self, source: Source) -> None:
        """Write the next bytes of a source, in the worker's thread, and wait for more."""
        with source.lock:
            data = source.read(self._file.room)
            with self._worker.lock:
                self.backlog += len(data)
        if data:
            self._file.write(data)
            self._last_line = self._last_line.written(data)
            with self._worker.lock:
                self.backlog -= len(data)
        with source.lock:
            if not source.is_over:
                try:
                    self.write_from(source)
                except OSError:  # neither this thread nor another waits for it any more
                    source.give_up()

    def _put(self, item: bytes | Job, size: int) -> None:
        with self._worker.lock:
            self.backlog += size
            if self._queue is not None:
                self._queue.append(item)
                return
            self._queue = deque((item,))
            self._worker.submitters.add(self)
        self._worker.submit(self._work)

    def _work(self) -> None:
        """Do one write or job in the worker's thread and queue the next, so that files take turns.

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
            following = self if queue else self._end()
            if self._waiting:
                self._wake()
        if following is not None:
            self._worker.submit(following._work)

    def _end(self) -> FileSink | None:
        """Become idle; return the successor if it has something to write. Needs the lock."""
        self._queue = None
        self._worker.submitters.discard(self)
        self._worker.notify()
        successor, self._successor = self._successor, None
        return successor if successor is None or successor._queue else successor._end()

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


def _unanswered(path: str) -> OSError:
    return OSError(errno.ETIMEDOUT, "its disk does not answer", path)
