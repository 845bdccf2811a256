"""Stop the children of a supervisor that has failed and let go of them.

Works without an event loop and without states: with pids and the stop sequences of the processes.

A child that was not reaped keeps its pid, so no other process can be hit; a child that was reaped,
while its end was not recorded yet, is left out. A program that an earlier daemon has started is
known by a pidfd.
"""

from __future__ import annotations

import contextlib
import os
import time
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.plan import stop_order
from trio_supervisor.core.process.member import Member
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
    """
    living = [process for process in stop_order(processes) if process.pid]
    survivors = [(_survivor(process), StopSequence.of(process.config)) for process in living]
    began = time.monotonic()
    for after, survivor, step in sorted(
        (
            (after, survivor, step)
            for survivor, stop in survivors
            for after, step in stop.signals_within(within)
        ),
        key=lambda item: (item[0], item[2].signal == SIGKILL),
    ):
        if after and _ends(survivor, began + after - time.monotonic()):
            continue
        _send(survivor, step.signal, group=step.group)
        if step.signal == SIGKILL:
            _ends(survivor, LAST_WAIT)
        else:
            _send(survivor, SIGCONT, group=step.group)  # a paused child cannot act on it
    for survivor, _ in survivors:
        survivor.close()


class Survivor(Protocol):
    """A child, and what is to be done to it."""

    def has_ended(self) -> bool:
        """Whether it has; it may be a zombie."""

    def signal(self, number: int) -> None:
        """Send a signal to it. Raises OSError."""

    def signal_group(self, number: int) -> None:
        """Send a signal to the process group that it leads. Raises OSError."""

    def close(self) -> None:
        """Reap it if it has ended, and let go of it."""


class _OwnChild:
    """One that this program has started."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def has_ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def signal(self, number: int) -> None:
        self._check()
        os.kill(self._pid, number)

    def signal_group(self, number: int) -> None:
        self._check()
        os.killpg(self._pid, number)

    def close(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, os.WNOHANG)

    def _check(self) -> None:
        """Raise ChildProcessError if it is not ours any more."""
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _survivor(process: Process) -> Survivor:
    adoption = process.record.adoption
    if adoption is None:
        return _OwnChild(process.pid)
    from trio_supervisor.runtime.spawn.foreign_process import ForeignProcess  # few daemons have one

    return ForeignProcess(Member(process.pid, adoption.started))


def _send(survivor: Survivor, number: int, *, group: bool) -> None:
    with contextlib.suppress(OSError):  # not ours any more, or not ours to signal
        (survivor.signal_group if group else survivor.signal)(number)


def _ends(survivor: Survivor, seconds: float) -> bool:
    """Whether the child ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while not survivor.has_ended():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_INTERVAL)
    return True
