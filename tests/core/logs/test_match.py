"""Lines that are searched for."""

from __future__ import annotations

import pytest

from trio_supervisor.core.logs.match import LONGEST_LINE, matcher


@pytest.mark.parametrize(
    ("pattern", "line", "at"),
    [
        ("error", b"an ERROR here", 3),
        ("Error", b"an error here", 3),
        ("error", b"none", -1),
        ("error: x", b"\x1b[31merror\x1b[0m: x", 0),
        ("ÄRGER", "viel ärger".encode(), 5),
        ("ärger", b"\xff none", -1),
        ("a.c", b"abc", -1),
        ("\0", b"a\0", 1),
    ],
)
def test_a_text(pattern: str, line: bytes, at: int) -> None:
    wanted = matcher(pattern, is_regex=False)
    assert wanted.find(line) == at
    if at >= 0:
        assert wanted.may_be_in(b"before\n" + line + b"\nafter")


@pytest.mark.parametrize(
    ("pattern", "line", "at"),
    [
        ("a.c$", b"xabc\r", 1),
        ("^b", b"b", 0),
        ("A", b"a", -1),
        ("(?i)A", b"a", 0),
        ("5[0-9]{2}", b"status=\x1b[1m503", 7),
        ("end", b"x" * LONGEST_LINE + b"end", -1),
        ("\ufffd", b"a\xffb", 1),
    ],
)
def test_an_expression(pattern: str, line: bytes, at: int) -> None:
    wanted = matcher(pattern, is_regex=True)
    assert wanted.find(line) == at
    assert wanted.may_be_in(line)


def test_lines_that_cannot_match_are_not_tried() -> None:
    assert not matcher("x", is_regex=False).may_be_in(b"abc\n" * 1000)


@pytest.mark.parametrize("pattern", ["(", "(a+)+", r"(a)\1", ""])
def test_expressions_that_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        matcher(pattern, is_regex=True)
    assert len(caught.value.args) == 2
