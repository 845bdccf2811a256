"""Stop the children of a supervisor that has failed and let go of them.

Works without an event loop and without states: with pids and the stop sequences of the processes.
"""

from __future__ import annotations

import contextlib
import os
import time
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING

from trio_supervisor.core.plan import stop_order
from trio_supervisor.core.process.stop import StopSequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.runtime.process.process import Process

#: Seconds to wait for a child that was sent SIGKILL; one in the kernel's hands may never end.
LAST_WAIT = 5.0
#: Seconds between two looks at a child that is to end.
LOOK_INTERVAL = 0.01


def end_survivors(processes: Sequence[Process], within: float) -> None:
    """Stop all children that are left, and reap them. Blocks meanwhile.

    They get their first stop signals at once, in reverse start order, and the others when they are
    due, but SIGKILL after ``within`` seconds at the latest.

    A child that was not reaped keeps its pid, so no other process can be hit; a child that was
    reaped, while its end was not recorded yet, is left out.
    """
    living = [process for process in stop_order(processes) if process.pid]
    sequences = [(process, StopSequence.of(process.config)) for process in living]
    began = time.monotonic()
    for after, process, step in sorted(
        (
            (after, process, step)
            for process, stop in sequences
            for after, step in stop.signals_within(within)
        ),
        key=lambda item: (item[0], item[2].signal == SIGKILL),
    ):
        if after and _has_ended(process.pid, began + after - time.monotonic()):
            continue
        _send(process, step.signal, group=step.group)
        if step.signal == SIGKILL:
            _has_ended(process.pid, LAST_WAIT)
        else:
            _send(process, SIGCONT, group=step.group)  # a paused child cannot act on it
    for process, _ in sequences:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _send(process: Process, number: int, *, group: bool) -> None:
    with contextlib.suppress(OSError):  # not ours any more, or not ours to signal
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        (os.killpg if group else os.kill)(process.pid, number)


def _has_ended(pid: int, seconds: float) -> bool:
    """Whether the child ends within so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_INTERVAL)
    except ChildProcessError:
        pass
    return True
