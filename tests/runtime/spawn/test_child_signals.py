"""SIGCHLD of many children that end at once interrupts the daemon once."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_supervisor.runtime.spawn import child_signals
from trio_supervisor.runtime.spawn.child_signals import PAUSE, ChildSignals


class Listener:
    """The task that waits, and how often it was told."""

    def __init__(self, signals: ChildSignals) -> None:
        self.told = 0
        self.is_prompt = False
        self._signals = signals

    async def run(self) -> None:
        while True:
            await self._signals.ended(lambda: self.is_prompt)
            self.told += 1


@pytest.fixture
def zombies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the kernel says of zombies; others than those of a test may be in this process."""
    zombies: list[int] = []
    monkeypatch.setattr(child_signals, "has_zombie", lambda: bool(zombies))
    return zombies


@pytest.fixture(autouse=True)
def _usual_effect() -> Iterator[None]:
    before = signal.getsignal(signal.SIGCHLD)
    yield
    assert signal.getsignal(signal.SIGCHLD) is before


def is_received() -> bool:
    return signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL


@pytest.mark.behaviour("process.md#reaping")
async def test_of_signals_in_quick_succession_the_first_is_received(
    mock_clock: MockClock, zombies: list[int]
) -> None:
    with ChildSignals() as signals:
        listener = Listener(signals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            await wait_all_tasks_blocked()
            for told in (1, 2):
                assert is_received()
                for _ in range(10):
                    signal.raise_signal(signal.SIGCHLD)
                    assert not is_received()
                await wait_all_tasks_blocked()
                assert listener.told == told
                mock_clock.jump(PAUSE * 0.9)
                await wait_all_tasks_blocked()
                assert not is_received()
                mock_clock.jump(PAUSE * 0.2)
                await wait_all_tasks_blocked()
            assert is_received()
            assert listener.told == 2
            nursery.cancel_scope.cancel()


@pytest.mark.behaviour("process.md#reaping")
async def test_a_child_that_ends_in_the_pause_is_told_of_once(
    mock_clock: MockClock, zombies: list[int]
) -> None:
    with ChildSignals() as signals:
        listener = Listener(signals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            await wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGCHLD)
            await wait_all_tasks_blocked()
            zombies.append(1)  # and nobody reaps it
            for _ in range(3):
                mock_clock.jump(PAUSE)
                await wait_all_tasks_blocked()
                assert listener.told == 2
            nursery.cancel_scope.cancel()


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
async def test_there_is_no_pause_where_only_the_signal_tells_of_an_end(
    mock_clock: MockClock, zombies: list[int]
) -> None:
    with ChildSignals() as signals:
        listener = Listener(signals)
        listener.is_prompt = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            for told in (1, 2, 3):
                await wait_all_tasks_blocked()
                signal.raise_signal(signal.SIGCHLD)
                await wait_all_tasks_blocked()
                assert listener.told == told
            nursery.cancel_scope.cancel()


async def test_a_task_that_is_cancelled_in_the_pause_leaves_it_to_the_next(
    mock_clock: MockClock, zombies: list[int]
) -> None:
    with ChildSignals() as signals:
        for _ in range(2):
            signal.raise_signal(signal.SIGCHLD)
            listener = Listener(signals)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listener.run)
                await wait_all_tasks_blocked()
                mock_clock.jump(PAUSE / 2)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        zombies.append(1)
        listener = Listener(signals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            await wait_all_tasks_blocked()
            mock_clock.jump(PAUSE)
            await wait_all_tasks_blocked()
            assert listener.told == 1
            assert is_received()
            nursery.cancel_scope.cancel()


async def test_if_the_kernel_does_not_tell_of_zombies_there_may_be_one(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(os, "waitid", refuse)
    with ChildSignals() as signals:
        listener = Listener(signals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            await wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGCHLD)
            for _ in range(3):
                await wait_all_tasks_blocked()
                mock_clock.jump(PAUSE)
            assert listener.told == 2
            nursery.cancel_scope.cancel()


def test_a_zombie_is_seen_and_not_reaped() -> None:
    pid = os.spawnv(os.P_NOWAIT, "/bin/sh", ["sh", "-c", "exit 3"])
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert child_signals.has_zombie()
    assert os.waitpid(pid, 0) == (pid, 3 << 8)
