"""Calls that may take long, beside a screen that must go on: one thread each.

Knows neither the daemon nor the screen.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


#: Rings of the bell taken at once.
MANY = 4096


class Background:
    """Runs jobs; what came of them is delivered where the screen is drawn."""

    def __init__(self) -> None:
        self._done: SimpleQueue[tuple[Callable[[Any], None], object]] = SimpleQueue()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._threads: list[Thread] = []

    def fileno(self) -> int:
        """Readable when there is something to deliver, or a signal has come."""
        return self._bell.fileno()

    @property
    def button(self) -> int:
        """Where a byte wakes whoever waits; for ``signal.set_wakeup_fd``."""
        return self._button.fileno()

    def run(self, job: Callable[[], object], then: Callable[[Any], None], *, must: bool) -> None:
        """Start ``job``; ``then`` is given its result, or its exception.

        What ``must`` be done is waited for at the end.
        """
        thread = Thread(target=self._work, args=(job, then), daemon=True)
        if must:
            self._threads.append(thread)
        thread.start()

    def deliver(self) -> None:
        """Hand over all that is done by now."""
        with suppress(BlockingIOError):
            while self._bell.recv(MANY):
                pass
        with suppress(Empty):
            while True:
                then, outcome = self._done.get_nowait()
                then(outcome)

    @property
    def busy(self) -> bool:
        """Whether something goes on that must be done."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return bool(self._threads)

    def finish(self) -> None:
        """Wait for what must be done."""
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """What still goes on is forgotten."""
        self._bell.close()
        self._button.close()

    def _work(self, job: Callable[[], object], then: Callable[[Any], None]) -> None:
        try:
            outcome = job()
        except Exception as error:  # told where the job was asked for
            outcome = error
        self._done.put((then, outcome))
        with suppress(OSError):  # full: it rings already; closed: nobody listens
            self._button.send(b".")
