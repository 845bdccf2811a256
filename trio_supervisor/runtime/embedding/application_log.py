"""The activity log of an embedded supervisor as records of the application's logging."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.escape import escaped
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.output.merged import MergedOutput

    Log = Callable[[Severity, str], None]

NAME = "trio_supervisor"


def log_to(logger: logging.Logger) -> Log:
    """Return a log function that makes records of this logger.

    All records have the attributes ``program`` (its full name), ``pid`` and ``state``; they are
    None if the record is about no program, or there is no child. The record about a task that has
    failed has the exception as ``exc_info``. A stop that was requested is at INFO, also if the stop
    signal has ended the program.
    """

    def log(severity: Severity, text: str) -> None:
        about = text if isinstance(text, ProcessLine) else None
        extra: dict[str, object] = {"program": None, "pid": None, "state": None}
        if about is not None:
            state = None if about.state is None else about.state.name
            extra = {"program": about.process, "pid": about.pid or None, "state": state}
            if about.state is State.STOPPED:
                severity = min(severity, Severity.INFO)
        error = None if about is None else about.error
        logger.log(int(severity), "%s", escaped(text), extra=extra, exc_info=error)

    return log


async def log_output(lines: MergedOutput, logger: logging.Logger) -> None:
    """Log the lines of programs at INFO, with ``program`` and ``channel``, until they end."""
    async for line in lines:
        extra = {"program": line.process, "pid": None, "state": None, "channel": line.channel}
        with contextlib.suppress(Exception):  # a handler of the application
            logger.info("%s", escaped(line.text), extra=extra)


def contained(log: Log) -> Log:
    """Return a log function that does not raise: an error of the program's costs one line.

    The line and the first error go to logging instead.
    """
    has_failed = False

    def log_safely(severity: Severity, text: str) -> None:
        nonlocal has_failed
        try:
            log(severity, text)
        except Exception:
            first, has_failed = not has_failed, True
            with contextlib.suppress(Exception):  # the handlers of logging may fail too
                logger = logging.getLogger(NAME)
                if first:
                    logger.exception("the log function %r has failed", log)
                log_to(logger)(severity, text)

    return log_safely
