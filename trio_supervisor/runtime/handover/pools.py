"""The buffer and the listeners of an event pool, for a supervisor that goes on with them.

A friend of the classes that it reads and writes, as ``output.py`` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.events import Serials
from trio_supervisor.core.handover.state import HandedEvent, HandedListener, HandedPool
from trio_supervisor.core.listener import Listener
from trio_supervisor.runtime.events.buffer import BufferedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.events.pool import Pool


def pool_of(pool: Pool) -> HandedPool:
    """Return the buffer of a pool, and the state of its listeners."""
    buffer = pool.buffer
    listeners = [
        HandedListener(
            name,
            pid=member.pid,
            state=member.protocol.state,
            logged=member._logged,
            buffer=bytes(member.protocol._buffer),
            length=member.protocol._length,
            stdin_closed=member.stdin_closed,
            delivering=None if member.delivering is None else _handed(member.delivering),
        )
        for name, member in pool._members.items()
    ]
    return HandedPool(
        waiting=tuple(map(_handed, buffer._waiting)),
        returned=tuple(map(_handed, buffer._returned)),
        serial=buffer._poolserials.following,
        dropped=buffer.dropped,
        unreported=buffer._unreported,
        pause=pool._redelivery,
        not_before=pool._not_before,
        listeners=tuple(listeners),
    )


def take_over_pool(pool: Pool, handed: HandedPool) -> None:
    """Give a pool its buffer and the state of its listeners."""
    buffer = pool.buffer
    buffer._waiting.extend(_buffered(handed.waiting))
    buffer._returned.extend(_buffered(handed.returned))
    buffer.count = len(buffer._waiting) + len(buffer._returned)
    buffer._poolserials = Serials(handed.serial)
    buffer.dropped, buffer._unreported = handed.dropped, handed.unreported
    pool._redelivery, pool._not_before = handed.pause, handed.not_before
    for listener in handed.listeners:
        member = pool._members.get(listener.name)
        if member is None:
            continue
        member.pid = listener.pid
        member.protocol = Listener()
        member.protocol.state = listener.state
        member.protocol._buffer += listener.buffer
        member.protocol._length = listener.length
        member._logged = listener.logged
        member.stdin_closed = listener.stdin_closed
        if listener.delivering is not None:
            [member.delivering] = _buffered([listener.delivering])


def _handed(buffered: BufferedEvent) -> HandedEvent:
    return HandedEvent(buffered.event, buffered.serial, buffered.poolserial)


def _buffered(events: Iterable[HandedEvent]) -> list[BufferedEvent]:
    return [BufferedEvent(each.event, each.serial, each.poolserial) for each in events]
