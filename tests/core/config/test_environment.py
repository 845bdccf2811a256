"""``environment=``."""

from __future__ import annotations

import itertools

import pytest

from tests.kit.config import program
from trio_supervisor.core.config.environment import (
    is_ambiguous,
    is_plain,
    odd_separators,
    parse_environment,
)
from trio_supervisor.core.config.lint import UNQUOTED_MARK

CASES = [
    ("A=1,B=2", {"A": "1", "B": "2"}),
    ("A = 1 , B = 2", {"A": "1", "B": "2"}),
    ("A=1,\n  B=2", {"A": "1", "B": "2"}),
    ("A=\"x,y\",B='z w'", {"A": "x,y", "B": "z w"}),
    ("A=1,", {"A": "1"}),
    ("A=1;B=2", {"A": "1", "B": "2"}),
    ("A=1@B=2", {"A": "1", "B": "2"}),
    ("A=1 junk B=2", {"A": "1", "B": "2"}),
    ('A="1""junk"B="2"', {"A": "1", "B": "2"}),
    ('A="",B=2', {"A": "", "B": "2"}),
    ("A=b#c,D=e", {"A": "b"}),
    ('A="b#c",D=e', {"A": "b#c", "D": "e"}),
    ("A=$HOME", {"A": "$"}),
    ("A=~/x", {"A": "~"}),
    ("A=*", {"A": "*"}),
    ("P=/usr/bin:/bin,C=a.b-c+d(e)", {"P": "/usr/bin:/bin", "C": "a.b-c+d(e)"}),
    ("U=http://h:80/p", {"U": "http://h:80/p"}),
    ("U=http://h/p?x=1", {"U": "http://h/p", "x": "1"}),
    ('A="it\'s"', {"A": "it's"}),
    ("A=\"'q'\"", {"A": "q"}),
    ('A="a\\"b"', {"A": "a\\"}),
    ('A="a\\\\b"', {"A": "a\\\\b"}),
    ('A="x\\"', {"A": "x\\"}),
    ("A=a\\b", {"A": "ab"}),
    ('A="b"c,D=e', {"A": "bc", "D": "e"}),
    ('A=foo"bar"', {"A": 'foo"bar'}),
    ('A="b"c', {"A": "b"}),
    ('"A"=1', {'"A"': "1"}),
    ("A=1,A=2", {"A": "2"}),
    ("A=,", {"A": ","}),
    ("", {}),
]


@pytest.mark.behaviour(
    "configuration.md#lists-of-environment-variables",
    "configuration.md#lists-that-do-not-mean-what-they-seem-to",
    "configuration.md#quotes-and-backslashes-in-environment",
)
@pytest.mark.parametrize(("text", "pairs"), CASES)
def test_pairs(text: str, pairs: dict[str, str]) -> None:
    assert parse_environment(text) == pairs


@pytest.mark.behaviour("configuration.md#lists-that-do-not-mean-what-they-seem-to")
@pytest.mark.parametrize(
    ("text", "where"),
    [
        (",A=1", "at the beginning"),
        ("A=1 B=2", "after 'A'"),
        ("A=", "at the beginning"),
        ("A,B=2", "at the beginning"),
        ("A=secret=c,d", "after 'A'"),
        ('A="x', "no closing quotation"),
    ],
)
def test_what_makes_no_sense_names_the_last_good_variable_and_no_value(
    text: str, where: str
) -> None:
    with pytest.raises(ValueError, match=where) as caught:
        parse_environment(text)
    assert "secret" not in str(caught.value)


def test_a_plain_text_has_nothing_that_a_remark_would_tell() -> None:
    pieces = ["A", "=", ",", " ", "\n", "'x'", '"b#c"', '""', '"', "'", "\\", "#", "é", "/b:1", ";"]
    texts = ["".join(text) for n in range(6) for text in itertools.product(pieces, repeat=n)]
    texts += [f"{a},{b}" for a, b in itertools.product(filter(is_plain, texts), CASES[0])]
    plain = [text for text in texts if is_plain(text)]
    assert len(plain) > 1000
    for text in plain:
        assert parse_environment(text)
        assert not odd_separators(text)
        assert not is_ambiguous(text)
        assert UNQUOTED_MARK.match(text) is None


@pytest.mark.parametrize("text", ["A=1,B=2", "A = 1 , B = 2", "A=\"x,y\",B='z w'", 'A="b#c"'])
def test_what_most_people_write_is_plain(text: str) -> None:
    assert is_plain(text)


@pytest.mark.behaviour("configuration.md#lists-of-environment-variables")
def test_variables_are_inserted_before_the_words_are_told_apart() -> None:
    x = program('environment=A="%(ENV_Q)s"', {"Q": 'a",B="2'})
    assert x.environment == {"A": "a", "B": "2"}


@pytest.mark.behaviour("configuration.md#lists-of-environment-variables")
def test_comments_and_blank_lines_between_pairs() -> None:
    x = program("environment=A=1,\n\n  ; a comment\n  B=2\n")
    assert x.environment == {"A": "1", "B": "2"}
