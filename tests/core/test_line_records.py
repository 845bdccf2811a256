"""Log formats: pieces of output, split anywhere, as records of whole lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.config.model import LogFormat
from trio_supervisor.core.line_records import (
    LONGEST_LINE,
    RENDERERS,
    LineRecords,
    Origin,
    timestamp,
)

NOW = 1796010477.0629
TIME = "2026-11-30T03:47:57.062Z"
PREFIX, JSON = LogFormat.PREFIX, LogFormat.JSON


WEB = Origin("web", "web", "web", "stdout")


def records(format: LogFormat, *pieces: bytes, origin: Origin = WEB) -> bytes:
    made = LineRecords(RENDERERS[format](origin))
    written = [made.feed(piece, NOW, 5) for piece in pieces]
    return b"".join([*written, made.finish(NOW, 5, whole=True)])


@pytest.mark.behaviour("output.md#the-format-prefix")
def test_a_prefix_of_time_name_and_stream() -> None:
    assert records(PREFIX, b"one\ntw", b"o\r\n\n\xff\n") == (
        f"{TIME} web stdout one\n{TIME} web stdout two\r\n{TIME} web stdout \n".encode()
        + f"{TIME} web stdout ".encode()
        + b"\xff\n"
    )
    other = Origin("web", "g", "web_1", "stderr")
    assert records(PREFIX, b"x\n", origin=other) == f"{TIME} g:web_1 stderr x\n".encode()


@pytest.mark.behaviour("output.md#the-format-json")
def test_a_json_object_for_each_line() -> None:
    origin = Origin("web", "g", "web_1", "stdout")
    text = records(JSON, b'say "hi"\\n\t\x1b\n', "ä\u2028".encode() + b"\xff\n", origin=origin)
    first, second = (json.loads(line) for line in text.split(b"\n")[:-1])
    assert first == {
        "time": TIME,
        "program": "web",
        "group": "g",
        "process": "web_1",
        "stream": "stdout",
        "pid": 5,
        "line": 'say "hi"\\n\t\x1b',
    }
    assert second["line"] == "ä\u2028\\xff"
    assert list(first) == ["time", "program", "group", "process", "stream", "pid", "line"]


def lines_of(format: LogFormat, text: bytes) -> list[bytes]:
    """The lines in the records, parts of one joined."""
    lines, part = [], b""
    for record in text.split(b"\n")[:-1]:
        if format is JSON:
            found = json.loads(record)
            line, is_part = found["line"].encode(), "part" in found
        else:
            time, _, stream, line = record.split(b" ", 3)
            assert time == TIME.encode()
            is_part = stream.endswith(b"+")
        part += line
        if not is_part:
            lines.append(part)
            part = b""
    return [*lines, part] if part else lines


@pytest.mark.behaviour("output.md#lines-in-records")
@pytest.mark.parametrize("format", [PREFIX, JSON])
@given(pieces=st.lists(st.text(st.sampled_from('ab\n\r"\\ä \x00')).map(str.encode)))
def test_every_byte_is_in_one_record_in_order(format: LogFormat, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert lines_of(format, records(format, *pieces)) == expected


@pytest.mark.behaviour("output.md#lines-in-records")
@pytest.mark.parametrize("format", [PREFIX, JSON])
def test_a_long_line_is_several_records_that_are_marked(format: LogFormat) -> None:
    piece = b"x" * (128 * 1024)
    text = records(format, *[piece] * 20, b"end\nnext\n")
    assert lines_of(format, text) == [piece * 20 + b"end", b"next"]
    assert len(text.split(b"\n")) == 5
    assert max(map(len, text.split(b"\n"))) < LONGEST_LINE + 256


@pytest.mark.behaviour("output.md#lines-in-records")
@pytest.mark.parametrize("size", [1, 100_000, 3 * LONGEST_LINE], ids="{}".format)
@pytest.mark.parametrize(
    ("length", "parts"),
    [
        (LONGEST_LINE, [LONGEST_LINE]),
        (LONGEST_LINE + 1, [LONGEST_LINE, 1]),
        (2 * LONGEST_LINE + 1, [LONGEST_LINE, LONGEST_LINE, 1]),
    ],
    ids="{}".format,
)
def test_no_record_has_more_than_the_longest_line(length: int, parts: list[int], size: int) -> None:
    """However the line is read: here its first bytes, pieces, then all that follows at once."""
    before, after = b"a\n", b"b\n"
    text = before + b"x" * length + b"\n" + after
    begin = text[: LONGEST_LINE - 2]
    rest = text[len(begin) :]
    pieces = [rest[:1], *(rest[at : at + size] for at in range(1, len(rest), size))][:1000]
    left = b"".join(pieces)
    made = records(PREFIX, begin, *pieces, rest[len(left) :])
    lengths = [len(record.split(b" ", 3)[3]) for record in made.split(b"\n")[:-1]]
    assert lengths == [1, *parts, 1]


@pytest.mark.behaviour("output.md#lines-in-records")
def test_a_character_is_not_cut() -> None:
    text = records(JSON, b"x" * (LONGEST_LINE - 1) + "€".encode()[:2], "€".encode()[2:] + b"\n")
    assert "€" in "".join(json.loads(record)["line"] for record in text.split(b"\n")[:-1])


def test_the_time_is_utc_to_the_millisecond() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(NOW) == TIME
