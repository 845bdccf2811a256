"""Floods that go past the event loop: which do, and that no byte is lost or moved."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.kit.daemon import PATIENCE
from tests.kit.fakes import Recorder
from trio_supervisor.core.config.model import ChannelConfig, DaemonConfig, LogFormat, Severity
from trio_supervisor.runtime.output.channel import OutputChannel, open_channels
from trio_supervisor.runtime.output.pipe import CHUNK
from trio_supervisor.runtime.output.transfer import PIECE

#: Bytes of one record of the writer, and how many it writes in one block.
RECORD = 8
BLOCK = 1024


class Writer:
    """A thread that writes numbers to a pipe as fast as they are read."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.blocks = 0
        self._stopped = self._has_ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with suppress(BrokenPipeError):
            while not self._stopped:
                os.write(self._writing, self._block(self.blocks))
                self.blocks += 1

    @staticmethod
    def _block(number: int) -> bytes:
        numbers = range(number * BLOCK, (number + 1) * BLOCK)
        return b"".join(b"%07d\n" % each for each in numbers)

    def written(self) -> bytes:
        return b"".join(map(self._block, range(self.blocks)))

    async def stop(self) -> None:
        """While its pipe is read."""
        self._stopped = True
        await trio.to_thread.run_sync(self._thread.join)

    def end(self) -> None:
        self._has_ended = True
        os.close(self._writing)

    def close(self) -> None:
        self._stopped = True
        os.close(self.reading)  # a write fails then
        self._thread.join()
        if not self._has_ended:
            os.close(self._writing)


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.close()


@asynccontextmanager
async def opened(
    log: Path, config: ChannelConfig | None = None, daemon: DaemonConfig | None = None
) -> AsyncIterator[OutputChannel]:
    recorder = Recorder(daemon or DaemonConfig())
    config = ChannelConfig(str(log)) if config is None else config
    channel = OutputChannel("stdout", config, process="x", group="g", host=recorder.host)
    await open_channels([channel], recorder.host.sinks)
    yield channel
    channel.finish()
    await channel.settled()
    recorder.host.sinks.settle(PATIENCE)
    assert [line for line in recorder.lines if line.startswith(("ERRO", "CRIT"))] == []


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  # the size of a file has no event
            await trio.sleep(0.001)


def size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def parts_of(log: Path) -> list[Path]:
    """The log with its backups, the oldest first."""
    backups = range(len(list(log.parent.iterdir())) - 1, 0, -1)
    return [*(log.with_name(f"{log.name}.{number}") for number in backups), log]


def is_larger(log: Path, amount: int) -> bool:
    return size(log) > amount


@pytest.mark.behaviour("process.md#output-is-logged-as-it-arrives")
@pytest.mark.parametrize("rotated", [False, True])
async def test_a_child_that_dies_in_a_flood_has_all_in_its_log(
    tmp_path: Path, writer: Writer, *, rotated: bool
) -> None:
    """The transfer stops wherever it is, and what it has left is read behind it."""
    log = tmp_path / "x.log"
    maxbytes = 2 * PIECE if rotated else 0
    async with opened(log, ChannelConfig(str(log), maxbytes=maxbytes, backups=1000)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.drain, writer.reading, 1)
            await until(lambda: channel.tail.count > 8 * PIECE)
            await writer.stop()
            nursery.cancel_scope.cancel()
        channel.drain_rest(writer.reading)
        count = channel.tail.count
        remembered = channel.tail.data
    parts = parts_of(log)
    written = b"".join(part.read_bytes() for part in parts)
    assert written == writer.written()
    assert count == len(written)
    assert written.endswith(remembered)
    assert len(parts) > 1 or not rotated
    assert not rotated or all(size(part) <= maxbytes + CHUNK for part in parts)


async def test_a_flood_ends_with_its_pipe(tmp_path: Path, writer: Writer) -> None:
    log = tmp_path / "x.log"
    async with opened(log) as channel:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channel.drain, writer.reading, 1)
                await until(lambda: size(log) > 8 * PIECE)
                await writer.stop()
                writer.end()
        await until(lambda: size(log) == channel.tail.count)
    assert log.read_bytes() == writer.written()


async def test_a_subscriber_gets_a_flood_from_now_on(tmp_path: Path, writer: Writer) -> None:
    """Each byte that is read after it has subscribed, and those alone."""
    log = tmp_path / "x.log"
    async with opened(log) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(channel.drain, writer.reading, 1)
        await until(lambda: size(log) > 8 * PIECE)
        with channel.subscriptions.open(1 << 30) as stream:
            seen = b"".join([await anext(stream) for _ in range(100)])
            await writer.stop()
            await until(lambda: size(log) == channel.tail.count == len(writer.written()))
            seen += b"".join(stream.backlog.take_all())
        nursery.cancel_scope.cancel()
    assert log.read_bytes() == writer.written()
    assert writer.written().endswith(seen)


async def test_what_the_daemon_writes_to_the_log_of_a_flood_stays_in_one_piece(
    tmp_path: Path, writer: Writer
) -> None:
    log = tmp_path / "x.log"
    note = b"note" * RECORD
    async with opened(log) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(channel.drain, writer.reading, 1)
        for number in range(1, 11):
            await until(partial(is_larger, log, number * PIECE))
            channel.write_to_log(note)
        await writer.stop()
        total = len(writer.written()) + 10 * len(note)
        await until(lambda: size(log) == channel.tail.count == total)
        nursery.cancel_scope.cancel()
    pieces = log.read_bytes().split(note)
    assert len(pieces) == 11
    assert b"".join(pieces) == writer.written()


async def test_the_log_of_a_flood_can_be_cleared(tmp_path: Path, writer: Writer) -> None:
    log = tmp_path / "x.log"
    async with opened(log) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(channel.drain, writer.reading, 1)
        await until(lambda: size(log) > 8 * PIECE)
        await channel.clear()
        await writer.stop()
        await until(lambda: channel.tail.count == len(writer.written()))
        nursery.cancel_scope.cancel()
    left = log.read_bytes()
    assert len(left) < len(writer.written())
    assert writer.written().endswith(left)


@pytest.mark.parametrize(
    ("config", "daemon", "log_format", "is_plain"),
    [
        ({}, {}, LogFormat.RAW, True),
        ({"logfile": None}, {}, LogFormat.RAW, False),
        ({"syslog": True}, {}, LogFormat.RAW, False),
        ({"events_enabled": True}, {}, LogFormat.RAW, False),
        ({"capture_maxbytes": 100}, {}, LogFormat.RAW, False),
        ({}, {"strip_ansi": True}, LogFormat.RAW, False),
        ({}, {"loglevel": Severity.DEBUG}, LogFormat.RAW, False),
        ({}, {}, LogFormat.JSON, False),
    ],
)
async def test_only_bytes_for_a_log_file_alone_go_past_the_event_loop(
    tmp_path: Path,
    config: dict[str, object],
    daemon: dict[str, object],
    log_format: LogFormat,
    is_plain: bool,
) -> None:
    settings = {"logfile": str(tmp_path / "x.log")} | config
    host = Recorder(DaemonConfig(**daemon)).host  # type: ignore[arg-type]  # of the table above
    channel = OutputChannel(
        "stdout",
        ChannelConfig(**settings),  # type: ignore[arg-type]  # of the table above
        process="x",
        group="g",
        host=host,
        log_format=log_format,
    )
    reading, writing = os.pipe()
    await open_channels([channel], host.sinks)
    transfer = channel.transfer(reading)
    assert (transfer is not None) == is_plain
    if transfer is not None:
        with transfer:
            os.write(writing, b"x")
            await transfer.ended()  # by a small read
    channel.finish()
    for fd in (reading, writing):
        os.close(fd)
