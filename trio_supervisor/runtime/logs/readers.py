"""Reads logs in threads, so that a file on a disk that hangs holds up only its clients.

A thread that reads from such a disk cannot be ended. It keeps one of the few slots of its own file,
and gives up its slot among the readers of all files after a moment.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import trio

from trio_supervisor.core.errors import Failed
from trio_supervisor.runtime.logs.worker import DiskWorker, wake

if TYPE_CHECKING:
    from collections.abc import Callable

    from outcome import Outcome

#: Logs read at the same time; each may hold an answer of some MiB in memory.
READERS = 4
#: Threads that read one file at the same time: its disk never holds more of them.
READERS_OF_FILE = 2
#: Seconds after which a reader is not counted among the READERS any more. Usual are 0.001.
SLOW = 1


class Closable(Protocol):
    def close(self) -> None: ...


Result = TypeVar("Result")
Resource = TypeVar("Resource", bound=Closable)


class Readers:
    """Limits how many logs are read at the same time."""

    def __init__(self) -> None:
        self._slots = trio.Semaphore(READERS)
        self._files: WeakValueDictionary[str, trio.Semaphore] = WeakValueDictionary()

    async def run(
        self,
        read: Callable[..., Result],
        path: str,
        *arguments: object,
        undo: Callable[[Result], object] = id,
    ) -> Result:
        """Call ``read(path, *arguments)`` in a thread.

        If the caller is cancelled the thread is left alone, and ``undo`` gets its late result.
        Raises what ``read`` raises, and Failed if no thread can be started.
        """
        file = self._files.setdefault(path, trio.Semaphore(READERS_OF_FILE))
        await file.acquire()
        reading = _Reading(partial(read, path, *arguments), file, undo)
        try:
            async with self._slots:
                reading.begin()
                with trio.move_on_after(SLOW):
                    await reading.over.wait()
            await reading.over.wait()
        except BaseException:
            reading.abandon()
            raise
        return reading.result()


class _Reading(Generic[Result]):
    """One call in a thread. It releases ``slot`` at its end, which may be long after the task that
    waited for it was cancelled.
    """

    def __init__(
        self,
        work: Callable[[], Result],
        slot: trio.Semaphore,
        undo: Callable[[Result], object],
    ) -> None:
        self.over = trio.Event()
        self._work = work
        self._slot = slot
        self._undo = undo
        self._token = trio.lowlevel.current_trio_token()
        self._outcome: Outcome[Result] | None = None
        self._begun = False
        self._abandoned = False

    def begin(self) -> None:
        """Raises Failed."""
        try:
            trio.lowlevel.start_thread_soon(self._work, self._deliver)
        except RuntimeError as error:
            raise Failed(f"cannot read a log: {error}") from error
        self._begun = True

    def result(self) -> Result:
        assert self._outcome is not None
        return self._outcome.unwrap()

    def abandon(self) -> None:
        """Discard the result when it comes: the task that waited for it was cancelled."""
        self._abandoned = True
        if not self._begun:
            self._slot.release()
        elif self._outcome is not None:
            self._discard(self._outcome)

    def _deliver(self, outcome: Outcome[Result]) -> None:
        """Called in the thread."""
        try:
            self._token.run_sync_soon(self._end, outcome)
        except trio.RunFinishedError:
            self._discard(outcome)

    def _end(self, outcome: Outcome[Result]) -> None:
        self._slot.release()
        self._outcome = outcome
        self.over.set()
        if self._abandoned:
            self._discard(outcome)

    def _discard(self, outcome: Outcome[Result]) -> None:
        with suppress(Exception):
            self._undo(outcome.unwrap())


class _Call(Generic[Result]):
    """One call in a thread, whose outcome comes back to the event loop."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self.over = trio.Event()
        self._work = work
        self._token = trio.lowlevel.current_trio_token()
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Called in the thread."""
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
        wake(self._token, self.over)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]


class InThreads(Generic[Resource]):
    """A resource that is used in threads only, by one at a time, and closed when none uses it."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._used = threading.Lock()
        self._to_close = False
        self._closed = False

    async def use(self, function: Callable[[Resource], Result]) -> Result:
        """Call ``function`` with the resource. A thread that hangs is left alone when the caller
        is cancelled."""
        call = _Call(partial(self._use, function))
        _followers.submit(call.run)
        await call.over.wait()
        return call.result()

    def close(self) -> None:
        """Close the resource, now or at the end of the call that uses it."""
        self._to_close = True
        self._close_unused()

    def _use(self, function: Callable[[Resource], Result]) -> Result:
        try:
            with self._used:
                if self._closed:  # the caller was cancelled before its turn
                    raise ValueError("closed")
                return function(self._resource)
        finally:
            if self._to_close:
                self._close_unused()

    def _close_unused(self) -> None:
        """Of ``close`` and the end of a call, whichever comes last finds the lock free."""
        if self._used.acquire(blocking=False):
            with suppress(OSError):
                if not self._closed:
                    self._closed = True
                    self._resource.close()
            self._used.release()


#: Reads for all followers in one thread; another replaces it while a disk hangs.
_followers = DiskWorker()
readers = Readers()
