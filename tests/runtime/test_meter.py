"""Who asks at the same time shares one look; who asks for somebody new gets a new one."""

from __future__ import annotations

import pytest
import trio

from trio_supervisor.runtime.inspect import meter as module
from trio_supervisor.runtime.inspect.meter import Meter
from trio_supervisor.runtime.inspect.procfs import Look, Usage


class Machine:
    """What would be in /proc; counts the looks at it."""

    def __init__(self, *pids: int) -> None:
        self.looks = 0
        self.pids = list(pids)

    def look(self) -> Look:
        self.looks += 1
        return Look({pid: Usage(self.looks, pid, 1) for pid in self.pids}, {1: self.pids})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(5, 6)
    monkeypatch.setattr(module, "look", machine.look)
    return machine


async def test_those_who_ask_together_share_a_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH", 3600)
    meter = Meter()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(meter.usages, [5, 6])
    assert await meter.usages([6]) == {6: Usage(1, 6, 1)}
    assert machine.looks == 1


async def test_a_look_becomes_stale(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH", -1)
    meter = Meter()
    await meter.usages([5])
    assert await meter.usages([5]) == {5: Usage(2, 5, 1)}


async def test_a_process_younger_than_the_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH", 3600)
    meter = Meter()
    await meter.usages([5])
    machine.pids.append(7)
    assert await meter.usages([5, 7]) == {5: Usage(2, 5, 1), 7: Usage(2, 7, 1)}
    assert await meter.usages([]) == {}
    assert machine.looks == 2
