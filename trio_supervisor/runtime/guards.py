"""Where errors of our own tasks stop: said once in the log, with the traceback (P-344).

Only what cannot go on ends a supervisor; for that see ``survivors.py``.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

import trio

from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Log = Callable[[Severity, str], None]
    Task = Callable[[], Awaitable[object]]

#: Seconds before a task that failed runs again, so that a lasting error cannot spin.
RECOVERY_PAUSE = 1


async def attempt(task: Task, what: str, log: Log) -> None:
    """Run a task; an error ends it and nothing else."""
    try:
        await task()
    except Exception as error:
        log(Severity.CRITICAL, f"internal error in {what}:\n{traceback_of(error)}")


def innermost(error: BaseException) -> BaseException:
    """What is left of exception groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        [error] = error.exceptions
    return error


def traceback_of(error: BaseException) -> str:
    """As people know it, without the frames of nurseries around it."""
    return "".join(traceback.format_exception(innermost(error)))


async def persist(task: Task, what: str, log: Log) -> NoReturn:
    """Run a task that is not to end before it is cancelled; after an error it gets a pause."""
    while True:
        await attempt(task, what, log)
        await trio.sleep(RECOVERY_PAUSE)
