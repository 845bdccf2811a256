"""Work whose time grows with the data that a client sent or requested.

A small amount is done on the event loop. More is done in a worker thread, for one client at a time:
threads share the interpreter with the event loop, and each further one would slow it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are processed in about a millisecond.
INLINE = 16 * 1024

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_worker = trio.CapacityLimiter(1)


async def work(
    size: int,
    function: Callable[[*Arguments], Result],
    *arguments: *Arguments,
    inline: int = INLINE,
) -> Result:
    """Call ``function``, which processes ``size`` bytes, on the event loop or in a worker thread.

    ``inline`` is the size up to which it is fast enough for the event loop. Raises any exception
    of ``function``, and NoThread.
    """
    if size <= inline:
        return function(*arguments)

    def attempt() -> Result | Exception:
        try:
            return function(*arguments)
        except Exception as error:
            # The exception and the frames of the thread would be a reference cycle, and keep the
            # arguments in memory until the garbage collector runs.
            return error.with_traceback(None)

    outcome = await in_thread(attempt, limiter=_worker)
    try:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
    finally:
        del outcome  # for the same reason
