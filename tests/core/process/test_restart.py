"""Decisions about restarts and retries that options beyond Supervisor's refine."""

from __future__ import annotations

import math
from signal import SIGKILL, SIGTERM

import pytest

from tests.kit.handing import handed_over
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.config.restarting import Backoff, RestartLimit, RestartOptions
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.restart import RestartHistory, RestartPolicy

LONG = 3600.0
EXPONENTIAL = Backoff.EXPONENTIAL


def pauses(*failures: int, **options: object) -> list[float | None]:
    """The pauses after so many failed starts in a row."""
    policy = RestartPolicy(startretries=10**9, options=RestartOptions(**options))  # type: ignore[arg-type]  # test data
    return [policy.after_failed_start(number) for number in failures]


@pytest.mark.behaviour("policies.md#pauses-between-failed-starts")
def test_how_pauses_grow() -> None:
    assert pauses(1, 2, 90) == [1, 2, 90]
    assert pauses(1, 2, 90, backoff_initial=0.5) == [0.5, 1, 45]
    assert pauses(1, 2, 90, backoff_max=60) == [1, 2, 60]
    assert pauses(1, 2, 90, backoff=Backoff.CONSTANT, backoff_initial=7) == [7, 7, 7]
    assert pauses(1, 2, 3, 6, 7, backoff=EXPONENTIAL) == [1, 2, 4, 32, 60]
    assert pauses(1, 10, 10**6, backoff=EXPONENTIAL, backoff_max=300) == [1, 300, 300]
    assert pauses(1, 2, backoff=EXPONENTIAL, backoff_initial=90) == [90, 90]
    assert pauses(1, 2, backoff=EXPONENTIAL, backoff_initial=90, backoff_max=5) == [5, 5]
    assert pauses(1, 2, 3, 4, backoff=(1, 5, 60)) == [1, 5, 60, 60]
    assert pauses(1, 2, 3, backoff=(1, 5, 60), backoff_max=30) == [1, 5, 30]


@pytest.mark.behaviour("policies.md#pauses-that-differ-by-chance")
def test_jitter_is_added_after_the_limit() -> None:
    options = RestartOptions(backoff=EXPONENTIAL, backoff_jitter=0.5, restart_delay=10)
    policy = RestartPolicy(Autorestart.ALWAYS, 99, options)
    assert [policy.after_failed_start(50, chance=chance) for chance in (0, 0.5, 1)] == [60, 75, 90]
    delays = [
        policy.after_exit(Exit(1), expected=False, lifetime=LONG, deaths=9, chance=chance)
        for chance in (0, 1)
    ]
    assert delays == [60, 90]


@pytest.mark.behaviour("policies.md#retries-without-end")
def test_retries_without_end() -> None:
    policy = RestartPolicy(startretries=0, options=RestartOptions(retry_forever=True))
    assert policy.after_failed_start(10**6) == 10**6


@pytest.mark.behaviour("policies.md#pause-before-a-restart")
@pytest.mark.parametrize(
    ("options", "deaths", "delay"),
    [
        (RestartOptions(), 5, 0),
        (RestartOptions(restart_delay=30), 5, 30),
        (RestartOptions(restart_delay=30, backoff_max=5), 5, 30),
        (RestartOptions(restart_delay=3, backoff=EXPONENTIAL), 1, 3),
        (RestartOptions(restart_delay=3, backoff=EXPONENTIAL), 3, 12),
        (RestartOptions(restart_delay=3, backoff=EXPONENTIAL), 10**6, 60),
        (RestartOptions(restart_delay=3, backoff=EXPONENTIAL, backoff_max=7), 9, 7),
        (RestartOptions(restart_delay=90, backoff=EXPONENTIAL), 2, 90),
        (RestartOptions(backoff=EXPONENTIAL), 9, 0),
    ],
)
def test_pause_before_a_restart(options: RestartOptions, deaths: int, delay: float) -> None:
    policy = RestartPolicy(Autorestart.ALWAYS, options=options)
    found = policy.after_exit(Exit(0), expected=True, lifetime=LONG, deaths=deaths)
    assert found == delay


def test_the_floor_of_a_crash_loop_stays() -> None:
    policy = RestartPolicy(Autorestart.ALWAYS, options=RestartOptions(restart_delay=0.1))
    assert policy.after_exit(Exit(0), expected=True, lifetime=0.25) == 0.75


@pytest.mark.behaviour("policies.md#ends-after-which-nothing-is-started-again")
@pytest.mark.parametrize(
    ("ended", "again"),
    [
        (Exit(78), False),
        (Exit(None, SIGTERM), False),
        (Exit(None, SIGTERM, core_dumped=True), False),
        (Exit(int(SIGTERM)), True),
        (Exit(None, 78), True),
        (Exit(None, SIGKILL), True),
        (Exit(None), True),
        (Exit(0), True),
    ],
)
def test_ends_that_prevent_a_restart(ended: Exit, *, again: bool) -> None:
    options = RestartOptions(
        restart_prevent=(Exit(78), Exit(None, SIGTERM)), retry_forever=True, on_fatal=300
    )
    policy = RestartPolicy(Autorestart.ALWAYS, options=options)
    for expected in (True, False):
        assert (policy.after_exit(ended, expected=expected, lifetime=LONG) is not None) is again
    assert (policy.after_failed_start(1, ended) is not None) is again
    assert (policy.after_fatal(ended) == 300) is again


def test_without_a_child_nothing_prevents_a_retry() -> None:
    policy = RestartPolicy(options=RestartOptions(restart_prevent=(Exit(78),), on_fatal=5))
    assert policy.after_failed_start(1, None) == 1
    assert policy.after_fatal(None) == 5
    at_once = RestartPolicy(options=RestartOptions(on_fatal=0))
    assert at_once.after_fatal(None) == 1
    assert RestartPolicy().after_fatal(None) is None


@pytest.mark.behaviour("policies.md#limit-of-restarts")
def test_the_restart_after_the_last_that_is_allowed_is_one_too_many() -> None:
    options = RestartOptions(restart_limit=RestartLimit(3, 60))
    policy, history = RestartPolicy(options=options), RestartHistory()
    for at in (10, 20, 30):
        assert policy.excess(history, at) == ""
        history.restarted(at, options)
    assert policy.excess(history, 40) == "restarted 3 times within 60 seconds"
    assert policy.excess(history, 69.9) != ""
    assert policy.excess(history, 70) == ""
    history.restarted(70, options)
    assert history.restarts == (20, 30, 70)
    assert policy.excess(history, 75) != ""
    assert RestartPolicy().excess(history, 75) == ""


def test_a_limit_of_one() -> None:
    options = RestartOptions(restart_limit=RestartLimit(1, 0.5))
    history = RestartHistory(restarts=(1.0,))
    assert RestartPolicy(options=options).excess(history, 1) == "restarted once within 0.5 seconds"


@pytest.mark.behaviour("policies.md#deaths-in-a-row")
def test_a_minute_of_running_ends_a_row_of_deaths() -> None:
    history = RestartHistory()
    assert history.running_since == -math.inf
    counts = []
    for began, ended in ((0, 5), (6, 65), (70, 129.9), (130, 190), (191, 192)):
        history.running_since = began
        history.died(ended)
        counts.append(history.deaths)
    assert counts == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    "history", [RestartHistory(), RestartHistory(3, 1000.0, (900.0, 950.0))], ids=["new", "used"]
)
def test_what_is_counted_survives_another_clock(history: RestartHistory) -> None:
    loaded = handed_over(history, 1000.0, 0.0)
    assert loaded.deaths == history.deaths
    assert loaded.running_since == history.running_since - 1000.0
    assert loaded.restarts == tuple(at - 1000.0 for at in history.restarts)
