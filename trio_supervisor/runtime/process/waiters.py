"""Waiting for something to become of a process. Changes nothing."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.process.states import STOPPED_STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two "waiting for x to stop" lines (P-137).
STOP_REMINDER = 2


class Watched:
    """A thing with states that others wait for."""

    def __init__(self, name: str, log: Callable[[Severity, str], None]) -> None:
        self.name = name
        self.state = State.STOPPED
        self._log = log
        self._changed = trio.lowlevel.ParkingLot()
        self._reminded = -math.inf
        """When the log said last that the end is waited for; by the monotonic clock."""
        self._awaited: list[tuple[tuple[State, ...], trio.Event]] = []

    async def changed(self) -> None:
        """Return at the next change of this process."""
        await self._changed.park()

    async def wait_for(self, *states: State | str) -> None:
        """Return when the process is in one of these states, or has been since the call.

        A state may be given by its name: ``"RUNNING"``. Raises ValueError if there is no such
        state, or if none is given.
        """
        if not states:
            raise ValueError("no state to wait for is given")
        with self._arrival(*map(_state, states)) as arrival:
            await arrival.wait()

    async def ended(self) -> None:
        """Return when the process is in the stopped set, or has been since the call.

        It may have been started again by then: whoever waits for the end of one child must not
        wait for that of the next. The log says that it is waited for, once for all who wait.
        """
        if self.state in STOPPED_STATES:
            return
        with self._arrival(*STOPPED_STATES) as arrival:
            while not arrival.is_set():
                if trio.current_time() >= self._reminded + STOP_REMINDER:
                    self._reminded = trio.current_time()
                    self._log(Severity.INFO, f"waiting for {self.name} to stop")
                with trio.move_on_after(STOP_REMINDER):
                    await arrival.wait()

    @contextmanager
    def _arrival(self, *states: State) -> Iterator[trio.Event]:
        """An event that is set when the process is in one of the states, or has been since."""
        awaited = states, trio.Event()
        if self.state in states:
            awaited[1].set()
        self._awaited.append(awaited)
        try:
            yield awaited[1]
        finally:
            self._awaited.remove(awaited)

    def _arrive(self, state: State) -> None:
        self.state = state
        if state in STOPPED_STATES:
            self._reminded = -math.inf
        for states, arrival in self._awaited:
            if state in states:
                arrival.set()
        self._changed.unpark_all()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.park()


def _state(state: State | str) -> State:
    if isinstance(state, State):
        return state
    if state not in State.__members__:
        raise ValueError(f"no such state: {state!r}; there are {', '.join(State.__members__)}")
    return State[state]
