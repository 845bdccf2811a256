"""The quick reader of the client against the standard library's parser."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_supervisor.cli.ctl.ini import quick_sections

PREFIXES = ("supervisorctl", "ctlplugin:")


def by_the_standard_library(text: str) -> dict[str, dict[str, str]]:
    """Raises configparser.Error."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections() if wanted(name)}


def wanted(name: str) -> bool:
    return name.startswith(PREFIXES)


# Pieces of which both usual and odd files are made.
NAMES = st.sampled_from(["supervisorctl", "ctlplugin:x", "program:x", "DEFAULT", "a]b", ""])
VALUES = st.text(st.sampled_from("ab =:;#[]%\t\\é\x0b"), max_size=8)
LINES = st.one_of(
    NAMES.map("[{}]".format),
    st.tuples(NAMES, VALUES).map(lambda pair: f"[{pair[0]}]{pair[1]}"),
    st.tuples(st.sampled_from("aAb"), st.sampled_from(["=", " = ", ":"]), VALUES).map("".join),
    VALUES,
    VALUES.map(" {}".format),
    st.just(""),
)
FILES = st.lists(LINES, max_size=8).map("\n".join)


@pytest.mark.behaviour("client.md#configuration-of-the-client")
@given(FILES)
@example("[supervisorctl]\na=b; c ;d #e")
@example("[supervisorctl]\na = 1\n\n[program:x]\nb=\n  [supervisorctl]\n[supervisorctl]\nA:2 ;x")
@example("[program:x]\n  a=1\n[supervisorctl]\nb=c")
@example("[program:x]\nword\n[supervisorctl]\nb=c")
def test_it_never_differs_from_the_standard_library(text: str) -> None:
    found = quick_sections(text, *PREFIXES)
    if found is not None:
        assert found == by_the_standard_library(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "; nothing\n",
        "[supervisord]\nnodaemon=true\n[include]\nfiles=*.ini\n"
        "[supervisorctl]\nServerURL = unix:///run/s.sock ; where\n\n# remark\nprompt=\n"
        "[program:x]\ncommand=/bin/sh -c 'a; b'\nenvironment=\n  A=1,\n  B=2\n ; remark\n",
        "[supervisorctl]\na=1\n[ctlplugin:x]\nb=2\n[supervisorctl]\na=2",
        (Path(__file__).parents[2] / "end_to_end" / "ctl_transcripts.ini").read_text(),
    ],
)
def test_it_reads_usual_files(text: str) -> None:
    """It would be of no use if it left everything to the standard library."""
    assert quick_sections(text, *PREFIXES) == by_the_standard_library(text)


@pytest.mark.parametrize(
    "text",
    ["a=1", "[supervisorctl]\nword", "[program:x]\n=1", "[", "[DEFAULT]\na=1", "[a] ; b"],
)
def test_it_leaves_the_rest_to_the_standard_library(text: str) -> None:
    assert quick_sections(text, *PREFIXES) is None
