"""Program output as HTML: colours, and nothing that a browser would take for anything but text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.web.pages import ansi
from trio_supervisor.web.pages.ansi import HELD, Painter


def paint(data: bytes) -> str:
    return Painter().feed(data, final=True)


class Text(HTMLParser):
    """The text of a piece of HTML, which may have no elements but spans with classes of ours."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.open = 0
        self.feed(html)
        self.close()
        assert self.open == 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        [(name, value)] = attrs
        assert (tag, name) == ("span", "class")
        assert re.fullmatch(r"a-[a-z0-9]+( a-[a-z0-9]+)*", value or "")
        self.open += 1

    def handle_endtag(self, tag: str) -> None:
        self.open -= 1

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("data", "html"),
    [
        (b"plain\n", "plain\n"),
        (b"<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        (b"\x1b[31mred\x1b[0m.", '<span class="a-t1">red</span>.'),
        (b"\x1b[1;92mok\x1b[m", '<span class="a-t10 a-bold">ok</span>'),
        (b"\x1b[1;2;22;3mx", '<span class="a-italic">x</span>'),
        (b"\x1b[44mx\x1b[49my", '<span class="a-b4">x</span>y'),
        (b"\x1b[101mx", '<span class="a-b9">x</span>'),
        (b"\x1b[4m\x1b[24mx", "x"),
        (b"\x1b[33ma\nb\x1b[39m", '<span class="a-t3">a</span>\n<span class="a-t3">b</span>'),
        (b"\x1b[7mx", '<span class="a-inverse">x</span>'),
        (b"\x1b[7;31mx", '<span class="a-inverse a-b1">x</span>'),
        (b"\x1b[38;5;9mx", '<span class="a-t9">x</span>'),
        (b"\x1b[38;5;196mx", '<span class="a-t1">x</span>'),
        (b"\x1b[38;5;244mx", '<span class="a-t7">x</span>'),
        (b"\x1b[48;2;0;0;200mx", '<span class="a-b4">x</span>'),
        (b"\x1b[38:5:10mx", '<span class="a-t10">x</span>'),
        (b"\x1b[38;5mx", '<span class="a-t0">x</span>'),
        (b"\x1b[38;7;1mx", '<span class="a-bold">x</span>'),
        (b"\x1b[99999999999999999999mx", "x"),
        (b"\x1b[" + b"1;" * 5000 + b"mx", '<span class="a-bold">x</span>'),
        (b"a\x1b[2K\x1b[1Gb\x1b[?25lc", "abc"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
        (b"\x1b(Bx", "x"),
        (b"\x1b]0;never ended\nx", "\ufffd]0;never ended\nx"),
        (b"\x1b\r\tx\x00\x7f", "\ufffd\ufffd\tx\ufffd\ufffd"),
        (b"\x1b", "\ufffd"),
        ("\x9b\u202ea\u2066\u2028".encode(), "\ufffd\ufffda\ufffd\ufffd"),
        (b"\x1b[31", "\ufffd[31"),
        (b"\xff\xc3", "\ufffd\ufffd"),
        ("ä€😀".encode(), "ä€😀"),
    ],
)
def test_what_is_seen(data: bytes, html: str) -> None:
    assert paint(data) == html


@pytest.mark.parametrize(
    "data",
    [
        "ä€😀".encode(),
        b"a\x1b[1;31mb\nc\x1b[0md",
        b"\x1b]0;title\x1b\\a\x1b]0;t\x07b",
        b"\x1b(Ba\x1b[2Kb",
        b"\x1b\x1b[31mx",
    ],
)
def test_cut_anywhere(data: bytes) -> None:
    whole = Text(paint(data)).text
    for cut in range(len(data) + 1):
        painter = Painter()
        halves = painter.feed(data[:cut]), painter.feed(data[cut:], final=True)
        assert "".join(Text(half).text for half in halves) == whole
        for line in "".join(halves).split("\n"):
            Text(line)


def test_nothing_is_held_for_long() -> None:
    """What only looks like a sequence comes out, and its length costs nothing."""
    painter = Painter()
    out = painter.feed(b"\x1b[" + b"1;" * HELD)
    assert len(out) == 2 * HELD + 2
    assert painter.feed(b"\x1b]" + b"x" * 10) == ""
    assert len(painter.feed(b"x" * HELD)) == HELD + 12


_PIECES = st.sampled_from(
    [
        b"\x1b",
        b"[",
        b"]",
        b"31",
        b";",
        b"m",
        b"\n",
        b"<",
        b"&",
        b"\x07",
        b"\\",
        b"\xc3",
        b"x",
        b"38;5;",
    ]
)


@given(st.lists(st.one_of(_PIECES, st.binary(max_size=4)), max_size=40))
def test_whatever_comes_is_text_in_spans(pieces: list[bytes]) -> None:
    painter = Painter()
    html = "".join(painter.feed(piece) for piece in pieces) + painter.feed(b"", final=True)
    for line in html.split("\n"):
        assert not set(Text(line).text) & {"\x1b", "\x07", "\x00"}


def test_sequences_by_the_million_are_looked_at_once() -> None:
    before = ansi._changed.cache_info().misses
    assert Painter().feed(b"\x1b[1m\x1b[0m" * 10_000 + b"x", final=True) == "x"
    assert ansi._changed.cache_info().misses - before <= 4
