"""Reads many pipes in one task: for event listeners, which answer tens of thousands of events.

trio registers a descriptor and resumes a task for each wait. Here descriptors stay registered, data
is read by a plain call, and while answers keep coming they are read without that task
(``idle_wait.py``). For the same reason one timer serves all postponed calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.system.idle_wait import IdleWait

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest postponement of a call, in seconds.
BEAT = 0.5


class _Watch:
    """A descriptor that is being read."""

    def __init__(self, take: Callable[[], bool]) -> None:
        self.take = take
        self.ended = trio.Event()
        self.error: Exception | None = None


class FdPoller:
    """Reads the descriptors of one supervisor, while ``run`` is running."""

    def __init__(self) -> None:
        self._watches: dict[int, _Watch] = {}
        self._idle_wait: IdleWait | None = None
        """What serves the watches; None unless ``run`` is running."""
        self._later: list[Callable[[], None]] = []
        self._some = trio.lowlevel.ParkingLot()

    def later(self, call: Callable[[], None]) -> None:
        """Call a function within BEAT seconds. It must not raise."""
        self._later.append(call)
        self._some.unpark_all()

    async def read(self, fd: int, take: Callable[[], bool]) -> None:
        """Call ``take`` each time the descriptor is readable, until it returns False.

        ``take`` must not block. Raises any exception of ``take``.
        """
        watch = self._watches[fd] = _Watch(take)
        try:
            if self._idle_wait is not None:
                self._idle_wait.register(fd)
            self._some.unpark_all()
            await watch.ended.wait()
        finally:
            self._forget(fd)
        if watch.error is not None:
            raise watch.error

    async def run(self) -> None:
        """Read what is readable and make postponed calls, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            await self._poll()

    async def _beat(self) -> None:
        while True:
            while not self._later:
                await self._some.park()
            await trio.sleep(BEAT)
            calls, self._later = self._later, []
            for call in calls:
                call()

    async def _poll(self) -> None:
        while not self._watches:
            await self._some.park()
        idle_wait = self._idle_wait = IdleWait(self._take)
        try:
            for fd in self._watches:
                idle_wait.register(fd)
            await idle_wait.run()
        finally:
            idle_wait.close()
            self._idle_wait = None

    def _take(self, fd: int) -> None:
        watch = self._watches[fd]
        try:
            if watch.take():
                return
        except Exception as error:
            watch.error = error
        self._forget(fd)
        watch.ended.set()

    def _forget(self, fd: int) -> None:
        if self._watches.pop(fd, None) is not None and self._idle_wait is not None:
            self._idle_wait.unregister(fd)
