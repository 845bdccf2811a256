"""Ends the children of a supervisor that has failed and let go of them (P-344).

Without an event loop and without states: only pids, the configured signals and patience.
"""

from __future__ import annotations

import contextlib
import os
import time
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.runtime.process.lifecycle import Process

#: Seconds to wait for a child that was sent SIGKILL; one in the kernel's hands may never end.
LAST_WAIT = 5.0
#: Seconds between two looks at a child that is to end.
LOOK_INTERVAL = 0.01


def end_survivors(processes: Sequence[Process], within: float) -> None:
    """Stop what is left as a shutdown would, and reap it: stop signals in reverse start order at
    once, SIGKILL after stopwaitsecs or ``within`` seconds, whichever is less. Blocks meanwhile.

    A child that was not reaped keeps its pid, so nobody else's can be hit; one that was reaped
    already, while its end was not recorded yet, is left out.
    """
    living = [process for process in reversed(processes) if process.pid]
    for process in living:
        _send(process, process.config.stopsignal, group=process.config.stopasgroup)
        _send(process, SIGCONT, group=process.config.stopasgroup)  # one that is paused hears it too
    told = time.monotonic()
    for process in sorted(living, key=lambda process: process.config.stopwaitsecs):
        patience = min(within, process.config.stopwaitsecs)
        if not _has_ended(process.pid, told + patience - time.monotonic()):
            _send(process, SIGKILL, group=process.config.killasgroup)
            _has_ended(process.pid, LAST_WAIT)
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
