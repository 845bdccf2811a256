"""``environment=`` (config.md 6 and 17.4)."""

from __future__ import annotations

import pytest

from tests.kit.config import program
from trio_supervisor.core.config.environment import parse_environment

CASES = [
    ("G96a", "A=1,B=2", {"A": "1", "B": "2"}),
    ("G96b", "A = 1 , B = 2", {"A": "1", "B": "2"}),
    ("G96c", "A=1,\n  B=2", {"A": "1", "B": "2"}),
    ("G97", "A=\"x,y\",B='z w'", {"A": "x,y", "B": "z w"}),
    ("G98", "A=1,", {"A": "1"}),
    ("G100a", "A=1;B=2", {"A": "1", "B": "2"}),
    ("G100b", "A=1@B=2", {"A": "1", "B": "2"}),
    ("G100c", "A=1 junk B=2", {"A": "1", "B": "2"}),
    ("G100d", 'A="1""junk"B="2"', {"A": "1", "B": "2"}),
    ("G101", 'A="",B=2', {"A": "", "B": "2"}),
    ("G102", "A=b#c,D=e", {"A": "b"}),
    ("G103", 'A="b#c",D=e', {"A": "b#c", "D": "e"}),
    ("G105a", "A=$HOME", {"A": "$"}),
    ("G105b", "A=~/x", {"A": "~"}),
    ("G105c", "A=*", {"A": "*"}),
    ("G106a", "P=/usr/bin:/bin,C=a.b-c+d(e)", {"P": "/usr/bin:/bin", "C": "a.b-c+d(e)"}),
    ("G106b", "U=http://h:80/p", {"U": "http://h:80/p"}),
    ("G107", "U=http://h/p?x=1", {"U": "http://h/p", "x": "1"}),
    ("G108a", 'A="it\'s"', {"A": "it's"}),
    ("G108b", "A=\"'q'\"", {"A": "q"}),
    ("G109a", 'A="a\\"b"', {"A": "a\\"}),
    ("G109b", 'A="a\\\\b"', {"A": "a\\\\b"}),
    ("G109c", 'A="x\\"', {"A": "x\\"}),
    ("G110a Q32", "A=a\\b", {"A": "ab"}),
    ("G110b Q32", 'A="b"c,D=e', {"A": "bc", "D": "e"}),
    ("G111a", 'A=foo"bar"', {"A": 'foo"bar'}),
    ("G111b", 'A="b"c', {"A": "b"}),
    ("G112", '"A"=1', {'"A"': "1"}),
    ("G114", "A=1,A=2", {"A": "2"}),
    ("G115 Q34", "A=,", {"A": ","}),
    ("empty", "", {}),
]


@pytest.mark.parametrize(("text", "pairs"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_pairs(text: str, pairs: dict[str, str]) -> None:
    assert parse_environment(text) == pairs


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
    """E14."""
    with pytest.raises(ValueError, match=where) as caught:
        parse_environment(text)
    assert "secret" not in str(caught.value)


def test_G116_Q25_variables_are_inserted_before_the_words_are_told_apart() -> None:
    x = program('environment=A="%(ENV_Q)s"', {"Q": 'a",B="2'})
    assert x.environment == {"A": "a", "B": "2"}


def test_comments_and_blank_lines_between_pairs() -> None:
    """G96."""
    x = program("environment=A=1,\n\n  ; a comment\n  B=2\n")
    assert x.environment == {"A": "1", "B": "2"}
