"""Runs blocking calls in threads, one each, and delivers their results to the thread of a loop."""

from __future__ import annotations

import socket
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


#: Bytes read from the wakeup socket at once.
MANY = 4096


class Background:
    """Runs jobs in threads; their results are delivered by ``deliver``."""

    def __init__(self) -> None:
        self._done: SimpleQueue[tuple[Callable[[Any], None], object]] = SimpleQueue()
        self._wakeup_receiver, self._wakeup_sender = socket.socketpair()
        self._wakeup_receiver.setblocking(False)
        self._wakeup_sender.setblocking(False)
        self._threads: list[Thread] = []

    def fileno(self) -> int:
        """A descriptor, readable when there are results to deliver or a signal has arrived."""
        return self._wakeup_receiver.fileno()

    @property
    def wakeup_fd(self) -> int:
        """A descriptor that wakes the loop when written to; for ``signal.set_wakeup_fd``."""
        return self._wakeup_sender.fileno()

    def run(
        self, job: Callable[[], object], then: Callable[[Any], None], *, required: bool
    ) -> None:
        """Run ``job`` in a thread; ``deliver`` then calls ``then`` with its result or exception.

        ``finish`` waits for a ``required`` job.
        """
        thread = Thread(target=self._work, args=(job, then), daemon=True)
        if required:
            self._threads.append(thread)
        thread.start()

    def deliver(self) -> None:
        """Call the continuations of the jobs that have finished."""
        with suppress(BlockingIOError):
            while self._wakeup_receiver.recv(MANY):
                pass
        with suppress(Empty):
            while True:
                then, outcome = self._done.get_nowait()
                then(outcome)

    @property
    def busy(self) -> bool:
        """Whether a required job is running."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return bool(self._threads)

    def finish(self) -> None:
        """Wait for all required jobs."""
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Close the wakeup sockets; results of running jobs are discarded."""
        self._wakeup_receiver.close()
        self._wakeup_sender.close()

    def _work(self, job: Callable[[], object], then: Callable[[Any], None]) -> None:
        try:
            outcome = job()
        except Exception as error:  # reported by the continuation
            outcome = error
        self._done.put((then, outcome))
        with suppress(OSError):  # full: a wakeup is pending; closed: the loop has ended
            self._wakeup_sender.send(b".")
