"""Times of lines, and lines of several logs in their order."""

from __future__ import annotations

import re
import time

import pytest

from trio_supervisor.cli.ctl.line_times import LinePrinter, LineTimes, OwnTimes
from trio_supervisor.cli.ctl.lines import LinePrefix

START = 1796010477.0


@pytest.mark.behaviour("client.md#logs-with-times")
def test_times_by_the_header_then_by_the_arrival() -> None:
    times = LineTimes(f"14;4:{START},8:{START + 1}")
    found = [times.next(line) for line in (b"old", b"one", b"two", b"x")]
    assert found == [None, START, START + 1, START + 1]
    assert time.time() - (times.next(b"now") or 0) < 60
    assert LineTimes("").next(b"x") is not None


@pytest.mark.behaviour("client.md#logs-with-times")
def test_lines_with_times_of_their_own() -> None:
    times = OwnTimes()
    assert times.next(b"no time") is None
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(START))
    assert times.next(f"{stamp},250 INFO x".encode()) == START + 0.25
    assert times.next(b"  its second line") == START + 0.25


@pytest.mark.behaviour("client.md#logs-with-times", "client.md#lines-that-match")
def test_lines_are_sorted_filtered_and_timed() -> None:
    written: list[bytes] = []
    prefix = LinePrefix(["a", "b"], prefixed=True, on_terminal=False, coloured=False)
    printer = LinePrinter(written.append, prefix, re.compile("l[io]ne"), times=True)
    printer.sorts = True
    printer.show(("a", "stdout"), [(None, b"line 0"), (START, b"line 1"), (START + 9, b"lone 4")])
    printer.show(("b", "stderr"), [(START, b"line 2"), (START + 3, b"line 3"), (START, b"other")])
    assert written == []
    printer.finish()
    lines = b"".join(written).decode().splitlines()
    assert [line[20:] for line in lines] == [
        *("a | line 0", "a | line 1", "b | line 2", "b | line 3", "a | lone 4"),
    ]
    assert lines[0].startswith("-         ")
    assert lines[1].startswith(time.strftime("%Y-%m-%d %H:%M:%S ", time.localtime(START)))
