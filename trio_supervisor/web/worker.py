"""Work that takes time in proportion to what a client sent or asked for.

Little work is done at once. More is done in a worker thread, one client's at a time: threads share
the interpreter with the event loop, and each further one would slow it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are decoded or encoded in about a millisecond.
INLINE = 16 * 1024

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_worker = trio.CapacityLimiter(1)


async def work(
    size: int, function: Callable[[*Arguments], Result], *arguments: *Arguments
) -> Result:
    """Call ``function``, which works on ``size`` bytes: at once, or in the worker thread."""
    if size <= INLINE:
        return function(*arguments)
    return await trio.to_thread.run_sync(function, *arguments, limiter=_worker)
