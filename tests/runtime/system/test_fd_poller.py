"""One task that reads the pipes of many."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_supervisor.runtime.system.fd_poller import BEAT, FdPoller


class Reader:
    """Reads a pipe and stops at its end, or when it has read ``.``."""

    def __init__(self) -> None:
        self.fd, self.writer = os.pipe()
        os.set_blocking(self.fd, False)
        self.heard: list[bytes] = []

    def take(self) -> bool:
        data = os.read(self.fd, 100)
        self.heard.append(data)
        return data not in (b"", b".")

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.writer)


@asynccontextmanager
async def polling(count: int) -> AsyncIterator[tuple[FdPoller, list[Reader], trio.Nursery]]:
    poller = FdPoller()
    readers = [Reader() for _ in range(count)]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            yield poller, readers, nursery
            nursery.cancel_scope.cancel()
    for reader in readers:
        reader.close()


async def test_what_arrives_is_taken_until_its_reader_has_enough() -> None:
    async with polling(2) as (poller, (a, b), nursery):
        nursery.start_soon(poller.read, b.fd, b.take)
        os.write(a.writer, b"early")
        async with trio.open_nursery() as inner:
            inner.start_soon(poller.read, a.fd, a.take)
            await wait_all_tasks_blocked()
            assert a.heard == [b"early"]
            os.write(b.writer, b"x")
            os.write(a.writer, b".")
        await wait_all_tasks_blocked()
        assert (a.heard, b.heard) == ([b"early", b"."], [b"x"])
        os.write(a.writer, b"late")
        os.write(b.writer, b"y")
        await wait_all_tasks_blocked()
        assert (a.heard, b.heard) == ([b"early", b"."], [b"x", b"y"])


async def test_no_descriptors_without_readers() -> None:
    """Most supervisors have no listeners."""
    before = len(os.listdir("/proc/self/fd"))
    async with polling(0):
        await wait_all_tasks_blocked()
        assert len(os.listdir("/proc/self/fd")) == before


async def test_an_end_is_noticed_and_the_descriptor_can_be_used_again() -> None:
    async with polling(1) as (poller, (a,), _):
        for _ in range(2):
            os.write(a.writer, b".")
            await poller.read(a.fd, a.take)
        os.close(a.writer)
        await poller.read(a.fd, a.take)
        assert a.heard == [b".", b".", b""]
        a.writer = os.open(os.devnull, os.O_WRONLY)


async def test_an_error_reaches_the_one_it_belongs_to() -> None:
    def explode() -> bool:
        raise ZeroDivisionError("injected")

    async with polling(2) as (poller, (a, b), nursery):
        nursery.start_soon(poller.read, b.fd, b.take)
        os.write(a.writer, b"x")
        with pytest.raises(ZeroDivisionError):
            await poller.read(a.fd, explode)
        os.write(b.writer, b"x")
        await wait_all_tasks_blocked()
        assert b.heard == [b"x"]


async def test_a_reader_that_is_cancelled_is_called_no_more() -> None:
    async with polling(2) as (poller, (a, b), nursery):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(poller.read, a.fd, a.take)
                await wait_all_tasks_blocked()
                scope.cancel()
        os.write(a.writer, b"x")
        nursery.start_soon(poller.read, b.fd, b.take)
        await wait_all_tasks_blocked()
        assert a.heard == []


async def test_readers_outlive_the_poller() -> None:
    """It is started again after an error, and there may be readers before it."""
    poller, reader = FdPoller(), Reader()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.read, reader.fd, reader.take)
            await wait_all_tasks_blocked()
            for word in (b"first", b"."):
                async with trio.open_nursery() as running:
                    running.start_soon(poller.run)
                    os.write(reader.writer, word)
                    await wait_all_tasks_blocked()
                    running.cancel_scope.cancel()
    assert reader.heard == [b"first", b"."]
    reader.close()


async def test_no_one_who_always_talks_holds_up_other_tasks() -> None:
    async with polling(1) as (poller, (a,), nursery):
        os.write(a.writer, b"x")
        taken = 0

        def never_read() -> bool:
            nonlocal taken
            taken += 1
            return True

        nursery.start_soon(poller.read, a.fd, never_read)
        turns = 0
        while taken < 100:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns > 100 // 10


async def test_calls_that_were_put_off_are_made_together(mock_clock: MockClock) -> None:
    """One timer for hundreds of listeners, and none while nothing is due."""
    poller = FdPoller()
    made: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        for number in range(3):
            poller.later(partial(made.append, number))
        await wait_all_tasks_blocked()
        assert made == []
        mock_clock.jump(BEAT)
        await wait_all_tasks_blocked()
        assert made == [0, 1, 2]
        poller.later(partial(made.append, 3))
        mock_clock.jump(BEAT)
        await wait_all_tasks_blocked()
        mock_clock.jump(BEAT)
        await wait_all_tasks_blocked()
        assert made == [0, 1, 2, 3]
        nursery.cancel_scope.cancel()
