"""Decisions about restarts and retries."""

from __future__ import annotations

import pytest

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.restarting import RestartOptions
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.restart import RestartPolicy
from trio_supervisor.core.process.signals import parse_signal, signal_name


@pytest.mark.behaviour("process.md#retries-and-fatal")
@pytest.mark.parametrize(
    ("failures", "startretries", "delay"),
    [(1, 3, 1), (2, 3, 2), (3, 3, 3), (4, 3, None), (1, 0, None), (1, -1, None), (90, 100, 90)],
)
def test_pauses_between_retries(failures: int, startretries: int, delay: float | None) -> None:
    policy = RestartPolicy(startretries=startretries)
    assert policy.after_failed_start(failures) == delay


@pytest.mark.parametrize(("failures", "delay"), [(1, 0.5), (2, 10), (3, 10), (50, 10), (51, None)])
def test_retry_delay_of_a_named_backoff(failures: int, delay: float | None) -> None:
    policy = RestartPolicy(startretries=50, options=RestartOptions(backoff=(0.5, 10)))
    assert policy.after_failed_start(failures) == delay


@pytest.mark.behaviour("process.md#crash-loops-are-paced")
@pytest.mark.parametrize(("lifetime", "delay"), [(0, 1), (0.25, 0.75), (1, 0), (3600, 0)])
def test_pause_before_a_restart(lifetime: float, delay: float) -> None:
    policy = RestartPolicy(Autorestart.ALWAYS)
    assert policy.after_exit(Exit(0), expected=True, lifetime=lifetime) == delay


@pytest.mark.behaviour("process.md#autorestart")
def test_which_exits_are_restarted() -> None:
    delays = {
        (policy, expected): RestartPolicy(policy).after_exit(
            Exit(0), expected=expected, lifetime=60
        )
        for policy in Autorestart
        for expected in (True, False)
    }
    assert {key for key, delay in delays.items() if delay is not None} == {
        (Autorestart.ALWAYS, True),
        (Autorestart.ALWAYS, False),
        (Autorestart.UNEXPECTED, False),
    }


@pytest.mark.behaviour("process.md#expected-and-unexpected-exits")
def test_which_exits_are_expected() -> None:
    assert Exit(2).expected((0, 2))
    assert not Exit(1).expected((0, 2))
    assert not Exit(0).expected(())
    assert not Exit(None, 9).expected((0, 9, 137))


@pytest.mark.behaviour("process.md#description-of-an-exit")
def test_names_of_signals_in_descriptions() -> None:
    assert [signal_name(n) for n in (15, 6, 17, 29, 34, 40, 64)] == [
        "SIGTERM",
        "SIGABRT",
        "SIGCHLD",
        "SIGPOLL",
        "SIGRTMIN",
        "signal 40",
        "SIGRTMAX",
    ]


@pytest.mark.behaviour("process.md#signal-requests")
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        (" sighup ", 1),
        ("15", 15),
        ("0", 0),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmax-1", 63),
        ("40", 40),
    ],
)
def test_signals_by_name_and_number(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "SIG", "FOO", "SIGSIGTERM", "_DFL", "32", "65", "-1", "1" * 30, "\u0661", "RTMAX+1"],
)
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid signal"):
        parse_signal(text)
