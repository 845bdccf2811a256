"""Messages to the service manager: settings, the text of the status, extensions of the stop."""

from __future__ import annotations

import pytest

from trio_supervisor.core.notify import (
    STOP_MARGIN,
    NotifySettings,
    environment_of_programs,
    may_extend_stop,
    notify_settings,
    status_text,
)
from trio_supervisor.core.process.states import State


@pytest.mark.behaviour("process.md#notification-of-a-service-manager")
@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "@s"}, NotifySettings("@s", None)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "500000"}, NotifySettings("/s", 0.5)),
        (
            {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "7"},
            NotifySettings("/s", 2.0),
        ),
        (
            {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"},
            NotifySettings("/s", None),
        ),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, NotifySettings("/s", None)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "-5"}, NotifySettings("/s", None)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "٣"}, NotifySettings("/s", None)),
    ],
)
def test_settings(environment: dict[str, str], settings: NotifySettings | None) -> None:
    assert notify_settings(environment, 7) == settings


@pytest.mark.behaviour("process.md#notification-of-a-service-manager")
def test_programs_inherit_nothing_that_is_meant_for_the_daemon() -> None:
    own = dict.fromkeys(
        ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"), "1"
    )
    assert environment_of_programs({**own, "LISTEN": "x", "PATH": "/bin"}) == {
        "LISTEN": "x",
        "PATH": "/bin",
    }


@pytest.mark.behaviour("process.md#status-for-a-service-manager")
@pytest.mark.parametrize(
    ("states", "leaving", "text"),
    [
        ({}, "", "0 processes"),
        ({"a": State.RUNNING}, "", "1 process: 1 RUNNING"),
        (
            {"a": State.STOPPED, "b": State.FATAL, "c:d": State.RUNNING, "e": State.BACKOFF},
            "",
            "4 processes: 1 RUNNING, 1 STOPPED, 1 BACKOFF (e), 1 FATAL (b)",
        ),
        (
            {f"p{number}": State.FATAL for number in range(7)},
            "",
            "7 processes: 7 FATAL (p0, p1, p2, p3, p4 and 2 more)",
        ),
        (
            {"a": State.STOPPED, "b": State.STOPPING, "c": State.RUNNING},
            "stopping",
            "stopping, 2 processes left (b, c)",
        ),
        ({"a": State.EXITED}, "restarting", "restarting, 0 processes left"),
        ({"a\nREADY=0": State.FATAL}, "", "1 process: 1 FATAL (a\\nREADY=0)"),
    ],
)
def test_status(states: dict[str, State], leaving: str, text: str) -> None:
    assert status_text(states, leaving=leaving) == text


@pytest.mark.behaviour("process.md#stop-timeout-of-a-service-manager")
def test_a_stop_is_extended_until_a_killed_process_must_be_gone() -> None:
    assert may_extend_stop(0, [10, 300])
    assert may_extend_stop(300, [10, 300])
    assert not may_extend_stop(300 + STOP_MARGIN, [10, 300])
    assert may_extend_stop(STOP_MARGIN - 1, [])
    assert not may_extend_stop(STOP_MARGIN, [])
