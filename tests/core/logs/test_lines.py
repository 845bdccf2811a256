"""Lines found in blocks of bytes, and lines of several logs in one order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.logs.lines import (
    LoggedLine,
    backwards,
    forwards,
    orders,
    spans_after,
    spans_before,
)
from trio_supervisor.core.logs.place import FileId, LogPlace
from trio_supervisor.core.logs.times import When

CLEF = "\N{MUSICAL SYMBOL G CLEF}".encode()


def texts(data: bytes, spans: list[tuple[int, int]]) -> list[bytes]:
    return [data[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("data", "at_start", "expected"),
    [
        (b"", False, []),
        (b"", True, []),
        (b"a\nb\n", True, [b"a\n", b"b\n"]),
        (b"a\nb\n", False, [b"b\n"]),
        (b"a\nb", False, [b"b"]),
        (b"long", False, [b"long"]),
        (b"long\n", False, [b"long\n"]),
        (CLEF[1:] + b"x\n", False, [b"x\n"]),
        (CLEF[1:], False, [CLEF[3:]]),
        (CLEF[1:], True, [CLEF[1:]]),
    ],
)
def test_lines_that_end_in_a_block(data: bytes, at_start: bool, expected: list[bytes]) -> None:
    assert texts(data, spans_before(data, at_start=at_start)) == expected


@pytest.mark.parametrize(
    ("data", "at_end", "expected"),
    [
        (b"", False, []),
        (b"a\nb\n", False, [b"a\n", b"b\n"]),
        (b"a\nb", False, [b"a\n"]),
        (b"a\nb", True, [b"a\n", b"b"]),
        (b"long", False, [b"long"]),
        (b"x" + CLEF[:3], False, [b"x"]),
        (CLEF[:3], False, [CLEF[:3]]),
    ],
)
def test_lines_that_begin_in_a_block(data: bytes, at_end: bool, expected: list[bytes]) -> None:
    assert texts(data, spans_after(data, at_end=at_end)) == expected


@given(st.lists(st.sampled_from([b"a", b"\n", CLEF, b"\xff", CLEF[1:2]])), st.integers(4, 9))
def test_every_byte_once_in_either_direction(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    found: list[bytes] = []
    end = len(data)
    while end:
        block = data[max(0, end - size) : end]
        lines = texts(block, spans_before(block, at_start=end <= size))
        assert lines
        found[:0] = lines
        end -= sum(map(len, lines))
    assert b"".join(found) == data
    found, start = [], 0
    while start < len(data):
        block = data[start : start + size]
        lines = texts(block, spans_after(block, at_end=start + size >= len(data)))
        assert lines
        found += lines
        start += sum(map(len, lines))
    assert b"".join(found) == data


def test_lines_without_a_time_belong_to_those_before() -> None:
    one, two = When(1, 1, 1), When(2, 2, 2)
    assert orders([None, one, None, two, None]) == [1, 1, 1, 2, 2]
    assert orders([None], behind=5) == [5]
    assert orders([]) == []


def line(stream: str, number: int, order: float) -> LoggedLine:
    place = LogPlace.at(FileId(1, 1), number, b"")
    return LoggedLine(stream, b"", None, order, place, place)


@given(st.lists(st.lists(st.integers(0, 5)).map(sorted), max_size=3))
def test_merging_backwards_is_merging_forwards_from_the_end(logs: list[list[int]]) -> None:
    made = [[line(str(log), n, at) for n, at in enumerate(times)] for log, times in enumerate(logs)]
    merged = list(forwards(map(iter, made)))
    assert [one.order for one in merged] == sorted(at for times in logs for at in times)
    assert list(backwards(reversed(log) for log in made)) == merged[::-1]


@given(st.lists(st.lists(st.integers(0, 5)), max_size=3))
def test_each_line_once_whatever_the_times(logs: list[list[int]]) -> None:
    """Clocks are set back."""
    made = [[line(str(log), n, at) for n, at in enumerate(times)] for log, times in enumerate(logs)]
    for merged in (
        list(forwards(map(iter, made))),
        list(backwards(reversed(log) for log in made))[::-1],
    ):
        for number, log in enumerate(made):
            assert [one for one in merged if one.stream == str(number)] == log
