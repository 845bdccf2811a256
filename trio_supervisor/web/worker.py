"""Work that takes time in proportion to what a client sent or asked for.

Little work is done at once. More is done in a worker thread, one client's at a time: threads share
the interpreter with the event loop, and each further one would slow it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are decoded in about a millisecond.
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
    """Call ``function``, which works on ``size`` bytes: at once, or in the worker thread.

    ``inline`` is the size up to which it is fast enough for the event loop.
    """
    if size <= inline:
        return function(*arguments)

    def attempt() -> Result | Exception:
        try:
            return function(*arguments)
        except Exception as error:
            # Frames of the thread would refer to the exception, and it to them: the arguments would
            # stay in memory until the next run of the garbage collector.
            return error.with_traceback(None)

    outcome = await in_thread(attempt, limiter=_worker)
    try:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
    finally:
        del outcome  # for the same reason
