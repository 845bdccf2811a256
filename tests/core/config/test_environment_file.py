"""Environment files: which variables they have, and what is said of a wrong line."""

from __future__ import annotations

import pytest

from trio_supervisor.core.config.environment_file import parse_environment_file

INHERITED = {"HERE": "inherited", "PATH": "/bin"}


@pytest.mark.behaviour("policies.md#environment-files")
@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("  A=1\n\n   # comment\n#B=2\n", {"A": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=", {"A": ""}),
        ("A=b=c", {"A": "b=c"}),
        ("A= b # no comment ", {"A": " b # no comment "}),
        ("A=$HOME ${B} `x` \\n", {"A": "$HOME ${B} `x` \\n"}),
        ("HERE\nNOT_THERE", {"HERE": "inherited"}),
        ("A='b $c \\n \" '", {"A": 'b $c \\n " '}),
        ('A="b \\"c\\" \\\\ \\n \\x" ', {"A": 'b "c" \\ \n \\x'}),
        ("A=''", {"A": ""}),
        ("A=it's", {"A": "it's"}),
        ("a.b-c=1", {"a.b-c": "1"}),
    ],
)
def test_variables(text: str, variables: dict[str, str]) -> None:
    assert parse_environment_file(text, INHERITED) == variables


@pytest.mark.behaviour("policies.md#environment-files")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("A=1\n=secret", "line 2: there is no name before ="),
        ("A B=secret", "line 1: there is a blank in the name, or no ="),
        ("A =secret", "line 1: there is a blank in the name, or no ="),
        ("some secret words", "line 1: there is a blank in the name, or no ="),
        ("export A=secret", "line 1: leave out export: this is no shell"),
        ('A="secret', "line 1: the value has no closing quote"),
        ("A='secret' # x", "line 1: the value has no closing quote"),
        ("A=sec\0ret", "line 1: it has a NUL byte"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=r"^line") as caught:
        parse_environment_file(text, INHERITED)
    assert str(caught.value) == error
