"""PlainOutput filters. Every case holds however the bytes are split."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.output import (
    BEGIN,
    END,
    SEQUENCE_LIMIT,
    AnsiStripper,
    Capture,
    Captured,
    PlainOutput,
    WholeCharacters,
)


def splits(data: bytes) -> Iterator[list[bytes]]:
    """The data whole, split in two at every byte, and byte by byte."""
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[i : i + 1] for i in range(len(data))]


def strip(chunks: list[bytes]) -> bytes:
    stripper = AnsiStripper()
    return b"".join([stripper.feed(chunk) for chunk in chunks]) + stripper.finish()


def capture(chunks: list[bytes], maxbytes: int = 1000) -> list[PlainOutput | Captured]:
    """All items, with neighbouring output joined."""
    filter = Capture(maxbytes)
    items = [item for chunk in chunks for item in filter.feed(chunk)]
    items += [PlainOutput(rest)] if (rest := filter.finish()) else []
    joined: list[PlainOutput | Captured] = []
    for item in items:
        if joined and isinstance(item, PlainOutput) and isinstance(joined[-1], PlainOutput):
            joined[-1] = PlainOutput(joined[-1].data + item.data)
        else:
            joined.append(item)
    return joined


@pytest.mark.behaviour("process.md#strip_ansi")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a \x1b[31mred\x1b[0m b", b"a red b"),
        (b"\x1b[2Gcol then m", b"col then m"),
        (b"abc\x1b[31mred", b"abcred"),
        (b"\x1b]0;title\x07text", b"\x1b]0;title\x07text"),
        (b"\x1b[?25l\x1b[1;2;3~x\x1b[@y", b"xy"),
        pytest.param(b"end\x1b[3", b"end\x1b[3", id="unfinished-at-end"),
        pytest.param(b"end\x1b", b"end\x1b", id="escape-at-end"),
        pytest.param(b"\x1b\x1b[0m[31m", b"\x1b[31m", id="no-sequence-out-of-two-halves"),
        pytest.param(b"plain", b"plain", id="plain"),
        pytest.param(b"", b"", id="empty"),
    ],
)
def test_strip_ansi(data: bytes, expected: bytes) -> None:
    for chunks in splits(data):
        assert strip(chunks) == expected


def test_a_stray_escape_does_not_withhold_output_for_ever() -> None:
    text = b"\x1b[" + b"0" * SEQUENCE_LIMIT
    stripper = AnsiStripper()
    assert stripper.feed(text) == b""
    assert stripper.feed(b"0") == text + b"0"


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"m", b"0", b";", b"x", b"\n", b"\xff"])), st.data()
)
def test_strip_ansi_does_not_depend_on_splits(pieces: list[bytes], data: st.DataObject) -> None:
    text = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert strip(chunks) == strip([text])


@pytest.mark.behaviour("process.md#capture-mode")
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"before" + BEGIN + b"captured data" + END + b"after",
            [PlainOutput(b"before"), Captured(b"captured data"), PlainOutput(b"after")],
        ),
        (b"bye", [PlainOutput(b"bye")]),
        (b"visible visible" + BEGIN + b"x" * 45, [PlainOutput(b"visible visible")]),
        pytest.param(
            b"prefix " + BEGIN + b"body" + END + b" suffix " + END + b"more",
            [PlainOutput(b"prefix "), Captured(b"body"), PlainOutput(b" suffix " + END + b"more")],
            id="outside",
        ),
        (BEGIN + END, [Captured(b"")]),
        (BEGIN + b"one" + BEGIN + b"two" + END, [Captured(b"one" + BEGIN + b"two")]),
        pytest.param(b"x<!--XSUPER", [PlainOutput(b"x<!--XSUPER")], id="at-end"),
        pytest.param(b"<<!--" + BEGIN[1:], [PlainOutput(b"<<!--" + BEGIN[1:])], id="near-miss"),
        pytest.param(
            b"<!--<" + BEGIN + b"a<!--X" + END,
            [PlainOutput(b"<!--<"), Captured(b"a<!--X")],
            id="overlapping-prefixes",
        ),
        (BEGIN + b"a" + END + BEGIN + b"b" + END, [Captured(b"a"), Captured(b"b")]),
    ],
)
def test_capture(data: bytes, expected: list[PlainOutput | Captured]) -> None:
    for chunks in splits(data):
        assert capture(chunks) == expected


@pytest.mark.behaviour("process.md#capture-mode")
def test_overflow_keeps_exactly_the_last_bytes() -> None:
    data = BEGIN + b"0123456789" * 10 + END
    for chunks in splits(data):
        assert capture(chunks, maxbytes=20) == [Captured(b"0123456789" * 2)]


@pytest.mark.behaviour("process.md#capture-mode")
def test_many_captures_in_one_read() -> None:
    data = (BEGIN + b"x" + END) * 600 + b"line\n"
    assert capture([data]) == [Captured(b"x")] * 600 + [PlainOutput(b"line\n")]


@pytest.mark.behaviour("process.md#capture-mode")
def test_nothing_but_a_prefix_of_the_token_is_withheld() -> None:
    filter = Capture(100)
    assert filter.feed(b"bye\n") == [PlainOutput(b"bye\n")]
    assert filter.feed(b"a<!-") == [PlainOutput(b"a")]
    assert filter.feed(b"- no token") == [PlainOutput(b"<!-- no token")]
    assert filter.feed(b"<!--XSUP") == []
    assert filter.finish() == b"<!--XSUP"


@pytest.mark.behaviour("process.md#capture-mode")
def test_a_finished_filter_is_outside_capture() -> None:
    filter = Capture(100)
    assert filter.feed(BEGIN + b"lost" + END[:5]) == []
    assert filter.finish() == b""
    assert filter.feed(b"text") == [PlainOutput(b"text")]


def test_capture_takes_linear_time() -> None:
    """A megabyte of near misses in small reads: far from what quadratic work would take."""
    filter = Capture(1000)
    before = time.process_time()
    for _ in range(20_000):
        filter.feed(b"<!--XSUPERVISOR:BEGIN--" * 2)
    filter.feed(BEGIN)
    for _ in range(20_000):
        filter.feed(END[:-1] * 2)
    assert time.process_time() - before < 5


@given(
    st.lists(
        st.sampled_from([BEGIN, END, BEGIN[:7], BEGIN[7:], END[:9], END[9:], b"<", b"x", b"!"])
    ),
    st.integers(1, 30),
    st.data(),
)
def test_capture_does_not_depend_on_splits(
    pieces: list[bytes], maxbytes: int, data: st.DataObject
) -> None:
    text = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert capture(chunks, maxbytes) == capture([text], maxbytes)


def test_whole_characters_holds_back_only_a_beginning() -> None:
    text = "hé€😀\n".encode()
    for chunks in splits(text):
        filter = WholeCharacters()
        pieces = [filter.feed(chunk) for chunk in chunks]
        assert b"".join(pieces) == text
        assert "".join(piece.decode() for piece in pieces) == text.decode()
        assert filter.finish() == b""


@pytest.mark.behaviour("process.md#events-of-output")
@pytest.mark.parametrize("data", [b"\xff\xfe", b"bad\x80", b"\x80\x80\x80\x80", b"\xc0"])
def test_invalid_bytes_are_not_held_back(data: bytes) -> None:
    filter = WholeCharacters()
    assert filter.feed(data) == data
    assert filter.finish() == b""


def test_whole_characters_gives_a_broken_end_back() -> None:
    filter = WholeCharacters()
    assert filter.feed(b"a\xe2\x82") == b"a"
    assert filter.finish() == b"\xe2\x82"
