"""Numbers in text from outside: what ``int`` and ``float`` would take too easily, or raise."""

from __future__ import annotations

import pytest

from tests.kit.config import program
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.numbers import (
    LARGEST,
    LARGEST_PID,
    LONGEST_SECONDS,
    natural,
    process_id,
    seconds,
    whole_number,
)

ARABIC = "\u0663"
SUPERSCRIPT = "\u00b2"
TOO_MANY = "9" * 5000


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), (" -3 ", -3), ("+5", 5), ("1_000", 1000), ("007", 7), (str(LARGEST), LARGEST)],
)
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.0", ARABIC, SUPERSCRIPT, TOO_MANY, "9" * 20])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="number") as error:
        whole_number(text)
    assert len(str(error.value)) < 80


@pytest.mark.parametrize("text", ["", "-1", " 1", "1_0", ARABIC, SUPERSCRIPT, TOO_MANY])
def test_what_is_not_made_of_digits(text: str) -> None:
    assert natural(text) is None
    assert natural("042") == 42


@pytest.mark.parametrize("text", ["", "0", "-1", str(LARGEST_PID + 1), ARABIC, TOO_MANY])
def test_what_is_no_process_id(text: str) -> None:
    with pytest.raises(ValueError, match="process id"):
        process_id(text)
    assert process_id("42\n") == 42


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", ARABIC])
def test_what_is_no_time_to_wait(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what float says is as good
        seconds(text)


def test_nobody_waits_longer_than_a_clock_can() -> None:
    assert seconds("1.5") == 1.5
    assert seconds("1e300") == LONGEST_SECONDS


@pytest.mark.parametrize("line", ["startsecs=1", "stopwaitsecs=1", "stdout_logfile_maxbytes=1"])
def test_a_configured_number_can_be_added_to_a_time(line: str) -> None:
    assert program(f"{line}{'0' * 30}").startretries == 3
    with pytest.raises(ConfigError, match="invalid"):
        program(f"{line}{'0' * 400}")
