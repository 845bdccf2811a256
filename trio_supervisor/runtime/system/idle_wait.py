"""Serves descriptors while trio has nothing else to do, without a turn of its event loop for each.

Theory of operation
-------------------
A task that waits for a descriptor costs trio about 25 us each time: the descriptor is registered,
the task is scheduled and resumed. For two programs that answer each other all the time that is more
than the rest. So when no task is runnable and trio is about to wait, ``IdleWait`` waits first, for
its own descriptor and for all that trio would wait for (other descriptors, threads, signals, the
next deadline), and serves its own as long as nothing else happens.

* Nothing is held up. The wait ends when something of trio's happens, and when a task has become
  runnable by what was served. ``MOST_SERVED`` limits the work if both are always ready.
* Trio's own wait for the same descriptor goes on meanwhile. So nothing is missed if this wait does
  not take place, or if there are several in one event loop.
* It begins after something was served, and ends when something else happens, so that other events
  cost no more than before.
* What is served runs outside of all tasks, as functions do that are given to ``run_sync_soon``.

How trio waits is not part of its interface. If that is not found, and in guest mode, where another
thread waits, trio waits alone.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

#: Readable descriptors that are served before trio looks at its own.
MOST_SERVED = 64


class IdleWait(trio.abc.Instrument):
    """Serves a descriptor in the waits of the present event loop, from ``expect`` to ``close``.

    ``serve`` is called when ``fd`` is readable, and returns how much it has served. It must neither
    block nor raise.
    """

    def __init__(self, fd: int, serve: Callable[[], int]) -> None:
        self._expecting = False
        """Whether more is expected to come soon."""
        self._serve = serve
        self._token = trio.lowlevel.current_trio_token()
        self._ready = select.poll()
        self._ready.register(fd, select.POLLIN)
        self._runnable: deque[trio.lowlevel.Task] | None = None
        """The tasks that trio is to resume; None if it waits alone."""
        with suppress(ImportError, AttributeError):  # another version of trio
            from trio._core._run import GLOBAL_RUN_CONTEXT

            runner = GLOBAL_RUN_CONTEXT.runner
            if not runner.is_guest:
                self._ready.register(runner.io_manager._epoll, select.POLLIN)
                self._runnable = runner.runq

    @property
    def is_possible(self) -> bool:
        """Whether it is known what trio waits for."""
        return self._runnable is not None

    def expect(self) -> None:
        """Serve what comes soon, after something was served."""
        if self.is_possible:
            self._expecting = True
            trio.lowlevel.add_instrument(self)  # unless it was added before

    def close(self) -> None:
        """Serve nothing more, before the descriptor is closed."""
        with suppress(KeyError):
            trio.lowlevel.remove_instrument(self)

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio, which waits so long for its descriptors then; 0 if a task is runnable."""
        if timeout <= 0 or not self._expecting:
            return
        until = time.monotonic() + timeout
        served = 0
        while timeout > 0 and served < MOST_SERVED and not self._runnable:
            self._ready.poll(timeout * 1000)
            count = self._serve()
            if not count:
                self._expecting = False
                break
            served += count
            timeout = until - time.monotonic()
        self._token.run_sync_soon(_return)


def _return() -> None:
    """Let trio wait no more: how long it meant to wait is out of date."""
