"""What ``post_stop`` is told about the end of a program."""

from __future__ import annotations

import pytest

from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.service_result import end_variables, service_result

OK, FAILED = Exit(0), Exit(3)
TERM, SEGV, CORE = Exit(None, 15), Exit(None, 11), Exit(None, 11, True)


@pytest.mark.behaviour("policies.md#post_stop")
@pytest.mark.parametrize(
    ("ended", "facts", "result"),
    [
        (OK, {"expected": True}, "success"),
        (FAILED, {"expected": True}, "success"),
        (FAILED, {}, "exit-code"),
        (FAILED, {"stopped": True}, "exit-code"),
        (TERM, {"stopped": True}, "success"),
        (TERM, {}, "success"),
        (SEGV, {"stopped": True}, "success"),
        (SEGV, {}, "signal"),
        (CORE, {}, "core-dump"),
        (CORE, {"stopped": True}, "core-dump"),
        (Exit(None, 9), {"stopped": True, "timed_out": True}, "timeout"),
        (Exit(None, 9), {"stopped": True, "timed_out": True, "unhealthy": True}, "watchdog"),
        (Exit(None, 9), {"out_of_memory": True}, "oom-kill"),
    ],
)
def test_the_result(ended: Exit, facts: dict[str, bool], result: str) -> None:
    assert service_result(ended, **{"expected": False, "stopped": False, **facts}) == result


@pytest.mark.behaviour("policies.md#post_stop")
@pytest.mark.parametrize(
    ("ended", "code", "status"),
    [
        (OK, "exited", "0"),
        (FAILED, "exited", "3"),
        (TERM, "killed", "TERM"),
        (CORE, "dumped", "SEGV"),
        (Exit(None, 40), "killed", "40"),
        (Exit(None), "exited", "-1"),
    ],
)
def test_the_variables(ended: Exit, code: str, status: str) -> None:
    assert end_variables(ended, "success") == {
        "SERVICE_RESULT": "success",
        "EXIT_CODE": code,
        "EXIT_STATUS": status,
    }
