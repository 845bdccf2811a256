"""Descriptors that are served while trio would wait."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType, ModuleType

import outcome
import pytest
import trio

from trio_supervisor.runtime.system.fd_poller import FdPoller
from trio_supervisor.runtime.system.idle_wait import IdleWait


class Conversation:
    """A pipe with an answer in it, and the next one as soon as that was taken."""

    def __init__(self, most: int) -> None:
        self.fd, self.writer = os.pipe()
        os.set_blocking(self.fd, False)
        self.most = most
        self.taken = 0
        self.then: Callable[[], object] | None = None
        """Is called in the midst of it."""
        os.write(self.writer, b"x")

    def take(self) -> bool:
        os.read(self.fd, 1)
        self.taken += 1
        if self.taken == self.most // 2 and self.then is not None:
            self.then()
        if self.taken == self.most:
            return False
        os.write(self.writer, b"x")
        return True

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.writer)


class Turns(trio.abc.Instrument):
    """Counts the waits of trio, and those of which the length was out of date."""

    def __init__(self) -> None:
        self.count = 0
        self.cut_short = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1
        statistics = trio.lowlevel.current_statistics()
        if timeout > 0 and statistics.run_sync_soon_queue_size:
            self.cut_short += 1


@asynccontextmanager
async def polling() -> AsyncIterator[FdPoller]:
    poller = FdPoller()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            yield poller
            nursery.cancel_scope.cancel()


async def test_it_is_known_how_this_version_of_trio_waits() -> None:
    idle_wait = IdleWait(lambda _: None)
    assert idle_wait.is_possible
    idle_wait.close()


async def test_a_conversation_takes_few_turns_of_the_event_loop() -> None:
    """And one system call to wait for each answer."""
    conversation, turns = Conversation(1000), Turns()
    waits = 0

    def count(frame: FrameType, event: str, function: object) -> None:
        nonlocal waits
        waits += event == "c_call" and getattr(function, "__name__", None) == "poll"

    async with polling() as poller:
        trio.lowlevel.add_instrument(turns)
        sys.setprofile(count)
        await poller.read(conversation.fd, conversation.take)
        sys.setprofile(None)
        trio.lowlevel.remove_instrument(turns)
    assert conversation.taken == conversation.most
    assert turns.count < 10
    assert waits < conversation.most + 20
    conversation.close()


@pytest.mark.parametrize("hidden", [False, True])
async def test_conversations_of_several_pollers_go_on(
    monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    """Also with a trio that waits in another way than is known."""
    if hidden:
        monkeypatch.setitem(sys.modules, "trio._core._run", ModuleType("another"))
    conversations = [Conversation(1000) for _ in range(4)]
    async with polling() as one, polling() as other, trio.open_nursery() as nursery:
        for number, each in enumerate(conversations):
            nursery.start_soon((one if number % 2 else other).read, each.fd, each.take)
    for each in conversations:
        assert each.taken == each.most
        each.close()


async def test_a_task_that_becomes_runnable_is_resumed_at_once() -> None:
    conversation, event = Conversation(20), trio.Event()
    conversation.then = event.set
    async with polling() as poller, trio.open_nursery() as nursery:
        nursery.start_soon(poller.read, conversation.fd, conversation.take)
        await event.wait()
        # The task that reads what trio reports may have been resumed before it.
        assert conversation.taken <= conversation.most // 2 + 1
    conversation.close()


async def test_what_else_trio_waits_for_is_seen_at_once() -> None:
    """Although there is always an answer."""
    conversation = Conversation(1000)
    reading, writing = os.pipe()
    conversation.then = lambda: os.write(writing, b"x")
    async with polling() as poller, trio.open_nursery() as nursery:
        nursery.start_soon(poller.read, conversation.fd, conversation.take)
        await trio.lowlevel.wait_readable(reading)
        # One is reported together with it, and one may be before the task is resumed.
        assert conversation.taken <= conversation.most // 2 + 2
    conversation.close()
    os.close(reading)
    os.close(writing)


def waiting() -> int:
    """Return the number of tasks for which trio waits for a readable descriptor."""
    statistics = trio.lowlevel.current_statistics().io_statistics
    assert statistics.backend == "epoll"
    return statistics.tasks_waiting_read


async def test_an_end_in_the_midst_leaves_no_wait_behind() -> None:
    conversation, poller = Conversation(20), FdPoller()
    await trio.testing.wait_all_tasks_blocked()  # those of trio
    before = waiting()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            nursery.start_soon(poller.read, conversation.fd, conversation.take)
            conversation.then = nursery.cancel_scope.cancel
    assert conversation.taken <= conversation.most // 2 + 1
    await trio.testing.wait_all_tasks_blocked()
    assert waiting() == before
    conversation.close()


async def test_trio_alone_serves_again_what_comes_later() -> None:
    """After others happened, and after nothing came for a while."""
    conversation = Conversation(1000)

    def pause() -> bool:
        os.read(conversation.fd, 1)
        conversation.taken += 1
        return True

    async with polling() as poller, trio.open_nursery() as nursery:
        nursery.start_soon(poller.read, conversation.fd, pause)
        for number in range(1, 20):
            await trio.testing.wait_all_tasks_blocked(0.01 * (number % 3))
            assert conversation.taken == number
            os.write(conversation.writer, b"x")
        nursery.cancel_scope.cancel()
    conversation.close()


async def test_others_are_not_held_up_by_those_who_always_talk() -> None:
    """A thread, a descriptor and a deadline, while the conversation has no end."""
    conversation = Conversation(-1)
    reading, writing = os.pipe()
    async with polling() as poller, trio.open_nursery() as nursery:
        nursery.start_soon(poller.read, conversation.fd, conversation.take)
        await trio.to_thread.run_sync(threading.Event)
        os.write(writing, b"x")
        await trio.lowlevel.wait_readable(reading)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    conversation.close()
    os.close(reading)
    os.close(writing)


async def test_a_wait_that_ended_in_vain_does_not_make_deadlines_late() -> None:
    """Trio has decided before how long it waits."""
    conversation, turns = Conversation(-1), Turns()

    def pause() -> bool:
        os.read(conversation.fd, 1)
        return True

    async with polling() as poller, trio.open_nursery() as nursery:
        nursery.start_soon(poller.read, conversation.fd, pause)
        await trio.testing.wait_all_tasks_blocked()  # something was served: more is expected
        trio.lowlevel.add_instrument(turns)
        await trio.sleep(0.01)
        trio.lowlevel.remove_instrument(turns)
        assert turns.cut_short == 1
        nursery.cancel_scope.cancel()
    conversation.close()


async def test_an_error_reaches_the_one_it_belongs_to() -> None:
    conversation = Conversation(20)

    def explode() -> None:
        raise ZeroDivisionError("injected")

    conversation.then = explode
    async with polling() as poller:
        with pytest.raises(ZeroDivisionError):
            await poller.read(conversation.fd, conversation.take)
    assert conversation.taken == conversation.most // 2
    conversation.close()


def test_an_interrupt_reaches_the_main_task() -> None:
    """Control-C of a program that embeds a supervisor."""
    conversation = Conversation(1000)
    conversation.then = partial(signal.raise_signal, signal.SIGINT)

    async def talk() -> None:
        async with polling() as poller:
            await poller.read(conversation.fd, conversation.take)

    with pytest.raises(BaseExceptionGroup) as raised:
        trio.run(talk)
    interrupt, others = raised.value.split(KeyboardInterrupt)
    assert interrupt is not None
    assert others is None
    assert conversation.taken < conversation.most
    conversation.close()


def test_a_host_of_trio_is_never_blocked() -> None:
    """In guest mode trio waits in another thread."""
    conversation = Conversation(1000)
    calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[bool]] = []

    async def talk() -> bool:
        async with polling() as poller:
            await poller.read(conversation.fd, conversation.take)
        idle_wait = IdleWait(lambda _: None)
        idle_wait.close()
        return idle_wait.is_possible

    trio.lowlevel.start_guest_run(
        talk, run_sync_soon_threadsafe=calls.put, done_callback=results.append
    )
    while not results:
        calls.get()()
    [result] = results
    assert result.unwrap() is False
    assert conversation.taken == conversation.most
    conversation.close()
