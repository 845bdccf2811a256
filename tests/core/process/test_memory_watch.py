"""When a program whose memory is watched has used too much."""

from __future__ import annotations

import pytest

from trio_supervisor.core.process.memory_watch import (
    INTERVAL,
    MOST_LOOKS,
    looks_above,
    next_look,
    own_memory,
)


@pytest.mark.behaviour("policies.md#watched-memory")
@pytest.mark.parametrize(
    ("seen", "restarts"),
    [
        ([], False),
        ([11, 11], False),
        ([11, 11, 11], True),
        ([11, 11, 10, 11, 11], False),
        ([11, None, 11, None, 11], True),
        ([None] * 5, False),
        ([10] * 5, False),
    ],
)
def test_three_looks_in_a_row(seen: list[int | None], restarts: bool) -> None:
    looks = 0
    for used in seen:
        looks = looks_above(looks, used, 10)
    assert (looks >= MOST_LOOKS) is restarts


@pytest.mark.behaviour("policies.md#watched-memory")
def test_all_programs_are_looked_at_together() -> None:
    assert {next_look(now) for now in (10.0, 12.5, 14.999)} == {15.0}
    assert next_look(15.0) == 15.0 + INTERVAL


@pytest.mark.behaviour("policies.md#watched-memory")
@pytest.mark.parametrize(
    ("status", "size"),
    [
        (
            b"VmRSS:\t  900 kB\nRssAnon:\t   100 kB\nRssFile:\t 800 kB\nVmSwap:\t  5 kB\n",
            105,
        ),
        (b"Name:\tkthreadd\n", 0),
        (b"", 0),
    ],
)
def test_memory_that_no_file_backs_counts(status: bytes, size: int) -> None:
    assert own_memory(status) == size * 1024
