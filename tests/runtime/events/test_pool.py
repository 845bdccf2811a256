"""Event listener pools with listeners that are not real."""

from __future__ import annotations

import itertools
import os
import re
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, Recorder, program
from tests.kit.running import running
from trio_supervisor.core.config.model import (
    DaemonConfig,
    EventLength,
    GroupConfig,
    GroupKind,
    PoolConfig,
    Severity,
)
from trio_supervisor.core.events import RemoteCommunication, Tick5
from trio_supervisor.core.process.states import ListenerState, State
from trio_supervisor.runtime.events.buffer import QUIET
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.output.stdio import STDIN_LIMIT
from trio_supervisor.runtime.rpc.tsupervisor import pool_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

REMOTE = frozenset({"REMOTE_COMMUNICATION"})


class Stage:
    """A pool called p with running fake listeners."""

    def __init__(self, recorder: Recorder, group: Group) -> None:
        self.recorder = recorder
        self.group = group
        self.processes: list[Process] = list(group.processes.values())

    @property
    def listeners(self) -> list[FakeChild]:
        return self.recorder.launcher.children

    def emit(self, *texts: str) -> None:
        for text in texts:
            self.recorder.host.publish(RemoteCommunication("t", text))

    async def heard(self, index: int = 0) -> str:
        """All that has arrived at one listener since the last look."""
        await wait_all_tasks_blocked()
        fd = self.listeners[index].stdin_reader
        os.set_blocking(fd, False)
        try:
            return os.read(fd, 1 << 20).decode()
        except BlockingIOError:
            return ""

    async def next(self, index: int = 0) -> str:
        """Wait until something arrives at one listener."""
        await trio.lowlevel.wait_readable(self.listeners[index].stdin_reader)
        return await self.heard(index)

    async def say(self, text: str, index: int = 0) -> None:
        self.listeners[index].write(text.encode())
        await wait_all_tasks_blocked()

    def data(self, heard: str) -> list[str]:
        """The data of REMOTE_COMMUNICATION events in what was heard."""
        return [part.split("ver:")[0] for part in heard.split("type:t\n")[1:]]


@asynccontextmanager
async def pool(
    count: int = 1,
    events: frozenset[str] = REMOTE,
    loglevel: Severity = Severity.INFO,
    **options: object,
) -> AsyncIterator[Stage]:
    recorder = Recorder(DaemonConfig(loglevel=loglevel))
    config = GroupConfig(
        name="p",
        kind=GroupKind.POOL,
        pool=PoolConfig(events=events, **options),  # type: ignore[arg-type]  # test data
        processes=tuple(program(f"l{n}", startsecs=0) for n in range(count)),
    )
    group = Group(config, recorder.host)
    async with running(group, recorder.host):
        stage = Stage(recorder, group)
        for process in stage.processes:
            await process.start()
        yield stage


@pytest.mark.behaviour("events.md#header-of-an-event")
async def test_an_event_reaches_a_ready_listener(autojump_clock: MockClock) -> None:
    async with pool() as stage:
        await stage.say("READ")
        await stage.say("Y\n")
        stage.emit("e0")
        assert await stage.heard() == (
            "ver:3.0 server:supervisor serial:0 pool:p poolserial:0 "
            "eventname:REMOTE_COMMUNICATION len:9\ntype:t\ne0"
        )


@pytest.mark.behaviour("events.md#results")
async def test_accept_and_ready_in_one_write(autojump_clock: MockClock) -> None:
    async with pool() as stage:
        stage.emit("0", "1")
        await stage.say("READY\n")
        assert stage.data(await stage.heard()) == ["0"]
        await stage.say("RESULT 2\nOKREADY\n")
        assert stage.data(await stage.heard()) == ["1"]


@pytest.mark.behaviour("events.md#rejected-events")
async def test_a_rejected_event_goes_to_the_next_listener(autojump_clock: MockClock) -> None:
    async with pool(count=2) as stage:
        await stage.say("READY\n", 0)
        await stage.say("READY\n", 1)
        stage.emit("0")
        first = await stage.heard(0)
        await stage.say("RESULT 4\nFAIL", 0)
        assert "WARN l0: event was rejected" in stage.recorder.lines
        await trio.sleep(0.1)  # rejection backs off, on the virtual clock
        assert await stage.heard(1) == first


@pytest.mark.behaviour("events.md#rejected-events")
async def test_rejection_backs_off_and_never_gives_up(autojump_clock: MockClock) -> None:
    """First 0.1 s, doubling to 5 s."""
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0")
        times = []
        for _ in range(9):
            await stage.next()
            times.append(trio.current_time())
            await stage.say("RESULT 4\nFAILREADY\n")
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5], abs=0.06)


async def test_two_who_reject_at_about_the_same_time(autojump_clock: MockClock) -> None:
    """The second rejection puts off what the first one has put off already."""
    async with pool(count=2) as stage:
        await stage.say("READY\n", 0)
        await stage.say("READY\n", 1)
        stage.emit("0", "1")
        assert stage.data(await stage.heard(0) + await stage.heard(1)) == ["0", "1"]
        await stage.say("RESULT 4\nFAILREADY\n", 0)
        await trio.sleep(0.05)
        await stage.say("RESULT 4\nFAILREADY\n", 1)
        await trio.sleep(10)
        assert stage.data(await stage.heard(0) + await stage.heard(1)) == ["1", "0"]


@pytest.mark.behaviour("events.md#violations-of-the-protocol", "events.md#ready")
async def test_a_violation_ends_in_UNKNOWN_until_the_next_spawn(
    autojump_clock: MockClock,
) -> None:
    """Only a request starts it again."""
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0")
        assert stage.data(await stage.heard()) == ["0"]
        await stage.say("junk\n")
        assert "WARN l0: bad result line: 'junk'" in stage.recorder.lines
        assert (
            "WARN l0: has entered the UNKNOWN state and will no longer receive events, this "
            "usually indicates the process violated the eventlistener protocol"
        ) in stage.recorder.lines
        await stage.say("READY\n")
        assert await stage.heard() == ""
        (l0,) = stage.processes
        assert l0.state is State.RUNNING
        await l0.stop()
        await l0.start()
        await stage.say("READY\n", 1)
        assert stage.data(await stage.heard(1)) == ["0"]


@pytest.mark.behaviour("events.md#violations-of-the-protocol")
async def test_a_stray_newline_is_shown(autojump_clock: MockClock) -> None:
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0")
        await stage.say("RESULT 2\nOK\n")
        await stage.say("READY\n")
        assert r"WARN l0: unexpected output: '\nREADY\n'" in stage.recorder.lines
        assert any("l0: has entered the UNKNOWN state" in line for line in stage.recorder.lines)


@pytest.mark.behaviour("events.md#the-first-ready-listener-gets-the-event")
async def test_the_first_ready_listener_takes_everything(autojump_clock: MockClock) -> None:
    """Others get events only while it is busy."""
    async with pool(count=2) as stage:
        await stage.say("READY\n", 1)
        await stage.say("READY\n", 0)
        for text in "abc":
            stage.emit(text)
            assert stage.data(await stage.heard(0)) == [text]
            await stage.say("RESULT 2\nOKREADY\n", 0)
        stage.emit("d", "e")
        assert stage.data(await stage.heard(0)) == ["d"]
        assert stage.data(await stage.heard(1)) == ["e"]


@pytest.mark.behaviour("events.md#overflow-of-the-buffer")
async def test_overflow_drops_the_oldest_and_says_so(autojump_clock: MockClock) -> None:
    async with pool(buffer_size=3, loglevel=Severity.DEBUG) as stage:
        stage.emit(*"012345")
        overflowed = [line for line in stage.recorder.lines if "overflowed" in line]
        assert overflowed == [
            "ERRO pool p event buffer overflowed, discarding event 0",
            "DEBG pool p event buffer overflowed, discarding event 1",
            "DEBG pool p event buffer overflowed, discarding event 2",
        ]
        assert stage.group.pool is not None
        assert stage.group.pool.buffer.dropped == 3
        await stage.say("zzzzzz")
        (l0,) = stage.processes
        await l0.stop()
        await l0.start()
        await stage.say("READY\n", 1)
        heard = await stage.heard(1)
        for _ in range(2):
            await stage.say("RESULT 2\nOKREADY\n", 1)
            heard += await stage.heard(1)
        assert stage.data(heard) == ["3", "4", "5"]
        assert re.findall(r" poolserial:(\d+) ", heard) == ["3", "4", "5"]  # the gap tells


async def test_an_overflow_is_reported_when_it_begins_and_when_it_is_over(
    autojump_clock: MockClock,
) -> None:
    """Listeners that never answer must not cost a line for each event."""
    async with pool(buffer_size=1) as stage:

        def said() -> list[str]:
            lines = [line for line in stage.recorder.lines if "overflowed" in line]
            return [line for line in lines if not line.startswith("DEBG")]

        for _ in range(5):
            stage.emit("a", "b")
            await trio.sleep(QUIET - 1)
        assert said() == ["ERRO pool p event buffer overflowed, discarding event 0"]
        await trio.sleep(2 * QUIET)
        over = "INFO pool p event buffer overflowed no longer, discarded events: "
        assert said()[1:] == [f"{over}9"]
        stage.emit("c")
        assert said()[2:] == ["ERRO pool p event buffer overflowed, discarding event 9"]
    assert said()[3:] == [f"{over}1"]  # the pool was removed


@pytest.mark.behaviour("events.md#rejected-events")
async def test_a_rejected_event_takes_the_head_of_a_full_buffer(
    autojump_clock: MockClock,
) -> None:
    async with pool(buffer_size=3) as stage:
        await stage.say("READY\n")
        stage.emit("0")
        await stage.heard()
        stage.emit("1", "2", "3")
        await stage.say("RESULT 4\nFAIL")
        assert "ERRO pool p event buffer overflowed, discarding event 1" in stage.recorder.lines
        order = []
        await trio.sleep(1)
        await stage.say("READY\n")
        for _ in range(3):
            order += stage.data(await stage.heard())
            await stage.say("RESULT 2\nOKREADY\n")
        assert order == ["0", "2", "3"]


@pytest.mark.behaviour("events.md#a-listener-that-dies")
async def test_an_event_survives_its_listener(autojump_clock: MockClock) -> None:
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0")
        first = await stage.heard()
        stage.listeners[0].die(3)
        await stage.processes[0].wait_for(State.STARTING)
        await stage.processes[0].wait_for(State.RUNNING)
        await stage.say("READY\n", 1)
        assert await stage.heard(1) == first


async def test_an_answer_left_behind_at_death_counts(autojump_clock: MockClock) -> None:
    """An event is put back unless the bytes left in the pipe complete the result."""
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0", "1")
        assert stage.data(await stage.heard()) == ["0"]
        await stage.say("RESULT 2\nO")
        stage.listeners[0].write(b"K")
        stage.listeners[0].die(3)
        await stage.processes[0].wait_for(State.STARTING)
        await stage.processes[0].wait_for(State.RUNNING)
        await stage.say("READY\n", 1)
        assert stage.data(await stage.heard(1)) == ["1"]


@pytest.mark.behaviour("events.md#pools-in-a-shutdown")
async def test_a_pool_is_drained_when_all_is_answered(autojump_clock: MockClock) -> None:
    async with pool() as stage, trio.open_nursery() as nursery:
        assert stage.group.pool is not None
        drained = trio.Event()

        async def wait() -> None:
            assert stage.group.pool is not None
            await stage.group.pool.drained()
            drained.set()

        stage.emit("0", "1")
        nursery.start_soon(wait)
        for answer in ("READY\n", "RESULT 2\nOKREADY\n"):
            await stage.say(answer)
            assert not drained.is_set()
        await stage.say("RESULT 2\nOK")
        assert drained.is_set()


@pytest.mark.behaviour("events.md#pools-in-a-shutdown")
@pytest.mark.parametrize("end", ["violation", "death"])
async def test_nobody_is_waited_for_who_cannot_answer(end: str, autojump_clock: MockClock) -> None:
    async with pool() as stage:
        assert stage.group.pool is not None
        await stage.say("READY\n")
        stage.emit("0", "1")
        await stage.heard()
        with trio.move_on_after(1) as scope:
            await stage.group.pool.drained()
        assert scope.cancelled_caught
        if end == "violation":
            await stage.say("junk\n")
        else:
            await stage.processes[0].stop()
        await stage.group.pool.drained()


@pytest.mark.behaviour("events.md#slow-listeners")
async def test_a_listener_with_closed_stdin_is_passed_over(autojump_clock: MockClock) -> None:
    async with pool(count=2) as stage:
        await stage.say("READY\n", 0)
        await stage.say("READY\n", 1)
        os.close(stage.listeners[0].stdin_reader)
        stage.listeners[0].stdin_reader = os.open(os.devnull, os.O_RDONLY)
        stage.emit("0", "1")
        assert stage.data(await stage.heard(1)) == ["0"]
        assert stage.processes[0].state is State.RUNNING
        await stage.processes[0].stop()
        await stage.processes[0].start()
        await stage.say("READY\n", 2)
        assert stage.data(await stage.heard(2)) == ["1"]


@pytest.mark.behaviour("events.md#slow-listeners")
async def test_a_listener_that_never_reads_blocks_only_itself(
    autojump_clock: MockClock,
) -> None:
    """The second event waits until the first has left us."""
    big = "x" * 300_000
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit(big, "next")
        await wait_all_tasks_blocked()
        await stage.say("RESULT 2\nOKREADY\n")
        received = ""
        while "next" not in received:
            received += await stage.heard()
        assert stage.data(received) == [big, "next"]


@pytest.mark.behaviour("events.md#slow-listeners")
async def test_an_event_larger_than_what_may_wait_for_others(
    autojump_clock: MockClock,
) -> None:
    """What a program sends between its tokens may be of any size (1.4.3)."""
    big = "x" * (STDIN_LIMIT + 1)
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit(big, "next")
        received = await stage.next()
        while len(received) < len(big):
            received += await stage.next()
        await stage.say("RESULT 2\nOKREADY\n")
        received += await stage.heard()
        assert stage.data(received) == [big, "next"]


@pytest.mark.behaviour("events.md#rejected-events")
async def test_a_rejected_event_stays_in_its_pool(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    groups = [
        Group(
            GroupConfig(
                name=name,
                kind=GroupKind.POOL,
                pool=PoolConfig(events=events),
                processes=(program(name, startsecs=0),),
            ),
            recorder.host,
        )
        for name, events in (("a", REMOTE), ("b", frozenset({"TICK_5"})))
    ]
    async with running(groups[0], recorder.host, groups[1]):
        for group in groups:
            await group.processes[group.name].start()
        for child in recorder.launcher.children:
            child.write(b"READY\n")
        await wait_all_tasks_blocked()
        recorder.host.publish(RemoteCommunication("t", "0"))
        await wait_all_tasks_blocked()
        recorder.launcher.children[0].write(b"RESULT 4\nFAIL")
        await trio.sleep(60)
        reader = recorder.launcher.children[1].stdin_reader
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)


@pytest.mark.behaviour("events.md#subscriptions")
async def test_overlapping_subscriptions_deliver_once(autojump_clock: MockClock) -> None:
    async with pool(events=frozenset({"TICK", "TICK_5", "EVENT"}), buffer_size=100) as stage:
        await stage.say("READY\n")
        stage.recorder.host.publish(Tick5(5))
        heard = ""
        for _ in range(20):
            heard += await stage.heard()
            await stage.say("RESULT 2\nOKREADY\n")
        assert heard.count("eventname:TICK_5") == 1


async def test_a_listener_in_starting_gets_nothing(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    config = GroupConfig(
        name="p",
        kind=GroupKind.POOL,
        pool=PoolConfig(events=REMOTE),
        processes=(program("l", startsecs=5),),
    )
    group = Group(config, recorder.host)
    async with running(group, recorder.host):
        stage = Stage(recorder, group)
        stage.processes[0].begin()
        await wait_all_tasks_blocked()
        await stage.say("READY\n")
        stage.emit("0")
        assert await stage.heard() == ""
        await stage.processes[0].wait_for(State.RUNNING)
        assert stage.data(await stage.heard()) == ["0"]


@pytest.mark.behaviour("events.md#result-handlers")
async def test_result_handler_errors_end_in_UNKNOWN(autojump_clock: MockClock) -> None:
    handler = f"{__name__}:broken_handler"
    async with pool(result_handler=handler) as stage:
        await stage.say("READY\n")
        stage.emit("0")
        await stage.heard()
        await stage.say("RESULT 2\nOK")
        assert any("WARN l0: event caused an error" in line for line in stage.recorder.lines)
        assert any("UNKNOWN state" in line for line in stage.recorder.lines)


@pytest.mark.behaviour("events.md#result-handlers")
async def test_result_handler_accepts_by_returning(autojump_clock: MockClock) -> None:
    async with pool(result_handler=f"{__name__}:lenient_handler") as stage:
        await stage.say("READY\n")
        stage.emit("0", "1")
        await stage.heard()
        await stage.say("RESULT 4\nfineREADY\n")
        assert stage.data(await stage.heard()) == ["1"]
        assert responses == [b"fine"]


async def test_an_error_inside_a_pool_stays_there(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while events are dispatched, or output is read, is logged and contained."""
    async with pool() as stage:
        await stage.say("READY\n")
        assert stage.group.pool is not None

        def explode(*arguments: object) -> None:
            raise ZeroDivisionError("injected")

        with monkeypatch.context() as patch:
            patch.setattr(stage.group.pool, "_send", explode)
            stage.emit("0")
            await wait_all_tasks_blocked()
            patch.setattr(stage.group.pool, "_receive", explode)
            await stage.say("READY\n")
        await trio.sleep(1)
        stage.emit("1")
        assert stage.data(await stage.heard()) == ["1"]
        (l0,) = stage.processes
        assert l0.state is State.RUNNING
        crit = [line.splitlines()[0] for line in stage.recorder.lines if line.startswith("CRIT")]
        assert crit == ["CRIT event REMOTE_COMMUNICATION lost:", "CRIT internal error for l0:"]


@pytest.mark.behaviour("events.md#result-handlers")
async def test_result_handler_rejects(autojump_clock: MockClock) -> None:
    """With the class of any name RejectEvent: handlers import Supervisor's."""
    async with pool(result_handler=f"{__name__}:strict_handler") as stage:
        await stage.say("READY\n")
        stage.emit("0")
        first = await stage.heard()
        await stage.say("RESULT 2\nOKREADY\n")
        assert "WARN l0: event was rejected" in stage.recorder.lines
        assert await stage.next() == first


@pytest.mark.behaviour("events.md#ok-accepts-everything-else-rejects", "events.md#results")
@pytest.mark.parametrize("result", ["2\nok", "0\n"])
async def test_a_result_that_is_not_OK_rejects(autojump_clock: MockClock, result: str) -> None:
    async with pool() as stage:
        await stage.say("READY\n")
        stage.emit("0")
        first = await stage.heard()
        await stage.say(f"RESULT {result}")
        assert "WARN l0: event was rejected" in stage.recorder.lines
        await stage.say("READY\n")
        assert await stage.next() == first


class ReferenceRejectEvent(Exception):
    """Named like Supervisor's, but no class of ours."""


ReferenceRejectEvent.__name__ = "RejectEvent"


def strict_handler(event: object, response: bytes) -> None:
    raise ReferenceRejectEvent


def broken_handler(event: object, response: bytes) -> None:
    raise KeyError("no")


responses: list[bytes] = []


def lenient_handler(event: object, response: bytes) -> None:
    responses.append(response)


def test_listener_states_have_the_numbers_of_the_protocol() -> None:
    assert [(state.name, state.value) for state in ListenerState] == [
        ("READY", 10),
        ("BUSY", 20),
        ("ACKNOWLEDGED", 30),
        ("UNKNOWN", 40),
    ]


async def test_len_counts_bytes_for_a_pool_that_wants_it(autojump_clock: MockClock) -> None:
    async with pool(event_len=EventLength.BYTES) as stage:
        await stage.say("READY\n")
        stage.emit("né€")
        assert " len:13\ntype:t\nné€" in await stage.heard()


async def test_a_pool_tells_how_it_keeps_up(autojump_clock: MockClock) -> None:
    """Drops are counted and can be read."""
    async with pool(count=3, buffer_size=2) as stage:
        group = stage.group
        supervisor = cast("Supervisor", SimpleNamespace(groups={"p": group}))
        await stage.say("READY\n", 0)
        await stage.say("zzzzzz", 1)
        stage.emit("0", "1", "2", "3")
        await wait_all_tasks_blocked()
        assert await pool_info(supervisor) == [
            {
                "name": "p",
                "buffer_size": 2,
                "buffered": 2,
                "dropped": 1,
                "listeners": [
                    {"name": "l0", "pid": 1000, "state": 20, "statename": "BUSY"},
                    {"name": "l1", "pid": 1001, "state": 40, "statename": "UNKNOWN"},
                    {"name": "l2", "pid": 1002, "state": 30, "statename": "ACKNOWLEDGED"},
                ],
            }
        ]


async def test_log_lines_of_a_conversation_follow_the_output_that_caused_them(
    autojump_clock: MockClock,
) -> None:
    async with pool(loglevel=Severity.DEBUG) as stage:
        await stage.say("READY\n")
        stage.emit("0", "1", "2")
        await stage.say("RESULT 2\nOKREADY\n")
        await stage.say("RESULT 4\nFAILREADY\n")
        await trio.sleep(1)  # rejection backs off
        await stage.say("sorry\x1b?\n")
        begin = stage.recorder.lines.index("DEBG 'l0' stdout output:\nREADY\n")
        assert stage.recorder.lines[begin:] == [
            "DEBG 'l0' stdout output:\nREADY\n",
            "DEBG l0: ACKNOWLEDGED -> READY",
            "DEBG event 0 sent to listener l0",
            "DEBG 'l0' stdout output:\nRESULT 2\nOKREADY\n",
            "DEBG l0: event was processed",
            "DEBG l0: BUSY -> ACKNOWLEDGED",
            "DEBG l0: ACKNOWLEDGED -> READY",
            "DEBG event 1 sent to listener l0",
            "DEBG 'l0' stdout output:\nRESULT 4\nFAILREADY\n",
            "WARN l0: event was rejected",
            "DEBG l0: BUSY -> ACKNOWLEDGED",
            "DEBG l0: ACKNOWLEDGED -> READY",
            "DEBG event 1 sent to listener l0",
            "DEBG 'l0' stdout output:\nsorry\x1b?\n",
            "WARN l0: bad result line: 'sorry\x1b?'",
            "DEBG l0: BUSY -> UNKNOWN",
            "WARN l0: has entered the UNKNOWN state and will no longer receive events, this "
            "usually indicates the process violated the eventlistener protocol",
        ]
