"""Durations: a number of seconds, or a number with a unit."""

from __future__ import annotations

import pytest

from tests.kit.config import eval_context
from trio_supervisor.core.config.python_values import DURATION as GIVEN
from trio_supervisor.core.config.value_types import DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("2", 2),
        ("0.5", 0.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("30s", 30),
        ("1.5m", 90),
        ("2h", 7200),
        ("1d", 86400),
        (" 5M ", 300),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert DURATION.convert(text, eval_context()) == seconds
    assert GIVEN.is_right(text)
    assert GIVEN.convert(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "5 m", "1w", "1h30m", "1e3", "inf", "nan", "s", "٣"])
def test_what_is_no_duration_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration") as caught:
        DURATION.convert(text, eval_context())
    assert caught.value.args[1] == "use a number, or 500ms, 30s, 5m, 2h, 1d"
    assert not GIVEN.is_right(text)


def test_durations_that_cannot_be_added_to_a_time_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        DURATION.convert("9" * 400, eval_context())


def test_a_program_may_give_numbers() -> None:
    assert GIVEN.is_right(0.5)
    assert GIVEN.convert(3) == 3.0
    assert not any(map(GIVEN.is_right, (-1, True, float("inf"), None, [1])))


@pytest.mark.parametrize(
    ("text", "native"), [("30", 30), ("0.5", 0.5), ("30s", "30s"), ("1d", "1d")]
)
def test_toml_has_numbers_where_no_unit_is_written(text: str, native: object) -> None:
    assert DURATION.native(text) == native


def test_a_whole_number_of_seconds_is_shown_without_a_fraction() -> None:
    assert [repr(DURATION.plain(value)) for value in (30.0, 0.5)] == ["30", "0.5"]
