"""The kernel's count of kills for lack of memory, and the ends that it explains."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.fakes import Recorder
from tests.kit.running import running
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.system.memory_counter import MemoryCounter

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


def counter(tmp_path: Path, kills: int | None) -> MemoryCounter:
    (tmp_path / "cgroup").write_text("0::/box\n")
    (tmp_path / "box").mkdir()
    if kills is not None:
        count(tmp_path, kills)
    return MemoryCounter(str(tmp_path / "cgroup"), str(tmp_path))


def count(tmp_path: Path, kills: int) -> None:
    (tmp_path / "box" / "memory.events").write_text(f"oom 9\noom_kill {kills}\n")


def test_the_count_is_read_each_time(tmp_path: Path) -> None:
    kills = counter(tmp_path, 3)
    assert kills.read() == 3
    count(tmp_path, 4)
    assert kills.read() == 4
    (tmp_path / "box" / "memory.events").unlink()
    assert kills.read() is None


def test_what_has_no_count_is_not_looked_at_again(tmp_path: Path) -> None:
    kills = counter(tmp_path, None)
    assert kills.read() is None
    count(tmp_path, 4)
    assert kills.read() is None
    assert MemoryCounter(str(tmp_path / "none"), str(tmp_path)).read() is None


@pytest.mark.behaviour("process.md#killed-for-lack-of-memory")
async def test_ends_of_children(autojump_clock: MockClock, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.host.memory_kills = counter(tmp_path, 1)
    group, x = recorder.process()

    async def end(kills: int) -> str:
        await x.start()
        if kills:
            count(tmp_path, kills)
        recorder.launcher.last.die(signal=signal.SIGKILL)
        await x.wait_for(State.EXITED)
        assert x.history.last_end is not None
        return str(x.history.last_end)

    async with running(group, recorder.host):
        plain = "terminated by SIGKILL (not expected)"
        told = "terminated by SIGKILL; killed for lack of memory (not expected)"
        assert await end(0) == plain
        assert await end(2) == told
        assert await end(0) == plain
        await x.start()
        count(tmp_path, 3)
        x.signal(signal.SIGKILL)
        recorder.launcher.last.die(signal=signal.SIGKILL)
        await x.wait_for(State.EXITED)
        assert str(x.history.last_end) == plain
        assert await end(4) == told  # the signal was sent to an earlier child
