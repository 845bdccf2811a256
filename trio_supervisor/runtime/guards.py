"""Guards for internal background tasks: log an unexpected exception, then end or repeat the task.

An error that no guard stops ends the supervisor; see ``process/emergency_stop.py``.
"""

from __future__ import annotations

import errno
import traceback
from typing import TYPE_CHECKING, NoReturn

import trio

from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Log = Callable[[Severity, str], None]
    AsyncCall = Callable[[], Awaitable[object]]

#: Errors that mean that the daemon is out of descriptors, memory or threads for the moment.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
#: Seconds before a task that failed runs again, so that a lasting error cannot spin.
RECOVERY_PAUSE = 1


async def run_logged(task: AsyncCall, what: str, log: Log) -> None:
    """Run a task once. An exception is logged, and ends nothing else.

    It has a traceback, but for a lack of descriptors, memory or threads, which is no fault of ours.
    """
    try:
        await task()
    except Exception as error:
        cause = innermost(error)
        if isinstance(cause, OSError) and cause.errno in EXHAUSTED:
            log(Severity.CRITICAL, f"cannot run the task of {what}: {cause.strerror}")
        else:
            log(Severity.CRITICAL, f"internal error in {what}:\n{traceback_of(error)}")


def innermost(error: BaseException) -> BaseException:
    """Unwrap exception groups that hold a single exception."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        [error] = error.exceptions
    return error


def traceback_of(error: BaseException) -> str:
    """Format an exception without the exception groups of the nurseries around it."""
    return "".join(traceback.format_exception(innermost(error)))


async def run_forever(task: AsyncCall, what: str, log: Log) -> NoReturn:
    """Run a task until it is cancelled; run it again, after a pause, whenever it ends."""
    while True:
        await run_logged(task, what, log)
        await trio.sleep(RECOVERY_PAUSE)
