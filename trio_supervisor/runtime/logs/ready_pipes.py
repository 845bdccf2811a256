"""Waits for many pipes in one thread, until one of them can be read or another thread wakes it."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], None]

_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class ReadyPipes:
    """Pipes, each with the job to be done when it can be read.

    A pipe is waited for once and then armed again; it stays registered until it is forgotten. Every
    method but ``poll`` needs the lock of the owner. Making one raises OSError without descriptors.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        try:
            self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            self._epoll.close()
            raise
        self._epoll.register(self._bell, select.EPOLLIN)
        self._armed: dict[int, Job] = {}
        self._registered: set[int] = set()

    @property
    def are_armed(self) -> bool:
        """Whether some pipe is waited for."""
        return bool(self._armed)

    @property
    def are_registered(self) -> bool:
        """Whether some pipe is waited for, or will be again."""
        return bool(self._registered)

    def arm(self, fd: int, job: Job) -> None:
        """Wait for a pipe once. Raises OSError."""
        if fd in self._registered:
            self._epoll.modify(fd, _ONCE)
        else:
            self._epoll.register(fd, _ONCE)
            self._registered.add(fd)
        self._armed[fd] = job

    def forget(self, fd: int) -> None:
        """Wait for a pipe no more, before it is closed."""
        self._armed.pop(fd, None)
        if fd in self._registered:
            self._registered.discard(fd)
            self._epoll.unregister(fd)

    def poll(self, *, wait: bool) -> list[int]:
        """Return what ``take`` is to be called with; ``wait`` for a pipe or ``wake``."""
        return [fd for fd, _ in self._epoll.poll(None if wait else 0)]

    def take(self, ready: list[int]) -> list[Job]:
        """Return the jobs of the pipes that can be read, which are not armed any more."""
        return [job for fd in ready if (job := self._armed.pop(fd, None)) is not None]

    def wake(self) -> None:
        """Let ``poll`` return, also the next ones until ``woken``."""
        os.eventfd_write(self._bell, 1)

    def woken(self, ready: list[int]) -> None:
        """Tell that the thread that was to be woken has returned from ``poll``."""
        if self._bell in ready:
            os.eventfd_read(self._bell)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._bell)
