"""One output channel: from the pipe to log, events and activity log."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.kit.daemon import PATIENCE
from tests.kit.fakes import Recorder
from trio_supervisor.core.config.model import ChannelConfig, DaemonConfig, Severity
from trio_supervisor.core.events import Event, ProcessCommunication, ProcessLog, as_text
from trio_supervisor.core.output import BEGIN, END
from trio_supervisor.runtime.output.channel import OutputChannel, open_channels
from trio_supervisor.runtime.output.pipe import CHUNK


class Bench:
    """Runs chunks of output through one channel, each as one read."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "x.log"
        self.recorder = Recorder(DaemonConfig(loglevel=Severity.DEBUG, strip_ansi=True))
        self.logfile: str | None = str(self.log)
        self._reader, self.writer = os.pipe()

    def run(self, *chunks: bytes, name: str = "stdout", capture: int = 0) -> list[str]:
        """The events, as LOG or COMM and their text."""
        return trio.run(self._run, chunks, name, capture)

    async def _run(self, chunks: tuple[bytes, ...], name: str, capture: int) -> list[str]:
        channel = OutputChannel(
            name,
            ChannelConfig(self.logfile, capture_maxbytes=capture, events_enabled=True),
            process="x",
            group="g",
            host=self.recorder.host,
        )
        await open_channels([channel], self.recorder.host.sinks)
        for chunk in chunks:
            os.write(self.writer, chunk)
            channel.drain_rest(self._reader)
        channel.finish()
        await channel.settled()
        self.recorder.host.sinks.settle(PATIENCE)
        return [shown(event) for event in self.recorder.events]

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)


def shown(event: Event) -> str:
    if isinstance(event, ProcessCommunication):
        return f"COMM {as_text(event.data)}"
    assert isinstance(event, ProcessLog)
    return f"LOG {as_text(event.data)}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.behaviour(
    "process.md#capture-mode", "process.md#events-of-output", "process.md#format-of-records"
)
def test_tokens_split_over_reads(bench: Bench) -> None:
    seen = bench.run(
        b"before" + BEGIN[:10],
        BEGIN[10:] + b"cap",
        b"tured data" + END[:7],
        END[7:] + b"after",
        capture=1000,
    )
    assert seen == ["LOG before", "LOG captured data", "COMM captured data", "LOG after"]
    assert bench.log.read_bytes() == b"beforeafter"
    assert "DEBG 'x' stdout emitted a comm event" in bench.recorder.lines
    assert "DEBG 'x' stdout output:\nafter" in bench.recorder.lines


@pytest.mark.behaviour("process.md#capture-mode")
def test_short_lines_with_capture_on(bench: Bench) -> None:
    assert bench.run(b"bye\n", b"tail<!--X", capture=1000) == ["LOG bye\n", "LOG tail", "LOG <!--X"]
    assert bench.log.read_bytes() == b"bye\ntail<!--X"


@pytest.mark.behaviour("process.md#capture-mode")
def test_an_empty_capture_is_an_event(bench: Bench) -> None:
    assert bench.run(BEGIN + END, capture=1000) == ["COMM "]


@pytest.mark.behaviour("process.md#events-of-output")
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_undecodable_output_in_events(bench: Bench, name: str) -> None:
    assert bench.run(b"\xff\xfe", name=name) == [r"LOG Undecodable: b'\xff\xfe'"]
    assert bench.recorder.events[0].name == f"PROCESS_LOG_{name.upper()}"
    assert bench.log.read_bytes() == b"\xff\xfe"


def test_a_character_split_over_two_reads(bench: Bench) -> None:
    assert bench.run(b"h\xc3", b"\xa9\xe2\x82", b"\xac\n\xf0") == [
        "LOG h",
        "LOG é",
        "LOG €\n",
        r"LOG Undecodable: b'\xf0'",
    ]
    assert bench.log.read_bytes() == "hé€\n".encode() + b"\xf0"


def test_no_character_reaches_across_a_token(bench: Bench) -> None:
    assert bench.run(b"a\xc3" + BEGIN + b"b" + END, capture=100) == [
        "LOG a",
        r"LOG Undecodable: b'\xc3'",
        "LOG b",
        "COMM b",
    ]


@pytest.mark.behaviour("process.md#strip_ansi")
def test_escape_sequences_are_stripped(bench: Bench) -> None:
    assert bench.run(b"abc\x1b[", b"31mred\x1b[2Gcol then m") == ["LOG abc", "LOG redcol then m"]
    assert bench.log.read_bytes() == b"abcredcol then m"


async def test_what_was_written_lately(tmp_path: Path, mock_clock: MockClock) -> None:
    log = str(tmp_path / "log")
    channel = OutputChannel(
        "stderr",
        ChannelConfig(log),
        process="x",
        group="g",
        host=Recorder(DaemonConfig()).host,
    )
    channel.deliver(b"long ago\n")
    mock_clock.jump(3600)
    assert channel.written_since(60) == 0
    channel.deliver(b"now\n")
    assert channel.written_since(60) == len("now\n")
    assert channel.written_since(3601) == len("long ago\nnow\n")
    await channel.clear()
    assert channel.written_since(3601) == 0


@pytest.mark.behaviour("process.md#output-is-logged-as-it-arrives", "process.md#events-of-output")
def test_output_is_handled_in_chunks_not_lines(bench: Bench) -> None:
    """What is in the pipe is read in pieces of at most 128 KiB, wherever lines end."""
    fcntl.fcntl(bench.writer, fcntl.F_SETPIPE_SZ, 1 << 20)
    text = b"line\n" * 60_000
    seen = bench.run(text)
    assert [len(piece) - len("LOG ") for piece in seen] == [CHUNK, CHUNK, len(text) - 2 * CHUNK]
    assert bench.log.read_bytes() == text


@pytest.mark.behaviour(
    "process.md#channels-do-not-disturb-each-other", "http.md#actions-of-the-page"
)
def test_a_channel_survives_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and the next chunk is handled as if nothing had been."""
    bus = bench.recorder.host.bus
    publish = bus.publish

    def once(event: Event) -> None:
        monkeypatch.setattr(bus, "publish", publish)
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(bus, "publish", once)
    assert bench.run(b"one\n", b"two\n") == ["LOG two\n"]
    assert bench.log.read_bytes() == b"one\ntwo\n"
    crit = [line for line in bench.recorder.lines if line.startswith("CRIT")]
    assert crit == [
        "CRIT output of x stdout could not be handled: ZeroDivisionError('injected')",
    ]


@pytest.mark.behaviour("process.md#events-of-output")
def test_events_without_a_log(bench: Bench) -> None:
    bench.logfile = None
    assert bench.run(b"a" + BEGIN + b"b" + END, capture=10) == ["LOG a", "LOG b", "COMM b"]
    assert not bench.log.exists()


@pytest.mark.behaviour("process.md#events-of-output")
def test_bodies_of_output_events(bench: Bench) -> None:
    bench.run(b"a" + BEGIN + b"b" + END, capture=10)
    assert [event.payload() for event in bench.recorder.events] == [
        "processname:x groupname:g pid:0 channel:stdout\na",
        "processname:x groupname:g pid:0 channel:stdout\nb",
        "processname:x groupname:g pid:0\nb",
    ]
