"""A program whose memory is watched is restarted when it uses too much."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import Recorder, ignore_all_but_kill
from tests.kit.running import running
from trio_supervisor.core.config.limits import Limits
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.restarting import RestartLimit, RestartOptions
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.flapping import is_flapping
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.own_memory import OwnMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

MIB = 1024**2
LIMITS = Limits(memory_max=10 * MIB)


class ScriptedMemory(OwnMemory):
    """The same for all processes; ``used`` is set by the test."""

    def __init__(self) -> None:
        self.used: int | None = MIB
        self.watched: set[int] = set()
        self.looks = 0

    @contextmanager
    def watching(self, pid: int, members: object = None) -> Iterator[None]:
        self.watched.add(pid)
        try:
            yield
        finally:
            self.watched.discard(pid)

    async def of(self, pid: int) -> int | None:
        await trio.lowlevel.checkpoint()
        assert pid in self.watched
        self.looks += 1
        return self.used


def recorder_with(memory: ScriptedMemory) -> Recorder:
    recorder = Recorder()
    recorder.host._own_memory = memory
    return recorder


@pytest.mark.behaviour("policies.md#watched-memory")
async def test_it_is_restarted_after_three_looks(autojump_clock: MockClock) -> None:
    memory = ScriptedMemory()
    recorder = recorder_with(memory)
    group, x = recorder.process(limits=LIMITS, autorestart=Autorestart.NEVER)
    async with running(group, recorder.host):
        await x.start()
        await trio.sleep(60)
        assert memory.looks == 12
        memory.used = 12 * MIB
        began = trio.current_time()
        await x.wait_for(State.STOPPED)
        assert 10 <= trio.current_time() - began <= 15
        memory.used = MIB
        await x.wait_for(State.RUNNING)
        entries = recorder.host.journal.memory.of("x")
        [limit] = [entry for entry in entries if entry.what is What.LIMIT]
        assert (limit.new, limit.evidence) == (
            "memory_max",
            {"used": 12 * MIB, "limit": 10 * MIB},
        )
        caused = [entry for entry in entries if entry.cause.entry == limit.number]
        assert [entry.new for entry in caused] == ["STOPPING", "STARTING"]
        assert {entry.cause.kind for entry in caused} == {CauseKind.LIMIT}
        text = "WARN x: uses 12.0 MiB, more than its memory_max, 10.0 MiB; it is restarted"
        assert recorder.lines.count(text) == 1
        assert x.record.automatic_restarts == 1
        assert memory.watched == {x.pid}
        await x.stop()
        assert memory.watched == set()


@pytest.mark.behaviour("policies.md#watched-memory")
async def test_a_look_that_shows_nothing_does_not_count(autojump_clock: MockClock) -> None:
    memory = ScriptedMemory()
    memory.used = None
    recorder = recorder_with(memory)
    group, x = recorder.process(limits=LIMITS)
    async with running(group, recorder.host):
        await x.start()
        await trio.sleep(100)
        assert x.state is State.RUNNING
        assert len(recorder.launcher.children) == 1
        await x.stop()


@pytest.mark.behaviour("policies.md#watched-memory")
async def test_restarts_for_memory_are_limited_and_flapping(autojump_clock: MockClock) -> None:
    memory = ScriptedMemory()
    memory.used = 11 * MIB
    recorder = recorder_with(memory)
    options = RestartOptions(restart_limit=RestartLimit(3, 300))
    group, x = recorder.process(limits=LIMITS, restarting=options)
    async with running(group, recorder.host):
        await x.start()
        await x.wait_for(State.FATAL)
        assert x.record.spawn_error == "restarted 3 times within 300 seconds"
        assert len(recorder.launcher.children) == 4
        assert is_flapping(x.record, trio.current_time())


@pytest.mark.behaviour("policies.md#watched-memory")
async def test_a_stop_meanwhile_leaves_it_stopped(autojump_clock: MockClock) -> None:
    memory = ScriptedMemory()
    recorder = recorder_with(memory)
    recorder.launcher.prepare = lambda child: setattr(child, "on_signal", ignore_all_but_kill)
    group, x = recorder.process(limits=LIMITS)
    async with running(group, recorder.host):
        await x.start()
        memory.used = 11 * MIB
        await x.wait_for(State.STOPPING)
        await x.stop()
        await trio.sleep(100)
        assert x.state is State.STOPPED
