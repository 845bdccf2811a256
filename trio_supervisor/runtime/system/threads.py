"""Starting of threads, with an OSError if none can be started.

Threads count against the limits of processes (``RLIMIT_NPROC``, ``pids.max`` of a cgroup), which
may be reached at any time. The standard library raises a bare RuntimeError then. Here it becomes an
OSError, as for every other resource that the system has run out of.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

REASON = "no thread can be started: the limit of processes is reached"
#: Tells this error from errors of the function that runs in the thread.
_MESSAGE = "can't start new thread"


class NoThread(OSError):
    """No thread can be started now."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, REASON)


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises NoThread."""
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread from error


async def in_thread_if_possible(
    function: Callable[[*Arguments], Result], *arguments: *Arguments
) -> Result:
    """Call a function in a thread; if none can be started, on the event loop."""
    try:
        return await in_thread(function, *arguments)
    except NoThread:
        return function(*arguments)


async def in_thread(
    function: Callable[[*Arguments], Result],
    *arguments: *Arguments,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> Result:
    """``trio.to_thread.run_sync``. Raises NoThread."""
    try:
        return await trio.to_thread.run_sync(
            function, *arguments, abandon_on_cancel=abandon_on_cancel, limiter=limiter
        )
    except RuntimeError as error:
        if str(error) != _MESSAGE:
            raise
        raise NoThread from error


def require_trio_of(token: trio.lowlevel.TrioToken | None) -> None:
    """Raise RuntimeError outside the event loop of ``token``; None: it does not run yet."""
    if token is None:
        return
    if not trio.lowlevel.in_trio_run() or trio.lowlevel.current_trio_token() is not token:
        raise RuntimeError(
            "this is not the thread of the supervisor's event loop; in another thread call "
            "trio.from_thread.run_sync(function, trio_token=token)"
        )
