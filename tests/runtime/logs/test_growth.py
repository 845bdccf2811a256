"""Followers of logs are woken when the daemon writes, and look by themselves if others may."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE
from trio_supervisor.runtime.logs.growth import (
    LOOK,
    LOOK_AT_OURS,
    OTHERS_SEEN,
    Growth,
    LogWrites,
)
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.output.log_source import LogSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from trio_supervisor.runtime.logs.sinks import Sink

PATH = "/log"


@contextmanager
def following(writes: LogWrites) -> Iterator[Growth]:
    growth = writes.follow(PATH)
    yield growth
    growth.close()


async def looks_within(growth: Growth, seconds: float) -> int:
    """How often a follower looks that finds nothing."""
    looks = 0
    with trio.move_on_after(seconds):
        while True:
            await growth.wait()
            looks += 1
    return looks


@pytest.mark.parametrize(("writers", "period"), [(0, LOOK), (1, LOOK_AT_OURS), (2, LOOK_AT_OURS)])
async def test_looks_without_being_woken(
    writers: int, period: float, autojump_clock: MockClock
) -> None:
    writes = LogWrites()
    for _ in range(writers):
        writes.opened(PATH)
    with following(writes) as growth:
        assert await looks_within(growth, 100) == pytest.approx(100 / period, abs=1)


async def test_it_is_the_same_again_when_the_last_writer_has_closed(
    autojump_clock: MockClock,
) -> None:
    writes = LogWrites()
    with following(writes) as growth:
        writes.opened(PATH)
        writes.opened(PATH)
        writes.closed(PATH)
        assert await looks_within(growth, 100) < 2 * 100 / LOOK_AT_OURS
        writes.closed(PATH)
        assert await looks_within(growth, 100) > 0.9 * 100 / LOOK


async def test_a_write_wakes_at_once_but_many_wake_only_so_often(mock_clock: MockClock) -> None:
    writes = LogWrites()
    writes.opened(PATH)
    with following(writes) as growth:
        writes.written(PATH)
        await growth.wait()  # the clock stands still
        writes.written(PATH)  # during the look, as it were
        async with trio.open_nursery() as nursery:
            nursery.start_soon(growth.wait)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            mock_clock.jump(LOOK)


async def test_a_wait_for_some_seconds(autojump_clock: MockClock) -> None:
    writes = LogWrites()
    writes.opened(PATH)
    with following(writes) as growth:
        before = trio.current_time()
        await growth.wait(at_most=0.01)
        assert trio.current_time() - before == pytest.approx(0.01)


async def test_a_log_that_others_write_as_well_is_looked_at_often(
    autojump_clock: MockClock,
) -> None:
    writes = LogWrites()
    writes.opened(PATH)
    with following(writes) as growth:
        await growth.wait()
        growth.found()
        assert await looks_within(growth, OTHERS_SEEN) > 0.9 * OTHERS_SEEN / LOOK
        assert await looks_within(growth, 100) < 2 * 100 / LOOK_AT_OURS


async def test_what_the_daemon_wrote_is_not_taken_for_what_others_write(
    autojump_clock: MockClock,
) -> None:
    writes = LogWrites()
    writes.opened(PATH)
    with following(writes) as growth:
        writes.written(PATH)
        await growth.wait()
        growth.found()
        assert await looks_within(growth, 100) < 2 * 100 / LOOK_AT_OURS


async def test_a_follower_that_is_gone_is_forgotten(autojump_clock: MockClock) -> None:
    writes = LogWrites()
    with following(writes) as growth, following(writes):
        growth.close()
        writes.written(PATH)
        before = trio.current_time()
        await growth.wait()
        assert trio.current_time() > before
    writes.written(PATH)
    assert not writes._followers


async def more(sink: Sink, path: Path) -> None:
    sink.write(b"more\n")


async def clear(sink: Sink, path: Path) -> None:
    await sink.clear()


def replace(path: Path) -> None:
    path.rename(f"{path}.1")
    path.write_bytes(b"after\n")


async def replace_and_reopen(sink: Sink, path: Path) -> None:
    replace(path)
    await sink.reopen()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (more, b"more\n"),
        (clear, b"==> File truncated <==\n"),
        (replace_and_reopen, b"after\n"),
    ],
)
async def test_a_follower_sees_what_a_sink_does_while_the_clock_stands_still(
    tmp_path: Path,
    mock_clock: MockClock,
    change: Callable[[Sink, Path], Awaitable[None]],
    seen: bytes,
) -> None:
    """No time passes for the follower, so it is woken or waits for ever."""
    path = tmp_path / "log"
    path.write_bytes(b"begin\n")
    sinks = Sinks(lambda severity, text: None)
    sink = sinks.file(str(path), maxbytes=0, backups=0)
    stream = await LogSource("stdout", str(path), sinks.writes).follow()
    assert await stream.read() == b"begin\n"
    received: list[bytes] = []

    async def read() -> None:
        received.append(await stream.read())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        await change(sink, path)
    assert received == [seen]
    stream.close()
    sink.close()
    sinks.settle(PATIENCE)
