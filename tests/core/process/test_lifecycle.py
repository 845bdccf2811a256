"""Decisions about restarts and retries."""

from __future__ import annotations

import pytest

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.process.lifecycle import (
    Exit,
    restart_delay,
    retry_delay,
    signal_name,
    wants_restart,
)


@pytest.mark.behaviour("process.md#retries-and-fatal")
@pytest.mark.parametrize(
    ("failures", "startretries", "delay"),
    [(1, 3, 1), (2, 3, 2), (3, 3, 3), (4, 3, None), (1, 0, None), (1, -1, None), (90, 100, 90)],
)
def test_retry_delay(failures: int, startretries: int, delay: float | None) -> None:
    assert retry_delay(failures, startretries) == delay


@pytest.mark.parametrize(("failures", "delay"), [(1, 0.5), (2, 10), (3, 10), (50, 10), (51, None)])
def test_retry_delay_of_a_named_backoff(failures: int, delay: float | None) -> None:
    assert retry_delay(failures, 50, (0.5, 10)) == delay


@pytest.mark.behaviour("process.md#crash-loops-are-paced")
@pytest.mark.parametrize(("lifetime", "delay"), [(0, 1), (0.25, 0.75), (1, 0), (3600, 0)])
def test_restart_delay(lifetime: float, delay: float) -> None:
    assert restart_delay(lifetime) == delay


@pytest.mark.behaviour("process.md#autorestart")
def test_wants_restart() -> None:
    wanted = {(p, e): wants_restart(p, expected=e) for p in Autorestart for e in (True, False)}
    assert {key for key, value in wanted.items() if value} == {
        (Autorestart.ALWAYS, True),
        (Autorestart.ALWAYS, False),
        (Autorestart.UNEXPECTED, False),
    }


@pytest.mark.behaviour("process.md#expected-and-unexpected-exits")
def test_expected_exits() -> None:
    assert Exit(2).expected((0, 2))
    assert not Exit(1).expected((0, 2))
    assert not Exit(0).expected(())
    assert not Exit(None, 9).expected((0, 9, 137))


@pytest.mark.behaviour("process.md#description-of-an-exit")
def test_signal_names() -> None:
    assert [signal_name(n) for n in (15, 6, 17, 29, 34, 40, 64)] == [
        "SIGTERM",
        "SIGABRT",
        "SIGCHLD",
        "SIGPOLL",
        "SIGRTMIN",
        "signal 40",
        "SIGRTMAX",
    ]
