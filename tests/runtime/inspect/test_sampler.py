"""Processor time and memory: one pass over /proc for all clients, none while no client asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

from tests.kit.fake_supervisor import FakeSupervisor
from trio_supervisor.runtime.inspect.procfs import ProcessTable, Usage
from trio_supervisor.runtime.inspect.sampler import FRESH, INTERVAL, SPAN, UsageSample, UsageSampler

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process


class Machine:
    """A made-up ``/proc``; counts how often it is read."""

    def __init__(self) -> None:
        self.fake = FakeSupervisor("a", "b")
        self.usage = {1: Usage(10.0, 1000, 1), 2: Usage(3.0, 500, 1)}
        self.reads = 0
        self.sampler = UsageSampler(lambda: cast("list[Process]", self.fake.processes()))

    def read(self) -> ProcessTable:
        self.reads += 1
        return ProcessTable(dict(self.usage), {})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(ProcessTable, "read", machine.read)
    return machine


async def test_rates_are_those_since_the_sample_before(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    assert machine.sampler.of("a") == UsageSample(None, 0)
    await machine.sampler.refresh()
    assert machine.sampler.of("a") == UsageSample(None, 1000)
    assert machine.sampler.of("b") == UsageSample(None, 0)
    mock_clock.jump(4)
    machine.usage[1] = Usage(11.0, 2000, 1)
    await machine.sampler.refresh()
    assert machine.sampler.of("a") == UsageSample(25.0, 2000)


async def test_another_child_and_descendants_that_end_give_no_nonsense(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    await machine.sampler.refresh()
    mock_clock.jump(4)
    machine.usage[1] = Usage(2.0, 1000, 1)
    await machine.sampler.refresh()
    assert machine.sampler.of("a").cpu == 0.0
    machine.fake.process("a").run(pid=2)
    mock_clock.jump(4)
    await machine.sampler.refresh()
    assert machine.sampler.of("a") == UsageSample(None, 500)


async def test_many_watchers_cause_one_read(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(machine.sampler.refresh)
        mock_clock.jump(INTERVAL)
    assert machine.reads == 3
    assert [sample.time % INTERVAL for sample in machine.sampler.samples] == [0, 0, 0]


async def test_nothing_is_looked_at_while_nothing_runs(machine: Machine) -> None:
    await machine.sampler.refresh()
    assert machine.reads == 0


async def test_what_is_kept_is_bounded(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    for _ in range(400):
        await machine.sampler.refresh()
        mock_clock.jump(INTERVAL)
    kept = machine.sampler.samples
    assert kept[-1].time - kept[0].time == SPAN
    mock_clock.jump(10 * SPAN)
    await machine.sampler.refresh()
    assert len(kept) == 1


async def test_requests_at_the_same_time_share_a_read(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(machine.sampler.read, [1, 2])
    assert await machine.sampler.read([2]) == {2: Usage(3.0, 500, 1)}
    assert machine.reads == 1


async def test_a_read_becomes_stale(machine: Machine, mock_clock: trio.testing.MockClock) -> None:
    await machine.sampler.read([1])
    machine.usage[1] = Usage(11.0, 2000, 1)
    mock_clock.jump(2 * FRESH)
    assert await machine.sampler.read([1]) == {1: Usage(11.0, 2000, 1)}


async def test_a_process_that_the_last_read_does_not_have_causes_another(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    await machine.sampler.read([1])
    machine.usage[7] = Usage(0.5, 7, 1)
    assert await machine.sampler.read([1, 7]) == {1: machine.usage[1], 7: machine.usage[7]}
    assert machine.reads == 2


async def test_no_process_causes_no_read(machine: Machine) -> None:
    assert await machine.sampler.read([]) == {}
    assert machine.reads == 0


async def test_samples_and_requests_share_a_read(
    machine: Machine, mock_clock: trio.testing.MockClock
) -> None:
    machine.fake.process("a").run(pid=1)
    await machine.sampler.read([1])
    await machine.sampler.refresh()
    assert machine.sampler.of("a") == UsageSample(None, 1000)
    assert machine.reads == 1
