"""Waiting until a process has changed, is in some state, or has ended."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.core.process.states import STOPPED_STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.core.process.record import ProcessRecord

#: Seconds between two "waiting for x to stop" lines.
STOP_REMINDER = 2


class StateWaiters:
    """The tasks that wait for a process. Changes nothing of it."""

    __slots__ = (
        "_awaited",
        "_changed",
        "_group",
        "_log",
        "_name",
        "_on_end",
        "_record",
        "_reminded",
        "closed",
        "observer",
    )

    def __init__(
        self, name: str, group: str, record: ProcessRecord, log: Callable[[Severity, str], None]
    ) -> None:
        self._name = name
        self._group = group
        self._record = record
        self._log = log
        self.closed = False
        """Whether nothing serves the process any more."""
        self.observer: Callable[[], None] | None = None
        """Called at each change, if other processes depend on this one or the other way round."""
        self._changed: trio.lowlevel.ParkingLot | None = None
        """None while no task waits for a change, which is nearly always."""
        self._awaited: list[tuple[tuple[State, ...], trio.Event]] = []
        self._on_end: tuple[Callable[[], None], ...] = ()
        self._reminded = -math.inf
        """When the log last said that the end is waited for, by the monotonic clock."""

    def close(self) -> None:
        """Nothing serves the process any more: let no task wait for it in vain."""
        self.closed = True
        self._call_on_end()
        self.wake()

    def wake(self) -> None:
        """Wake all tasks that wait for any change."""
        waiting, self._changed = self._changed, None
        if waiting is not None:
            waiting.unpark_all()
        if self.observer is not None:
            self.observer()

    def arrived(self) -> None:
        """Wake the tasks that wait for the state which the record has now."""
        state = self._record.state
        if state in STOPPED_STATES:
            self._reminded = -math.inf
            self._call_on_end()
        for states, arrival in self._awaited:
            if state in states:
                arrival.set()
        self.wake()

    async def changed(self, until: float = math.inf) -> None:
        """Return at the next change of the process, or at a time of trio's clock."""
        if self._changed is None:
            self._changed = trio.lowlevel.ParkingLot()
        if until == math.inf:  # most waits; a scope costs more than the rest
            await self._changed.park()
        else:
            with trio.CancelScope(deadline=until):
                await self._changed.park()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds, or nothing serves the process any more.

        The condition is looked at after each change.
        """
        while not condition() and not self.closed:
            await self.changed()

    async def wait_for(self, *states: State, check: Callable[[], object] = lambda: None) -> None:
        """Return when the process is in one of these states, or has been since the call.

        ``check`` is called before each wait; what it raises ends the wait.
        """
        with self._arrival(*states) as arrival:
            if arrival.is_set():
                await trio.lowlevel.checkpoint()
            while not arrival.is_set():
                check()
                await self.changed()

    async def ended(self) -> None:
        """Return when the process is in the stopped set, or has been since the call.

        It may have been started again by then: a task that waits for the end of one child must
        not wait for that of the next. The log says that it is waited for, once for all tasks.
        Returns too when nothing serves the process any more.
        """
        if self._record.state in STOPPED_STATES:
            return
        with self._arrival(*STOPPED_STATES) as arrival:
            while not arrival.is_set() and not self.closed:
                with trio.move_on_at(self.remind()):
                    await self.changed()

    def on_end(self, call: Callable[[], None]) -> None:
        """Call this once, as soon as ``ended`` would return. It must not raise."""
        if self.closed or self._record.state in STOPPED_STATES:
            call()
        else:
            self._on_end = (*self._on_end, call)

    def remind(self) -> float:
        """Log that the end is waited for, if that is due; return when it is due again."""
        now = trio.current_time()
        if now >= self._reminded + STOP_REMINDER:
            self._reminded = now
            text, record = f"waiting for {self._name} to stop", self._record
            name = full_name(self._name, self._group)
            self._log(Severity.INFO, ProcessLine(text, name, record.pid, record.state))
        return self._reminded + STOP_REMINDER

    def _call_on_end(self) -> None:
        calls, self._on_end = self._on_end, ()
        for call in calls:
            call()

    @contextmanager
    def _arrival(self, *states: State) -> Iterator[trio.Event]:
        """An event that is set when the process is in one of the states, or has been since."""
        awaited = states, trio.Event()
        if self._record.state in states:
            awaited[1].set()
        self._awaited.append(awaited)
        try:
            yield awaited[1]
        finally:
            self._awaited.remove(awaited)
