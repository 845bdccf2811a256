"""An event listener pool: a bounded buffer of events and the dispatch that empties it.

The buffer holds ``buffer_size`` events; overflow drops the oldest event and says so. The protocol
of one listener is in ``core/listener.py``; bytes travel over the process's own pipes.
"""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import EventLength, Severity
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.events import EVENT_TYPES, Event, serials
from trio_supervisor.core.listener import EventResult, Listener, Ready, envelope
from trio_supervisor.core.process.states import ListenerState, State
from trio_supervisor.runtime.events.result_handlers import is_rejection, judge, result_handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import PoolConfig
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.lifecycle import Process

#: Seconds before a rejected event is offered again: first, and at most (interfaces.md 1.6).
REDELIVERY_FIRST = 0.1
REDELIVERY_MOST = 5.0
#: Seconds without a loss after which an overflow is over.
QUIET = 10.0


@dataclass(slots=True)
class _Queued:
    """An event with the numbers it keeps when it is delivered again (1.3)."""

    event: Event
    serial: int
    poolserial: int


class _Member:
    """One listener process of the pool and where it stands in the protocol."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.protocol = Listener()
        self.pid = 0
        self.deaf = False
        """Its stdin is closed: it can take no event until it is a new child."""
        self.delivering: _Queued | None = None
        self.reported = self.protocol.state
        """Where the log has it."""

    def renew(self) -> None:
        """Each spawn begins the protocol anew (1.5)."""
        self.pid = self.process.pid
        self.protocol = Listener()
        self.reported = self.protocol.state
        self.deaf = False

    @property
    def ready(self) -> bool:
        """RUNNING, READY and with nothing of an earlier event still unsent (1.5, 1.6)."""
        return (
            self.protocol.state is ListenerState.READY
            and self.process.state is State.RUNNING
            and self.process.stdin_pending == 0
            and not self.deaf
        )

    @property
    def works(self) -> bool:
        """Whether it may still take or answer events."""
        return (
            self.process.state is State.RUNNING
            and self.protocol.state is not ListenerState.UNKNOWN
            and not self.deaf
        )


class Pool:
    """Buffers the events its types select and gives each to exactly one listener."""

    def __init__(self, name: str, config: PoolConfig, host: Host) -> None:
        self.name = name
        self.dropped = 0
        """Events lost to overflow since the pool was added."""
        self._unreported = 0
        """Of these, since the line that reported the overflow; 0 while there is none."""
        self.buffer_size = config.buffer_size
        self.buffered = 0
        """Events that wait for a listener."""
        self._host = host
        self._nursery: trio.Nursery | None = None
        self._count_bytes = config.event_len is EventLength.BYTES
        self._handler = result_handler(config.result_handler)
        self._members: dict[str, _Member] = {}
        self._queue: deque[_Queued] = deque()
        # Events that were taken out of the queue; they come before it.
        self._returned: deque[_Queued] = deque()
        self._poolserials = serials()
        self._changed = trio.lowlevel.ParkingLot()
        self._rejected = trio.lowlevel.ParkingLot()
        self._redelivery = 0.0
        self._not_before = 0.0
        self._types = tuple(EVENT_TYPES[event] for event in config.events)
        self._unsubscribe = host.bus.subscribe(self._types, self._accept)

    def add(self, process: Process) -> None:
        """Make a process a listener of this pool; in order of process priority."""
        self._members[process.name] = _Member(process)

    def on_output(self, process: str) -> Callable[[bytes], None]:
        """What receives the stdout of a listener."""

        def hear(data: bytes) -> None:
            try:
                self._heard(self._members[process], data)
            except Exception:  # a listener is never worth the drain of its output (P-211)
                self._host.log(
                    Severity.CRITICAL, f"internal error for {process}:\n{traceback.format_exc()}"
                )

        return hear

    def close(self) -> None:
        """Take no more events; what is buffered is lost (1.6)."""
        self._unsubscribe()
        self._end_overflow()

    @property
    def listeners(self) -> list[tuple[Process, ListenerState]]:
        """The listeners in order of preference, and where each stands in the protocol."""
        return [(member.process, member.protocol.state) for member in self._members.values()]

    async def drained(self) -> None:
        """Return when no event waits or is being worked on, or no listener is left to do it."""
        while any(member.works for member in self._members.values()) and (
            self.buffered or any(member.delivering for member in self._members.values())
        ):
            await self._changed.park()

    async def run(self) -> None:
        """Notice what becomes of the listeners, and when a rejected event is due, until cancelled.

        All other events are dispatched by whoever publishes them or makes a listener ready.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for member in self._members.values():
                    nursery.start_soon(self._follow, member)
                while True:
                    self._dispatch()
                    if trio.current_time() < self._not_before:  # which may be put off meanwhile
                        await trio.sleep_until(self._not_before)
                    else:
                        await self._rejected.park()
        finally:
            self._nursery = None

    def _accept(self, event: Event, serial: int) -> None:
        queued = _Queued(event, serial, next(self._poolserials))
        self._make_room()
        self._queue.append(queued)
        self.buffered += 1
        self._dispatch()

    def _make_room(self) -> None:
        """Drop the oldest event if the buffer is full.

        The log has one line when that begins and one when it is over, and only at level debug one
        for each event: the listeners of a pool may never answer again.
        """
        if self.buffered < self.buffer_size:
            return
        oldest = self._next()
        self.dropped += 1
        self._unreported += 1
        begins = self._unreported == 1
        if begins or self._debugs:
            self._host.log(
                Severity.ERROR if begins else Severity.DEBUG,
                f"pool {self.name} event buffer overflowed, discarding event {oldest.serial}",
            )
        if begins and self._nursery is not None:
            self._nursery.start_soon(self._await_end_of_overflow)

    async def _await_end_of_overflow(self) -> None:
        while True:
            before = self.dropped
            await trio.sleep(QUIET)
            if self.dropped == before:
                break
        self._end_overflow()

    def _end_overflow(self) -> None:
        count, self._unreported = self._unreported, 0
        if count:
            self._host.log(
                Severity.INFO,
                f"pool {self.name} event buffer overflowed no longer, discarded events: {count}",
            )

    def _return(self, queued: _Queued) -> None:
        """Back to the head of the buffer, with its old numbers (1.6)."""
        self._make_room()
        self._put_back(queued)

    def _put_back(self, queued: _Queued) -> None:
        self._returned.appendleft(queued)
        self.buffered += 1

    def _next(self) -> _Queued:
        """Take the head of the buffer, which must not be empty."""
        self.buffered -= 1
        return (self._returned or self._queue).popleft()

    def _dispatch(self) -> None:
        """Give events to listeners as long as there are both; the first READY one is next (Q11)."""
        while self.buffered and not (self._returned and trio.current_time() < self._not_before):
            member = self._first_ready()
            if member is None:
                break
            queued = self._next()
            if not self._send(member, queued):
                self._put_back(queued)
        if self._changed:
            self._changed.unpark_all()

    def _first_ready(self) -> _Member | None:
        for member in self._members.values():
            if member.protocol.state is ListenerState.READY and member.ready:
                return member
        return None

    async def _follow(self, member: _Member) -> None:
        """Notice new children of a listener, and events that died with the old one."""
        while True:
            self._renew(member)
            self._dispatch()
            await member.process.changed()

    def _renew(self, member: _Member) -> None:
        if member.process.pid != member.pid:
            member.renew()
            self._take_back(member)

    def _send(self, member: _Member, queued: _Queued) -> bool:
        data = envelope(
            server=self._host.daemon.identifier,
            serial=queued.serial,
            pool=self.name,
            poolserial=queued.poolserial,
            event=queued.event.name,
            payload=queued.event.payload(),
            count_bytes=self._count_bytes,
        )
        try:
            member.process.send_stdin(data, limited=False)
        except RequestError:  # the next READY listener gets the event (1.5)
            member.deaf = True
            return False
        member.protocol.sent()
        member.reported = member.protocol.state
        member.delivering = queued
        if self._debugs:
            self._debug(f"event {queued.serial} sent to listener {member.process.name}")
        return True

    def _heard(self, member: _Member, data: bytes) -> None:
        self._renew(member)
        for item in member.protocol.feed(data):
            if isinstance(item, Ready):
                self._report(member, ListenerState.READY)
            elif isinstance(item, EventResult):
                self._judge(member, item.data)
            else:
                self._violated(member, item.reason or f"unexpected output: {item.wrote!r}")
        self._dispatch()

    def _judge(self, member: _Member, response: bytes) -> None:
        queued, member.delivering = member.delivering, None
        if queued is None:
            return
        name = member.process.name
        try:
            judge(self._handler, queued.event, queued.serial, response)
        except BaseException as error:  # SystemExit too is this listener's trouble and no other's
            if is_rejection(error):
                self._host.log(Severity.WARN, f"{name}: event was rejected")
                self._report(member, ListenerState.ACKNOWLEDGED)
                self._postpone()
            else:
                self._host.log(
                    Severity.WARN, f"{name}: event caused an error\n{traceback.format_exc()}"
                )
                member.protocol.fail()
                self._unknown(member)
            self._return(queued)
        else:
            if self._debugs:
                self._debug(f"{name}: event was processed")
            self._report(member, ListenerState.ACKNOWLEDGED)
            self._redelivery = 0.0

    def _violated(self, member: _Member, text: str) -> None:
        self._host.log(Severity.WARN, f"{member.process.name}: {text}")
        self._unknown(member)
        self._take_back(member)

    def _take_back(self, member: _Member) -> None:
        """What this listener was given and will not answer."""
        queued, member.delivering = member.delivering, None
        if queued is not None:
            self._return(queued)

    @property
    def _debugs(self) -> bool:
        """Whether the log takes lines of level debug: thousands of events a second have several."""
        return self._host.daemon.loglevel <= Severity.DEBUG

    def _debug(self, text: str) -> None:
        self._host.log(Severity.DEBUG, text)

    def _report(self, member: _Member, state: ListenerState) -> None:
        """Log where a listener stands now; from UNKNOWN only a new child leads away."""
        if member.reported is not ListenerState.UNKNOWN:
            if self._debugs:
                self._debug(f"{member.process.name}: {member.reported.name} -> {state.name}")
            member.reported = state

    def _unknown(self, member: _Member) -> None:
        self._report(member, ListenerState.UNKNOWN)
        self._host.log(
            Severity.WARN,
            f"{member.process.name}: has entered the UNKNOWN state and will no longer receive "
            "events, this usually indicates the process violated the eventlistener protocol",
        )

    def _postpone(self) -> None:
        """Rejection backs off, without end but not without pause (1.6)."""
        self._redelivery = min(max(REDELIVERY_FIRST, 2 * self._redelivery), REDELIVERY_MOST)
        self._not_before = trio.current_time() + self._redelivery
        self._rejected.unpark_all()
