"""A pool under random listeners: no event is lost or doubled, whoever dies, rejects or babbles."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_supervisor.core.config.model import DaemonConfig, PoolConfig, Severity
from trio_supervisor.core.errors import NoFile
from trio_supervisor.core.events import RemoteCommunication
from trio_supervisor.core.process.states import ListenerState, State
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.events.pool import REDELIVERY_MOST, Pool

if TYPE_CHECKING:
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.process import Process

SIZE = 3
LISTENERS = 2


class Child:
    """What a pool sees of a listener's process, and the events that it was given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 1
        self.state = State.RUNNING
        self.stdin_pending = 0
        self.deaf = False
        self.given: list[int] = []
        self._changed = trio.lowlevel.ParkingLot()
        self.waiters = SimpleNamespace(changed=self._changed.park)

    def send_stdin(self, data: bytes, *, limited: bool) -> None:
        if self.deaf:
            raise NoFile(self.name)
        [number] = re.findall(rb"\nt\.(\d+)$", data.replace(b"type:t\n", b"\nt."))
        self.given.append(int(number))

    def become(self, state: State, pid: int) -> None:
        self.state, self.pid = state, pid
        self._changed.unpark_all()


class Machine:
    """A pool, its listeners, and what has become of each event."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        host = SimpleNamespace(daemon=DaemonConfig(), log=self._log, bus=Bus(self._log))
        config = PoolConfig(events=frozenset({"REMOTE_COMMUNICATION"}), buffer_size=SIZE)
        self.bus = host.bus
        self.pool = Pool("p", config, cast("Host", host))
        self.children = [Child(f"l{n}") for n in range(LISTENERS)]
        for child in self.children:
            self.pool.add(cast("Process", child))
        self.ears = [self.pool.on_output(child.name) for child in self.children]
        self.sent = 0
        self.accepted: list[int] = []

    def _log(self, severity: Severity, text: str) -> None:
        assert severity < Severity.CRITICAL, text
        self.lines.append(text)

    def protocol(self, index: int) -> ListenerState:
        return self.pool.listeners[index][1]

    def dropped(self) -> list[int]:
        found = (re.fullmatch(r"pool p .*, discarding event (\d+)", line) for line in self.lines)
        return [int(match[1]) for match in found if match is not None]

    def publish(self, _: int) -> None:
        self.bus.publish(RemoteCommunication("t", str(self.sent)))
        self.sent += 1

    def ready(self, index: int) -> None:
        if self.protocol(index) is ListenerState.ACKNOWLEDGED:
            self.ears[index](b"READY\n")

    def accept(self, index: int) -> None:
        if self.protocol(index) is ListenerState.BUSY:
            self.accepted.append(self.children[index].given[-1])
            self.ears[index](b"RESULT 2\nOK")

    def reject(self, index: int) -> None:
        if self.protocol(index) is ListenerState.BUSY:
            self.ears[index](b"RESULT 4\nFAIL")

    def babble(self, index: int) -> None:
        self.ears[index](b"what?!\n")

    def close_stdin(self, index: int) -> None:
        self.children[index].deaf = True

    def die(self, index: int) -> None:
        child = self.children[index]
        child.become(State.EXITED, 0)

    def spawn(self, index: int) -> None:
        child = self.children[index]
        if child.pid == 0:
            child.deaf = False
            child.become(State.RUNNING, 100 + len(self.lines) + self.sent)

    def somebody_waits(self) -> bool:
        return any(
            child.pid and not child.deaf and self.protocol(i) is ListenerState.READY
            for i, child in enumerate(self.children)
        )

    def check(self) -> None:
        busy = [
            self.children[i].given[-1]
            for i in range(LISTENERS)
            if self.protocol(i) is ListenerState.BUSY
        ]
        assert len(self.dropped()) == self.pool.buffer.dropped
        assert self.pool.buffer.count <= SIZE
        ended = [*self.accepted, *self.dropped(), *busy]
        assert len(set(ended)) == len(ended)
        assert len(ended) + self.pool.buffer.count == self.sent


OPERATIONS = (
    Machine.publish, Machine.ready, Machine.accept, Machine.reject,
    Machine.babble, Machine.close_stdin, Machine.die, Machine.spawn,
)  # fmt: skip


async def play(steps: list[tuple[int, int, float]]) -> None:
    machine = Machine()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.pool.run)
        await wait_all_tasks_blocked()
        for operation, index, pause in steps:
            OPERATIONS[operation](machine, index)
            await wait_all_tasks_blocked()
            machine.check()
            await trio.sleep(pause)
            machine.check()
            if pause >= REDELIVERY_MOST:  # nothing is put off any more
                assert machine.pool.buffer.count == 0 or not machine.somebody_waits()
        # One good listener is enough for all that is left, in the order of their numbers.
        machine.die(0)
        await wait_all_tasks_blocked()
        machine.spawn(0)
        machine.die(1)
        await trio.sleep(REDELIVERY_MOST)
        for _ in range(SIZE + LISTENERS):
            machine.ready(0)
            await wait_all_tasks_blocked()
            machine.accept(0)
        machine.check()
        assert machine.pool.buffer.count == 0
        assert sorted([*machine.accepted, *machine.dropped()]) == list(range(machine.sent))
        nursery.cancel_scope.cancel()


@pytest.mark.behaviour("events.md#order-of-events")
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(OPERATIONS) - 1),
            st.integers(0, LISTENERS - 1),
            st.sampled_from([0.0, 0.05, 2 * REDELIVERY_MOST]),
        ),
        max_size=40,
    )
)
def test_events_are_conserved(steps: list[tuple[int, int, float]]) -> None:
    trio.run(play, steps, clock=MockClock(autojump_threshold=0))
