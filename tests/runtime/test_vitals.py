"""Samples of processor time and memory: one for all who watch, none when nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

from tests.kit.fake_supervisor import FakeSupervisor
from trio_supervisor.runtime.inspect import sampler as module
from trio_supervisor.runtime.inspect.procfs import Usage
from trio_supervisor.runtime.inspect.sampler import INTERVAL, SPAN, UsageSample, UsageSampler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.process.lifecycle import Process


class Machine:
    """What ``/proc`` would say."""

    def __init__(self) -> None:
        self.fake = FakeSupervisor("a", "b")
        self.usage = {1: Usage(10.0, 1000, 1), 2: Usage(3.0, 500, 1)}
        self.looks: list[list[int]] = []
        self.vitals = UsageSampler(lambda: cast("list[Process]", self.fake.processes()))

    def usages(self, pids: Iterable[int]) -> dict[int, Usage]:
        self.looks.append(list(pids))
        return {pid: self.usage[pid] for pid in self.looks[-1]}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(module, "usages", machine.usages)
    return machine


async def test_rates_are_those_since_the_sample_before(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    assert machine.vitals.of("a") == UsageSample(None, 0)
    await machine.vitals.refresh()
    assert machine.vitals.of("a") == UsageSample(None, 1000)
    assert machine.vitals.of("b") == UsageSample(None, 0)
    mock_clock.jump(4)
    machine.usage[1] = Usage(11.0, 2000, 1)
    await machine.vitals.refresh()
    assert machine.vitals.of("a") == UsageSample(25.0, 2000)


async def test_another_child_and_descendants_that_end_give_no_nonsense(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    await machine.vitals.refresh()
    mock_clock.jump(4)
    machine.usage[1] = Usage(2.0, 1000, 1)
    await machine.vitals.refresh()
    assert machine.vitals.of("a").cpu == 0.0
    machine.fake.process("a").run(pid=2)
    mock_clock.jump(4)
    await machine.vitals.refresh()
    assert machine.vitals.of("a") == UsageSample(None, 500)


async def test_many_watchers_cost_one_look(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(machine.vitals.refresh)
        mock_clock.jump(INTERVAL)
    assert machine.looks == [[1]] * 3
    assert [sample.time % INTERVAL for sample in machine.vitals.samples] == [0, 0, 0]


async def test_nothing_is_looked_at_while_nothing_runs(machine: Machine) -> None:
    await machine.vitals.refresh()
    assert machine.looks == []


async def test_what_is_kept_is_bounded(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    for _ in range(400):
        await machine.vitals.refresh()
        mock_clock.jump(INTERVAL)
    kept = machine.vitals.samples
    assert kept[-1].time - kept[0].time == SPAN
    mock_clock.jump(10 * SPAN)
    await machine.vitals.refresh()
    assert len(kept) == 1
