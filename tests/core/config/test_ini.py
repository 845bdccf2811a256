"""The INI dialect beside the standard library's, which gives most of it."""

from __future__ import annotations

import configparser
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.config.ini import DEFAULT, Document, read

Values = dict[str, dict[str, str]]

_PIECES = [
    *("[", "]", "[]", "[a]", "[b]", "[DEFAULT]", " [c]"),
    *("k", "K2", "=", ":", "=x", "v", "w w", "%", "\u00e9", "\u0130", '"', "'"),
    *("\n", "\n\n", "\r\n", "\r", "\n ", "\n  ", "\n\t"),
    *(" ", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u00a0"),
    *(";", "#", " ;", " #", "\n;", "\n #"),
]


class Standard(configparser.RawConfigParser):
    """Remembers whether a key began with a bracket: it was meant as a header."""

    def __init__(self) -> None:
        self.half_header = False
        super().__init__(strict=False, inline_comment_prefixes=(";", "#"))

    def optionxform(self, optionstr: str) -> str:
        # "[]" alone is an error for both; with more behind it, it would be a key.
        self.half_header |= optionstr.startswith("[")
        return super().optionxform(optionstr)


def standard(text: str) -> Values | None:
    """What ``configparser`` reads; None for an error, and for half a header, which we refuse."""
    parser = Standard()
    try:
        parser.read_file(io.StringIO(text, newline=None))
    except configparser.Error:
        return None
    if parser.half_header:
        return None
    return {name: dict(parser.items(name)) for name in parser.sections()} | {
        DEFAULT: dict(parser.defaults())
    }


def ours(text: str) -> Values | None:
    document = Document()
    read(text, file="c.conf", here="/", into=document)
    if document.errors:
        return None
    inherited = document.sections.get(DEFAULT)
    fallback = {} if inherited is None else {k: e.value for k, e in inherited.entries.items()}
    own = {
        name: fallback | {key: entry.value for key, entry in section.entries.items()}
        for name, section in document.sections.items()
        if name != DEFAULT
    }
    return own | {DEFAULT: fallback}


@pytest.mark.behaviour("configuration.md#section-headers")
@given(pieces=st.lists(st.sampled_from(_PIECES), max_size=30), headed=st.booleans())
def test_the_dialect_is_that_of_configparser(pieces: list[str], headed: bool) -> None:
    text = ("[s]\n" if headed else "") + "".join(pieces)
    assert ours(text) == standard(text)


@pytest.mark.behaviour("configuration.md#encoding-and-line-ends")
@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        pytest.param("[s]\nk=v\n", "k", 2, id="plain"),
        pytest.param("[s]\r\n\r\nk=v\r\n", "k", 3, id="CRLF"),
        pytest.param("[s]\r; c\rk=v\r  w\r", "k", 3, id="CR"),
        pytest.param("[s]\nk=v\nk=w\n", "k", 3, id="the last of two"),
        pytest.param("[s]\nj=a\n b\n\n c\nk=v\n", "k", 6, id="behind a long value"),
        ("\ufeff[s]\nk=v\n", "k", 2),
    ],
)
def test_every_key_knows_its_line(text: str, key: str, line: int) -> None:
    document = Document()
    read(text, file="c.conf", here="/etc", into=document)
    entry = document.sections["s"].entries[key]
    assert (entry.file, entry.line, entry.here) == ("c.conf", line, "/etc")


def test_a_section_belongs_to_the_file_in_which_it_first_appeared() -> None:
    document = Document()
    read("[s]\na=1\nb=1\n", file="main", here="/m", into=document)
    read("[s]\nb=2\n[t]\n", file="more", here="/n", into=document)
    sections = document.sections
    assert [(s.name, s.file, s.line) for s in sections.values()] == [
        ("s", "main", 1),
        ("t", "more", 3),
    ]
    places = {key: (e.value, e.file, e.here) for key, e in sections["s"].entries.items()}
    assert places == {"a": ("1", "main", "/m"), "b": ("2", "more", "/n")}
