"""The end of an output, kept in memory."""

from __future__ import annotations

import pytest

from trio_supervisor.runtime.output.tail_buffer import REMEMBERED, TailBuffer


def fed(*chunks: bytes) -> TailBuffer:
    recent = TailBuffer()
    for chunk in chunks:
        recent.feed(chunk)
    return recent


def test_little_output_is_kept_whole() -> None:
    recent = fed(b"one\ntw", b"o\nno end")
    assert recent.text == "one\ntwo\nno end"
    assert recent.count == len(b"one\ntwo\nno end")


@pytest.mark.parametrize("size", [1, 7, 100, REMEMBERED, 10 * REMEMBERED])
def test_of_much_output_whole_lines_at_the_end_are_kept(size: int) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(2000))
    recent = fed(*(lines[at : at + size] for at in range(0, len(lines), size)))
    assert recent.count == len(lines)
    assert lines.decode().endswith("\n" + recent.text)
    assert REMEMBERED - 20 < len(recent.text) <= REMEMBERED


def test_a_line_longer_than_memory_is_cut_in_front() -> None:
    assert fed(b"x" * 5000, b"y\n").text == "x" * (REMEMBERED - 2) + "y\n"


def test_what_is_not_utf8_is_replaced() -> None:
    assert fed(b"bad \xff\n").text == "bad \ufffd\n"
