"""The end of an essential process: whether it escalates, and how it is told.

A process ends for good when it has ended by itself and is not to be started again
(``ProcessRecord.ended_for_good``); a stop on request is no such end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.errors import ProcessFailed
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import ProcessRecord

#: Exit codes of a shell for commands that it cannot run, and what is added to a signal's number.
NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
FAILED = 1


def exit_code(config: ProcessConfig, record: ProcessRecord) -> int:
    """Return the exit code for a program that ends because this process has ended for good.

    That of its last child, as a shell tells it: 128 is added to the number of a signal. 0 only if
    0 is expected and the process is not FATAL. If the last attempt led to no child, 127 or 126 as
    the command was not found or cannot be executed.
    """
    ended = record.last_exit
    if ended is None:
        return record.spawn_code
    if ended.signal is not None:
        return SIGNALLED + ended.signal
    fine = record.state is not State.FATAL and ended.expected(config.exitcodes)
    return ended.code or (0 if fine else FAILED)


def failure_of(config: ProcessConfig, full_name: str, record: ProcessRecord) -> ProcessFailed:
    """Return the error that tells of the end of a process that should not have ended."""
    end = record.last_end
    tail = "" if end is None or record.last_exit is None else end.stderr or end.stdout
    return ProcessFailed(
        full_name,
        reason(config, record),
        exit=record.last_exit,
        tail=tail,
        code=exit_code(config, record),
    )
