"""The reader that lets output gather: when it reads a pipe, and that no byte is lost or moved."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE
from trio_supervisor.runtime.output.gathering import GATHER, GatheringReader
from trio_supervisor.runtime.output.pipe import DEFAULT_PIPE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Intake:
    """Keeps what it is fed, each read by itself."""

    backlogged = False

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.reading, self.writing = os.pipe2(os.O_NONBLOCK)

    def feed(self, data: bytes) -> None:
        self.reads.append(data)

    def transfer(self, fd: int) -> None:
        """All output is to be read."""

    async def room(self) -> None:
        raise AssertionError("nothing waits")

    def pipe_ended(self, fd: int) -> None:
        """Nothing is to be done."""

    def write(self, data: bytes) -> None:
        os.write(self.writing, data)

    def close(self) -> None:
        os.close(self.reading)
        if self.writing >= 0:
            os.close(self.writing)


class Batches:
    """Counts the batches of reads."""

    count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *raised: object) -> None:
        pass


@pytest.fixture
def intakes() -> Iterator[list[Intake]]:
    made = [Intake() for _ in range(3)]
    yield made
    for intake in made:
        intake.close()


async def settle(clock: MockClock, seconds: float) -> None:
    """Let time pass, and everything happen that is due then."""
    clock.jump(seconds)
    # Two rounds: tasks that a timer woke are blocked again, and readable pipes were reported.
    for _ in range(2):
        await wait_all_tasks_blocked(0.01)


def test_busy_pipes_are_read_together_on_the_beat(intakes: list[Intake]) -> None:
    batches = Batches()
    clock = MockClock()

    async def main() -> None:
        reader = GatheringReader(batches)
        async with trio.open_nursery() as nursery:
            for intake in intakes:
                nursery.start_soon(reader.drain, intake.reading, intake)
            for line in (b"a", b"b"):  # the second within GATHER seconds makes the pipes busy
                for intake in intakes:
                    intake.write(line)
                await settle(clock, 0)
            assert [intake.reads for intake in intakes] == [[b"a"]] * 3
            before = batches.count
            for intake in intakes:
                intake.write(b"c")
            await settle(clock, GATHER)
            assert [intake.reads for intake in intakes] == [[b"a", b"bc"]] * 3
            assert batches.count == before + 1
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


def test_a_pipe_without_output_on_a_beat_is_read_at_once_again(intakes: list[Intake]) -> None:
    clock = MockClock()

    async def main() -> None:
        reader = GatheringReader(Batches())
        intake = intakes[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.drain, intake.reading, intake)
            for line in (b"a", b"b"):
                intake.write(line)
                await settle(clock, 0)
            await settle(clock, GATHER)
            await settle(clock, GATHER)  # nothing came
            intake.write(b"c")
            await settle(clock, 0)
            assert intake.reads == [b"a", b"b", b"c"]
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


@pytest.mark.parametrize("how", ["ends", "is cancelled"])
def test_the_beat_goes_on_when_the_channel_that_gives_it(how: str, intakes: list[Intake]) -> None:
    clock = MockClock()

    async def main() -> None:
        reader = GatheringReader(Batches())
        scopes = [trio.CancelScope() for _ in intakes]

        async def drain(intake: Intake, scope: trio.CancelScope) -> None:
            with scope:
                await reader.drain(intake.reading, intake)

        async with trio.open_nursery() as nursery:
            first, *others = intakes
            for intake, scope in zip(intakes, scopes, strict=True):
                nursery.start_soon(drain, intake, scope)
                for line in (b"a", b"b"):  # one after another, so the first gives the beat
                    intake.write(line)
                    await settle(clock, 0)
            if how == "ends":
                os.close(first.writing)
                first.writing = -1
                await settle(clock, GATHER)  # reads what is left
                await settle(clock, GATHER)  # the end of the pipe
            else:
                scopes[0].cancel()
                await settle(clock, 0)
            for intake in others:
                intake.write(b"c")
            await settle(clock, GATHER)
            assert [b"".join(intake.reads) for intake in others] == [b"abc"] * 2
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


def test_a_flood_arrives_whole_and_in_order(intakes: list[Intake]) -> None:
    """However much the reads fetch, down to the end of the pipe, and with lines in between."""
    intake = intakes[0]
    sent = b"".join(b"%08d\n" % number for number in range(8 * DEFAULT_PIPE_SIZE // 9)) + b"end"

    async def main() -> None:
        reader = GatheringReader(Batches())
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.drain, intake.reading, intake)
                stream = trio.lowlevel.FdStream(intake.writing)
                intake.writing = -1
                async with stream:
                    await stream.send_all(sent)
                    await stream.send_all(b"x")

    trio.run(main)
    assert b"".join(intake.reads) == sent + b"x"
