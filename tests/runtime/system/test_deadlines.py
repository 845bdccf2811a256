"""One task for the deadlines of many objects."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from trio_supervisor.runtime.system.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


class Owner:
    """Notes when it is called; ``more`` are deadlines that it sets then."""

    def __init__(self, deadlines: Deadlines, *more: float, error: Exception | None = None) -> None:
        self.calls: list[float] = []
        self.recovered = 0
        self._deadlines = deadlines
        self._more = list(more)
        self._error = error

    def due(self) -> None:
        self.calls.append(trio.current_time())
        if self._error is not None:
            raise self._error
        if self._more:
            self._deadlines.set(self, self._more.pop(0))

    def recover(self) -> None:
        self.recovered += 1


@asynccontextmanager
async def served() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        yield deadlines
        nursery.cancel_scope.cancel()


async def test_each_is_called_once_at_its_deadline(autojump_clock: MockClock) -> None:
    async with served() as deadlines:
        late, early, same = (Owner(deadlines) for _ in range(3))
        for owner, time in ((late, 5.0), (early, 2.0), (same, 5.0)):
            deadlines.set(owner, time)
        await trio.sleep(9)
    assert [early.calls, late.calls, same.calls] == [[2.0], [5.0], [5.0]]


@pytest.mark.parametrize("moved", [1.0, 4.0, math.inf])
async def test_a_deadline_can_be_moved(autojump_clock: MockClock, moved: float) -> None:
    async with served() as deadlines:
        one, other = Owner(deadlines), Owner(deadlines)
        deadlines.set(one, 2.0)
        deadlines.set(other, 3.0)
        deadlines.set(one, moved)
        await trio.sleep(9)
    assert one.calls == [moved] * (moved < math.inf)
    assert other.calls == [3.0]


async def test_another_can_be_set_in_the_call(autojump_clock: MockClock) -> None:
    async with served() as deadlines:
        owner = Owner(deadlines, 2.0, 3.0)
        deadlines.set(owner, 1.0)
        await trio.sleep(9)
    assert owner.calls == [1.0, 2.0, 3.0]


async def test_one_of_the_past_is_met_at_once(autojump_clock: MockClock) -> None:
    await trio.sleep(7)
    async with served() as deadlines:
        owner = Owner(deadlines)
        deadlines.set(owner, 1.0)
        await trio.sleep(1)
    assert owner.calls == [7.0]


async def test_an_error_of_one_is_no_error_of_the_others(autojump_clock: MockClock) -> None:
    async with served() as deadlines:
        broken, sound = Owner(deadlines, error=ValueError("no")), Owner(deadlines)
        deadlines.set(broken, 1.0)
        deadlines.set(sound, 1.0)
        await trio.sleep(2)
    assert (broken.calls, broken.recovered) == ([1.0], 1)
    assert (sound.calls, sound.recovered) == ([1.0], 0)


async def test_those_that_were_set_before_the_task_began_are_met(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    owner = Owner(deadlines)
    deadlines.set(owner, 3.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(4)
        nursery.cancel_scope.cancel()
    assert owner.calls == [3.0]
