"""One output channel: from the pipe to log, events and activity log (process.md 10 to 12)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.kit.fakes import Recorder
from trio_supervisor.core.config import ChannelConfig, DaemonConfig, Severity
from trio_supervisor.core.events import Event, ProcessCommunication, ProcessLog, as_text
from trio_supervisor.core.output import BEGIN, END
from trio_supervisor.runtime.channels import Channel


class Bench:
    """Runs chunks of output through one channel, each as one read."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "x.log"
        self.recorder = Recorder(DaemonConfig(loglevel=Severity.DEBUG, strip_ansi=True))
        self._reader, self._writer = os.pipe()

    def run(self, *chunks: bytes, name: str = "stdout", capture: int = 0) -> list[str]:
        """The events, as LOG or COMM and their text."""
        return trio.run(self._run, chunks, name, capture)

    async def _run(self, chunks: tuple[bytes, ...], name: str, capture: int) -> list[str]:
        channel = Channel(
            name,
            ChannelConfig(str(self.log), capture_maxbytes=capture, events_enabled=True),
            process="x",
            group="g",
            host=self.recorder.host,
            logfile=str(self.log),
        )
        await channel.open()
        for chunk in chunks:
            os.write(self._writer, chunk)
            channel.drain_rest(self._reader)
        channel.finish()
        return [shown(event) for event in self.recorder.events]

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


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


def test_s106_w146_split_tokens(bench: Bench) -> None:
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


def test_s107_w147_short_lines_with_capture_on(bench: Bench) -> None:
    assert bench.run(b"bye\n", b"tail<!--X", capture=1000) == ["LOG bye\n", "LOG tail", "LOG <!--X"]
    assert bench.log.read_bytes() == b"bye\ntail<!--X"


def test_s111_empty_capture(bench: Bench) -> None:
    assert bench.run(BEGIN + END, capture=1000) == ["COMM "]


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_s112_undecodable(bench: Bench, name: str) -> None:
    assert bench.run(b"\xff\xfe", name=name) == [r"LOG Undecodable: b'\xff\xfe'"]
    assert bench.recorder.events[0].name == f"PROCESS_LOG_{name.upper()}"
    assert bench.log.read_bytes() == b"\xff\xfe"


def test_1_4_2_a_character_split_over_two_reads(bench: Bench) -> None:
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


def test_s113_strip_ansi(bench: Bench) -> None:
    assert bench.run(b"abc\x1b[", b"31mred\x1b[2Gcol then m") == ["LOG abc", "LOG redcol then m"]
    assert bench.log.read_bytes() == b"abcredcol then m"


async def test_what_was_written_lately(tmp_path: Path, mock_clock: MockClock) -> None:
    log = str(tmp_path / "log")
    channel = Channel(
        "stderr",
        ChannelConfig(log),
        process="x",
        group="g",
        host=Recorder(DaemonConfig()).host,
        logfile=log,
    )
    channel.write_note("long ago\n")
    mock_clock.jump(3600)
    assert channel.written_since(60) == 0
    channel.write_note("now\n")
    assert channel.written_since(60) == len("now\n")
    assert channel.written_since(3601) == len("long ago\nnow\n")
    channel.clear()
    assert channel.written_since(3601) == 0
