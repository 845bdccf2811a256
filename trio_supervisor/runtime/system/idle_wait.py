"""Serves descriptors while trio has nothing else to do, without a turn of its event loop for each.

Theory of operation
-------------------
A task that waits for a descriptor costs trio about 25 us each time: the descriptor is registered,
the task is scheduled and resumed. For two programs that answer each other all the time that is more
than the rest. So when no task is runnable and trio is about to wait, ``IdleWait`` waits first, for
its own descriptors and for all that trio would wait for (other descriptors, threads, signals, the
next deadline), and serves its own as long as nothing else happens.

* Nothing is held up. The wait ends when something else of trio's happens, and when a task has
  become runnable by what was served.
* Whenever this wait does not take place, trio waits for the same descriptors. So nothing is missed
  without it, or if there are several in one event loop. During this wait they are taken out of what
  trio waits for: then the kernel reports that only when something else has happened, and each
  answer once.
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
    from collections.abc import Callable

    from trio._core._run import Runner

#: Most descriptors that one system call reports: no more memory than this is allocated for it.
MOST_REPORTED = 64


class IdleWait(trio.abc.Instrument):
    """Serves descriptors in the present event loop, until it is closed.

    ``serve`` is called with each that is readable. It must neither block nor raise.
    """

    def __init__(self, serve: Callable[[int], object]) -> None:
        self._serve = serve
        self._expecting = False
        """Whether more is expected to come soon."""
        self._token = trio.lowlevel.current_trio_token()
        self._own = select.epoll()
        """What trio waits for."""
        self._all = select.epoll()
        """The same descriptors, and ``_trio``."""
        self._trio = -1
        """A descriptor that is readable when trio would not wait any longer."""
        self._runner: Runner | None = None
        """The event loop of trio; None if it waits alone."""
        with suppress(ImportError, AttributeError):  # another version of trio
            from trio._core._run import GLOBAL_RUN_CONTEXT

            runner = GLOBAL_RUN_CONTEXT.runner
            waits = runner.io_manager
            to_rearm = waits._registered, waits._update_registrations
            if not runner.is_guest and None not in to_rearm:
                self._trio = waits._epoll.fileno()
                self._all.register(self._trio, select.EPOLLIN)
                self._runner = runner

    @property
    def is_possible(self) -> bool:
        """Whether it is known what trio waits for."""
        return self._runner is not None

    def register(self, fd: int) -> None:
        """Serve a descriptor, until ``unregister``."""
        self._own.register(fd, select.EPOLLIN)
        self._all.register(fd, select.EPOLLIN)

    def unregister(self, fd: int) -> None:
        """Serve a descriptor no more; before it is closed."""
        self._own.unregister(fd)
        self._all.unregister(fd)

    async def run(self) -> None:
        """Serve without end what trio finds readable, and what comes soon after it."""
        while True:
            await trio.lowlevel.wait_readable(self._own.fileno())
            for fd, _ in self._own.poll(0):
                self._serve(fd)
                self._expecting = True
            if self._expecting and self.is_possible:
                trio.lowlevel.add_instrument(self)  # unless it was added before

    def close(self) -> None:
        """Serve nothing more."""
        with suppress(KeyError):
            trio.lowlevel.remove_instrument(self)
        self._own.close()
        self._all.close()

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio, which waits so long for its descriptors then; 0 if a task is runnable."""
        if timeout <= 0 or not self._expecting or self._runner is None:
            return
        until = time.monotonic() + timeout
        runnable, waits, own = self._runner.runq, self._runner.io_manager, self._own.fileno()
        waits._epoll.modify(own, 0)
        try:
            others = False
            while timeout > 0 and not (others or runnable):
                self._expecting = False
                for fd, _ in self._all.poll(timeout, MOST_REPORTED):
                    if fd == self._trio:
                        others = True
                    else:
                        self._serve(fd)
                        self._expecting = True
                timeout = until - time.monotonic()
        finally:  # as trio does after it was told of a descriptor
            waits._registered[own].current_flags = 0
            waits._update_registrations(own)
        self._token.run_sync_soon(_return)


def _return() -> None:
    """Let trio wait no more: how long it meant to wait is out of date."""
