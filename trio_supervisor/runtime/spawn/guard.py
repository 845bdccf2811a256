"""Sees to it that no program outlives the program that supervises it: the guard and its orders.

Theory of operation
-------------------
A program that is killed can stop nobody. The *guard* is another process: an interpreter that runs
``guard_process.py`` as a script and reads from a pipe whose other end only the
supervising program holds. It is told of each child, and of its end. When the pipe ends, the
supervising program is gone, and the guard kills the process groups of the children that it knows.
It is in a session of its own, so that no Ctrl-C reaches it.

``GuardedLauncher`` makes children as the launcher inside of it does, tells the guard, and kills
what a child leaves in its process group: in the moment between the death of the child and its
reaping, when its pid, which is the number of the group, cannot have been reused.

If the supervising program is killed between a fork and the moment at which the guard hears of it,
that child lives on; this takes as long as a thread needs to hand over the child. Processes that
have left the group of their child are not found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from trio_supervisor.runtime.spawn.child import RealChild

if TYPE_CHECKING:
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.launcher import Launcher
    from trio_supervisor.runtime.spawn.spec import SpawnSpec

#: Seconds that the guard gets to end when the pipe has ended.
GUARD_TIMEOUT = 5.0


SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard_process.py")


class Guard:
    """The process that kills what outlives this program."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        self._fd = self._process.stdin.fileno()
        os.set_blocking(self._fd, False)

    def add(self, pid: int) -> None:
        """Tell it of a child, the leader of a process group."""
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        """Tell it that a child has ended."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Let it end; it kills what it still knows."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(GUARD_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it was killed, or stopped for long
            os.write(self._fd, line.encode())


class GuardedLauncher:
    """Makes children that leave nothing behind: in their groups, or when this program is killed."""

    def __init__(self, launch: Launcher, guard: Guard | None, *, groups: bool) -> None:
        """``guard``: None means that children may outlive this program.

        ``groups``: whether to kill what an ended child leaves in its process group.
        """
        self._launch = launch
        self._guard = guard
        self._groups = groups

    async def __call__(self, spec: SpawnSpec) -> Child:
        child = await self._launch(spec)
        if isinstance(child, RealChild):
            if self._guard is not None:
                self._guard.add(child.pid)
            child.before_reaping = self._before_reaping
        return child

    def _before_reaping(self, pid: int) -> None:
        if self._groups:
            with contextlib.suppress(OSError):  # nobody is left
                os.killpg(pid, signal.SIGKILL)
        if self._guard is not None:
            self._guard.remove(pid)
