"""Waiting for something to become of a process. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config import Severity
from trio_supervisor.core.states import STOPPED_STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two "waiting for x to stop" lines (P-137).
STOP_REMINDER = 2


class Watched:
    """A thing with states that others wait for."""

    def __init__(self, name: str, log: Callable[[Severity, str], None]) -> None:
        self.name = name
        self.state = State.STOPPED
        self._log = log
        self._changed = trio.lowlevel.ParkingLot()
        self._awaited: list[tuple[tuple[State, ...], trio.Event]] = []

    async def changed(self) -> None:
        """Return at the next change of this process."""
        await self._changed.park()

    async def wait_for(self, *states: State | str) -> None:
        """Return when the process is in one of these states, or has been since the call.

        A state may be given by its name: ``"RUNNING"``. Raises ValueError if there is no such
        state, or if none is given.
        """
        awaited = tuple(map(_state, states)), trio.Event()
        if not states:
            raise ValueError("no state to wait for is given")
        if self.state in awaited[0]:
            awaited[1].set()
        self._awaited.append(awaited)
        try:
            await awaited[1].wait()
        finally:
            self._awaited.remove(awaited)

    async def ended(self) -> None:
        """Return when the process is in the stopped set; says in the log that it waits (P-137)."""
        while self.state not in STOPPED_STATES:
            self._log(Severity.INFO, f"waiting for {self.name} to stop")
            with trio.move_on_after(STOP_REMINDER):
                await self.wait_for(*STOPPED_STATES)

    def _arrive(self, state: State) -> None:
        self.state = state
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
