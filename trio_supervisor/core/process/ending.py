"""The end of a process for good: whether it ends the supervisor, with which exit code and words.

``ProcessRecord.ended_unasked`` says what such an end is; a stop on request is none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import ProcessFailed
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.record import ProcessRecord

#: Exit codes of a shell for commands that it cannot run, and what is added to a signal's number.
NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
FAILED = 1


def exit_code(record: ProcessRecord) -> int:
    """Return the exit code for a program that ends because this process has ended for good.

    That of its last child, as a shell tells it: 128 is added to the number of a signal. 0 only if
    the process has exited as expected. If there never was a child, 127 or 126 as the command was
    not found or cannot be executed.
    """
    end = record.last_end
    if end is None:
        return record.spawn_code
    if end.exit.signal is not None:
        return SIGNALLED + end.exit.signal
    return end.exit.code or (0 if _went_well(record) else FAILED)


def failure_of(
    config: ProcessConfig, full_name: str, record: ProcessRecord, waiting: str = ""
) -> ProcessFailed:
    """Return the error that tells of the end of a process that should not have ended.

    ``waiting``: for which dependency that does not come it waits, if it has not ended itself.
    """
    end = record.last_end
    tail = "" if end is None or record.last_exit is None else end.stderr or end.stdout
    return ProcessFailed(
        full_name,
        waiting or reason(config, record),
        exit=record.last_exit,
        tail=tail,
        code=exit_code(record),
    )


def code_if_all_ended(programs: Iterable[ProcessRecord]) -> int | None:
    """Return the exit code of a daemon if none of these programs is up, else None.

    The code is that of the first, by time, that has ended as it should not have, else 0.
    """
    records = [*programs]
    if any(one.is_up for one in records):
        return None
    failed = [one for one in records if one.ended_unasked and not _went_well(one)]
    return exit_code(min(failed, key=_time_of_end)) if failed else 0


def _went_well(record: ProcessRecord) -> bool:
    end = record.last_end
    return record.state is State.EXITED and end is not None and end.expected


def _time_of_end(record: ProcessRecord) -> float:
    return math.inf if record.transition is None else record.transition.at
