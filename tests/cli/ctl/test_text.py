"""Text for terminals: widths, control characters, sizes and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.cli.ctl.text import (
    cells,
    clip,
    duration,
    fit,
    folded,
    harmless,
    plain,
    size,
)


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("web", 3), ("täglich", 7), ("日本語", 6), ("e\u0301", 1), ("a\u200db", 2)],
)
def test_cells(text: str, width: int) -> None:
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "width", "indent", "lines"),
    [
        ("", 9, 2, [""]),
        ("  a   bc", 8, 2, ["  a   bc"]),
        ("  a   bc", 7, 2, ["  a", "  bc"]),
        ("one two three", 7, 1, ["one two", " three"]),
        ("a-word-wider-than-that b", 9, 2, ["a-word-wider-than-that", "  b"]),
        ("日本 語", 6, 0, ["日本", "語"]),
    ],
)
def test_lines_are_broken_at_blanks_only(
    text: str, width: int, indent: int, lines: list[str]
) -> None:
    assert folded(text, width, indent) == lines


@given(st.text(), st.integers(1, 20), st.integers(0, 5))
def test_folding_loses_no_word(text: str, width: int, indent: int) -> None:
    assert " ".join(folded(text, width, indent)).split() == text.split()


@pytest.mark.parametrize(
    ("text", "width", "clipped"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 0, ""),
    ],
)
def test_clip(text: str, width: int, clipped: str) -> None:
    assert clip(text, width) == clipped


@given(st.text(), st.integers(0, 40), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool) -> None:
    assert cells(fit(text, width, right=right)) == width


def test_fit_to_the_right() -> None:
    assert (fit("ab", 4), fit("ab", 4, right=True)) == ("ab  ", "  ab")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m\x1b[0m"),
        ("\x1b[38:2:1:2:3mrgb", "\x1b[38:2:1:2:3mrgb\x1b[0m"),
        ("\x1b[2Jcleared", "^[[2Jcleared"),
        ("\x1b]0;title\x07", "^[]0;title^G"),
        ("\x1b[31m\x1b[1A", "\x1b[31m^[[1A\x1b[0m"),
        ("a\rb\x00\x7f", "a^Mb^@^?"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb\u2066c\u2028d\u200f", "a\\u202eb\\u2066c\\u2028d\\u200f"),
    ],
)
def test_harmless(line: str, shown: str) -> None:
    assert harmless(line) == shown


@pytest.mark.behaviour("client.md#control-characters-on-a-terminal")
@given(st.text())
def test_plain_has_no_control_characters(text: str) -> None:
    assert all(character >= " " and not "\x7f" <= character <= "\x9f" for character in plain(text))


def test_right_to_left_text_itself_is_shown() -> None:
    assert harmless("\u05e9\u05dc\u05d5\u05dd") == "\u05e9\u05dc\u05d5\u05dd"


def test_plain_drops_colours_that_xmlrpc_has_mangled() -> None:
    assert plain("\ufffd[31mred\ufffd[0m \x1b[1mbold") == "red bold"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999.4, "999"),
        (1023, "1023"),
        (1024, "1.0K"),
        (10180, "9.9K"),
        (10200, "10K"),
        (1023 * 1024, "1023K"),
        (1024 * 1024 - 1, "1.0M"),
        (5 * 1024**3, "5.0G"),
        (1023 * 1024**6, "1023E"),
        (5000 * 1024**6, "5000E"),
    ],
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59, "0:59"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (86399, "23:59:59"),
        (86400, "1d00h"),
        (27 * 365 * 86400, "9855d00h"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert duration(seconds) == text
    assert len(text) <= 8
