"""Remarks about options on restarts that cannot have an effect."""

from __future__ import annotations

import pytest

from tests.kit.config import BASE, load

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
NO_RETRY = "has no effect: with startretries = 0 a failed start is not tried again"
NO_RESTART = "has no effect: with autorestart = false the program is not restarted"
ESSENTIAL = "ends everything only when the program is not restarted any more after a crash"


def remarks(lines: str, base: str = EXTENDED) -> list[str]:
    text = f"[program:x]\ncommand=/bin/cat\nautostart=false\n{lines}\n"
    return [m.text for m in load(text, base=base).messages if m.place.section == "program:x"]


@pytest.mark.behaviour("policies.md#options-without-an-effect")
@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        ("retry_forever=true\nstartretries=5", ["startretries has no effect beside retry_forever"]),
        ("retry_forever=true\non_fatal=retry:5m", ["on_fatal has no effect: with retry_forever"]),
        ("backoff=1,5\nbackoff_initial=2", ["backoff_initial has no effect: backoff lists"]),
        ("backoff_initial=10\nbackoff_max=5", ["backoff_max is less than backoff_initial"]),
        ("startretries=0\nbackoff_initial=2", [f"backoff_initial {NO_RETRY}"]),
        ("startretries=0\nbackoff=constant", [f"backoff {NO_RETRY}"]),
        ("autorestart=false\nrestart_delay=2", [f"restart_delay {NO_RESTART}"]),
        ("autorestart=false\nrestart_limit=5/1m", [f"restart_limit {NO_RESTART}"]),
        (
            "autorestart=false\nstartretries=0\nrestart_prevent=78",
            ["restart_prevent has no effect: nothing is started again"],
        ),
        ("restart_limit=5/4s", ["restart_limit is never reached: restarts are at least 1 s apart"]),
        (
            "restart_delay=20\nrestart_limit=5/1m",
            ["restart_limit is never reached: restarts are at least 21 s apart"],
        ),
        (
            "refresh_signal=USR1\nrefresh_command=/bin/true",
            ["refresh_signal has no effect beside refresh_command"],
        ),
        (
            "refresh_signal=KILL",
            ["refresh_signal is a signal that no program can handle, so each refresh fails"],
        ),
        ("hook_timeout=5", ["hook_timeout has no effect: the program has no pre_start"]),
        ("essential=true", [f"essential {ESSENTIAL}"]),
    ],
)
def test_options_without_an_effect(lines: str, texts: list[str]) -> None:
    found = remarks(lines)
    assert len(found) == len(texts), found
    assert all(map(str.startswith, found, texts)), found


@pytest.mark.parametrize(
    "lines",
    [
        "retry_forever=true",
        "retry_forever=true\non_fatal=retry:5m\nrestart_limit=5/1m",
        "retry_forever=true\nbackoff=exponential",
        "startretries=0\nbackoff=exponential\nrestart_delay=2",
        "autorestart=false\nrestart_limit=5/1m\nhealth=tcp:80",
        "autorestart=false\nrestart_limit=5/1m\nmemory_max=100MB",
        "autorestart=false\nrestart_prevent=78",
        "startsecs=0\nrestart_limit=5/5s",
        "essential=true\nautorestart=false",
        "essential=true\nautorestart=unexpected",
        "essential=false",
        "refresh_signal=USR1",
        "essential=true\noneshot=true",
    ],
)
def test_options_that_have_one(lines: str) -> None:
    assert remarks(lines) == []
