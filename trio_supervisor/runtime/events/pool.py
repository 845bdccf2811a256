"""An event listener pool: delivers each event that it subscribes to to one of its listeners.

Theory of operation
-------------------

**From the source to the buffer.** A process, a group, a client or the clock publishes an event on
the bus (``bus.py``). The bus calls every subscriber of that event's type, in the task that
publishes, and never waits. A pool puts the event into its buffer (``buffer.py``) and dispatches. So
an event is in the buffer of every subscribed pool before its source continues, and the order of
events is the same in all pools. The buffer is bounded: a pool whose listeners are slow, stuck or
dead loses the oldest events, and never delays what it observes.

**From the buffer to a listener.** ``_dispatch`` takes events out of the buffer as long as there is
one and a listener that can take it: its process is RUNNING, it has written ``READY``, and nothing
of an earlier event is still queued for its stdin. The first such listener in order of priority gets
the event. Header and payload are queued for its stdin, so ``_dispatch`` does not wait either. There
is no task that loops over the buffer. ``_dispatch`` is called whenever a delivery may have become
possible:

* an event was added (``_accept``),
* a listener wrote something (``_receive``),
* the process of a listener changed its state (``_follow``, a task for each listener),
* the pause after a rejection is over (``run``).

**From a listener to the pool.** The stdout of a listener is read by ``listener_reader.py``, which
calls the function made by ``on_output`` with the bytes as they come. ``core/listener.py`` holds the
protocol, without I/O: ACKNOWLEDGED until ``READY``, then READY, BUSY from an event until its
``RESULT``, then ACKNOWLEDGED again. A listener that breaks the protocol is UNKNOWN until it is
started again, since nothing that it writes can be related to an event any more.

**When a delivery fails.** An event belongs to one listener from ``_send`` until its result
(``_Member.delivering``). It goes back to the head of the buffer, with its old numbers, if the
listener rejects it, breaks the protocol, or is replaced by a new child. So an event is delivered at
least once as long as the buffer does not overflow, and may be delivered twice: a listener may have
acted on it and ended before it could answer. After a rejection the buffer rests for a moment,
doubled with each further rejection, or a listener that rejects everything would keep the event loop
busy.

**Which child.** A listener is known by the pid of its process. Bytes and state changes of a new
child can arrive in any order, so both ``_receive`` and ``_follow`` compare the pid first
(``_renew``), and the first that sees another one begins the protocol anew.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import EventLength, Severity
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.events import EVENT_TYPES
from trio_supervisor.core.listener import EventResult, Listener, Ready, envelope
from trio_supervisor.core.process.states import ListenerState, State
from trio_supervisor.runtime.events.buffer import EventBuffer
from trio_supervisor.runtime.events.result_handlers import is_rejection, judge, result_handler

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import PoolConfig
    from trio_supervisor.core.events import Event
    from trio_supervisor.runtime.events.buffer import BufferedEvent
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.process import Process

#: Seconds before a rejected event is delivered again: the first pause, and the longest.
REDELIVERY_FIRST = 0.1
REDELIVERY_MOST = 5.0

# Looking up a member of an enum takes longer than most steps of an event do.
_DEBUG = Severity.DEBUG
_READY = ListenerState.READY
_ACKNOWLEDGED = ListenerState.ACKNOWLEDGED
_UNKNOWN = ListenerState.UNKNOWN
_RUNNING = State.RUNNING


class _Member:
    """One listener process of the pool and its state in the protocol."""

    def __init__(self, process: Process, host: Host) -> None:
        self.process = process
        self.protocol = Listener()
        self.pid = 0
        self.stdin_closed = False
        """True if an event could not be sent: the child cannot take events any more."""
        self.delivering: BufferedEvent | None = None
        """The event that the listener has not answered yet."""
        self._host = host
        self._logged = self.protocol.state
        """The last state that the log shows."""

    def renew(self) -> None:
        """Begin the protocol anew, for a new child."""
        self.pid = self.process.pid
        self.protocol = Listener()
        self._logged = self.protocol.state
        self.stdin_closed = False

    @property
    def is_ready(self) -> bool:
        """Whether a listener that has written ``READY`` can take an event now."""
        return (
            self.process.state is _RUNNING
            and self.process.stdin_pending == 0
            and not self.stdin_closed
        )

    @property
    def is_usable(self) -> bool:
        """Whether the listener may still take or answer events."""
        return (
            self.process.state is State.RUNNING
            and self.protocol.state is not ListenerState.UNKNOWN
            and not self.stdin_closed
        )

    def sent(self, buffered: BufferedEvent) -> None:
        """Record that an event was queued for the listener."""
        self.protocol.sent()
        self._logged = self.protocol.state
        self.delivering = buffered

    def log_state(self, state: ListenerState) -> None:
        """Log a change of state. A listener leaves UNKNOWN only with a new child."""
        if self._logged is not _UNKNOWN:
            if self._host.daemon.loglevel <= _DEBUG:
                self._host.log(
                    Severity.DEBUG, f"{self.process.name}: {self._logged.name} -> {state.name}"
                )
            self._logged = state

    def log_unknown(self) -> None:
        """Log that the listener is UNKNOWN now."""
        self.log_state(ListenerState.UNKNOWN)
        self._host.log(
            Severity.WARN,
            f"{self.process.name}: has entered the UNKNOWN state and will no longer receive "
            "events, this usually indicates the process violated the eventlistener protocol",
        )


class Pool:
    """Buffers the events of the subscribed types and gives each to exactly one listener."""

    def __init__(self, name: str, config: PoolConfig, host: Host) -> None:
        self.name = name
        self.buffer = EventBuffer(name, config.buffer_size, host)
        self._host = host
        self._nursery: trio.Nursery | None = None
        self._count_bytes = config.event_len is EventLength.BYTES
        self._handler = result_handler(config.result_handler)
        self._members: dict[str, _Member] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._rejected = trio.lowlevel.ParkingLot()
        self._redelivery = 0.0
        """Seconds of the last pause after a rejection; 0 after an event was accepted."""
        self._not_before = 0.0
        """When events that were delivered before may be delivered again, on trio's clock."""
        self._types = tuple(EVENT_TYPES[event] for event in config.events)
        self._unsubscribe = host.bus.subscribe(self._types, self._accept)

    def add(self, process: Process) -> None:
        """Make a process a listener of this pool; in order of process priority."""
        member = self._members[process.name] = _Member(process, self._host)
        if self._nursery is not None:
            self._nursery.start_soon(self._follow, member)

    def remove(self, process: Process) -> None:
        """Forget a listener that has ended."""
        del self._members[process.name]

    def on_output(self, process: str) -> Callable[[bytes], None]:
        """Return the function that receives the stdout of a listener."""

        def receive(data: bytes) -> None:
            try:
                self._receive(self._members[process], data)
            except Exception:  # an error here must not stop the reading of the listener's output
                self._host.log(
                    Severity.CRITICAL, f"internal error for {process}:\n{traceback.format_exc()}"
                )

        return receive

    def close(self) -> None:
        """Unsubscribe. Events in the buffer are lost."""
        self._unsubscribe()
        self.buffer.end_overflow()

    @property
    def listeners(self) -> list[tuple[Process, ListenerState]]:
        """The listeners in order of preference, each with its state in the protocol."""
        return [(member.process, member.protocol.state) for member in self._members.values()]

    async def drained(self) -> None:
        """Wait until every event is delivered and answered, or no listener is usable any more."""
        while any(member.is_usable for member in self._members.values()) and (
            self.buffer.count or any(member.delivering for member in self._members.values())
        ):
            await self._changed.park()

    async def run(self) -> None:
        """Watch the processes of the listeners and end pauses after rejections, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                if self.buffer.is_overflowing:  # since before a handover
                    self._watch_overflow()
                for member in self._members.values():
                    nursery.start_soon(self._follow, member)
                while True:
                    self._dispatch()
                    if trio.current_time() < self._not_before:  # it may be postponed meanwhile
                        await trio.sleep_until(self._not_before)
                    else:
                        await self._rejected.park()
        finally:
            self._nursery = None

    def _accept(self, event: Event, serial: int) -> None:
        if self.buffer.append(event, serial):
            self._watch_overflow()
        self._dispatch()

    def _put_back(self, buffered: BufferedEvent) -> None:
        if self.buffer.put_back(buffered):
            self._watch_overflow()

    def _watch_overflow(self) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self.buffer.wait_for_end_of_overflow)

    def _dispatch(self) -> None:
        """Send events to listeners as long as there are both."""
        buffer = self.buffer
        for member in self._members.values():  # none takes two events without an answer
            if not buffer.count:
                break
            if buffer.has_returned and trio.current_time() < self._not_before:
                break
            if member.protocol.state is _READY and member.is_ready:
                buffered = buffer.pop()
                if not self._send(member, buffered):
                    self._put_back(buffered)
        if self._changed:
            self._changed.unpark_all()

    async def _follow(self, member: _Member) -> None:
        """Follow a listener's process: new children, and an exit during a delivery."""
        while self._members.get(member.process.name) is member:
            self._renew(member)
            self._dispatch()
            await member.process.waiters.changed()

    def _renew(self, member: _Member) -> None:
        if member.process.pid != member.pid:
            member.renew()
            self._take_back(member)

    def _send(self, member: _Member, buffered: BufferedEvent) -> bool:
        """Queue an event for a listener; False if its stdin is closed."""
        data = envelope(
            server=self._host.daemon.identifier,
            serial=buffered.serial,
            pool=self.name,
            poolserial=buffered.poolserial,
            event=buffered.event.name,
            payload=buffered.event.payload(),
            count_bytes=self._count_bytes,
        )
        try:
            member.process.send_stdin(data, limited=False)
        except RequestError:
            member.stdin_closed = True
            return False
        member.sent(buffered)
        if self._debugs:
            self._host.log(
                Severity.DEBUG, f"event {buffered.serial} sent to listener {member.process.name}"
            )
        return True

    def _receive(self, member: _Member, data: bytes) -> None:
        self._renew(member)
        for item in member.protocol.feed(data):
            if isinstance(item, Ready):
                member.log_state(_READY)
            elif isinstance(item, EventResult):
                self._judge(member, item.data)
            else:
                text = item.reason or f"unexpected output: {item.wrote!r}"
                self._host.log(Severity.WARN, f"{member.process.name}: {text}")
                member.log_unknown()
                self._take_back(member)
        self._dispatch()

    def _judge(self, member: _Member, response: bytes) -> None:
        """Let the result handler decide whether the listener's event is done."""
        buffered, member.delivering = member.delivering, None
        if buffered is None:
            return
        name = member.process.name
        try:
            judge(self._handler, buffered.event, buffered.serial, response)
        except BaseException as error:  # SystemExit too must only end this delivery
            if is_rejection(error):
                self._host.log(Severity.WARN, f"{name}: event was rejected")
                member.log_state(_ACKNOWLEDGED)
                self._postpone()
            else:
                self._host.log(
                    Severity.WARN, f"{name}: event caused an error\n{traceback.format_exc()}"
                )
                member.protocol.fail()
                member.log_unknown()
            self._put_back(buffered)
        else:
            if self._debugs:
                self._host.log(Severity.DEBUG, f"{name}: event was processed")
            member.log_state(_ACKNOWLEDGED)
            self._redelivery = 0.0

    def _take_back(self, member: _Member) -> None:
        """Put back the event that this listener was sent and will not answer."""
        buffered, member.delivering = member.delivering, None
        if buffered is not None:
            self._put_back(buffered)

    @property
    def _debugs(self) -> bool:
        """Whether the log takes lines of level debug. With thousands of events a second, even the
        text of a line that is not written costs too much."""
        return self._host.daemon.loglevel <= _DEBUG

    def _postpone(self) -> None:
        """Pause redelivery after a rejection; each further pause is twice as long."""
        self._redelivery = min(max(REDELIVERY_FIRST, 2 * self._redelivery), REDELIVERY_MOST)
        self._not_before = trio.current_time() + self._redelivery
        self._rejected.unpark_all()
