"""Expansion of ``%(name)s``, what a hostile file may not do with it."""

from __future__ import annotations

import pytest

from tests.kit.config import program
from trio_supervisor.core.config.interpolation_ini import WIDEST, expand
from trio_supervisor.core.errors import ConfigError

NAMES: dict[str, str | int] = {"a": "x", "n": 7, "ENV_B": "%(a)s"}


@pytest.mark.behaviour("configuration.md#percent-expansions")
@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("%%", "%"),
        ("%(a)s%%%(n)03d", "x%007"),
        ("%(ENV_B)s", "%(a)s"),
        ("%(n)x %(n)+d %(a)5s|", "7 +7     x|"),
        (f"%(a){WIDEST}s", "x".rjust(WIDEST)),
    ],
)
def test_what_is_expanded(text: str, expanded: str) -> None:
    assert expand(text, NAMES) == expanded


@pytest.mark.behaviour("configuration.md#percent-expansions")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100%", "badly formatted at '%'"),
        ("%Y", "badly formatted at '%Y'"),
        ("%s", "badly formatted at '%s'"),
        ("%(a)", "badly formatted"),
        ("%(a)d", "badly formatted"),
        ("%(zz)s", "unknown name 'zz'"),
        ("%(a)*d", "badly formatted"),
        ("%(a)1001s", "width of more than 1000"),
        ("%(n)999999999999d", "width of more than 1000"),
        ("%(n).99999999d", "width of more than 1000"),
        ("%(n)-#099999999d", "width of more than 1000"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand(text, NAMES)


def test_a_huge_number_of_processes_is_an_error() -> None:
    with pytest.raises(ConfigError, match="is more than 32768"):
        program("numprocs=40999999999999\nprocess_name=p%(process_num)d")
