"""A supervisor as a process of its own: launch it, wait for its programs, and end all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError, children, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.starts import Executables

#: Timeout in seconds of one run, start and measurement together: about ten times the longest run.
RUN_LIMIT = 90.0

#: Timeout in seconds for a supervisor to stop its programs and exit, before all are killed.
_STOP_LIMIT = 20.0

#: Seconds between two checks of a supervisor while its programs are awaited.
_CHECK_INTERVAL = 0.5

#: Number of characters shown from the end of a failed supervisor's output.
SHOWN_OUTPUT = 2000

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Launched:
    """A supervisor that has been launched in this directory, with its programs.

    ``background`` means that the command ends with status 0 and leaves the supervisor running.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        limit: float = RUN_LIMIT,
        background: bool = False,
    ) -> None:
        self._name = name
        self._background = background
        self._others = children(os.getpid())
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.launched = time.monotonic()
            self._deadline = self.launched + limit
            self._process = subprocess.Popen(
                command,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def processes(self) -> set[int]:
        """Return the pids of the supervisor and of all its descendants."""
        found: set[int] = set()
        left = children(os.getpid()) - self._others
        while left:
            found |= left
            left = set().union(*map(children, left)) - found
        return found

    def wait_for_children(self, count: int) -> float:
        """Wait until the process has this many child processes, without sending it requests."""
        return self.wait(lambda: len(children(self.pid)) >= count, f"{count} child processes")

    def wait_for_starts(self, programs: Executables, count: int) -> float:
        """Wait until this many of the programs have been started, without requests or polling.

        Return the time of the last of them.
        """
        while len(programs.started) < count:
            self._check_alive()
            if time.monotonic() >= self._deadline:
                raise MeasurementError(f"gave up waiting for {count} programs of {self._name}")
            programs.wait(_CHECK_INTERVAL)
        return programs.seen

    def wait_for_command(self) -> None:
        """Wait until the command has ended that leaves a supervisor in the background."""
        self.wait(lambda: self._process.poll() is not None, "the end of the command")

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for a condition while the process runs; return the time at which it was true.

        Raises MeasurementError if the process exits or ``limit`` is over.
        """

        def seen() -> bool:
            self._check_alive()
            return condition()

        return wait_until(seen, deadline=self._deadline, what=f"{what} of {self._name}")

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None and not (self._background and code == 0):
            output = self._output.read_text(errors="replace")[-SHOWN_OUTPUT:].strip()
            raise MeasurementError(
                f"{self._name}: the daemon ended with {code}:\n{output or '(no output)'}"
            )

    def end(self) -> None:
        """End the supervisor and its remaining children, by pid; also if interrupted."""
        try:
            self._process.terminate()
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass  # killed below, as after an interrupt
        finally:
            self._process.kill()
            self._process.wait()
            while (
                orphans := children(os.getpid()) - self._others
            ):  # a killed process may leave children
                _end_processes(orphans)


def adopt_orphans() -> None:
    """Make this process a subreaper, so that it inherits the children of a dead daemon.

    ``Launched.end`` then finds these processes, and their pids are not reused until it reaps them.
    Raises MeasurementError if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise MeasurementError(f"prctl: {os.strerror(ctypes.get_errno())}")


def _end_processes(pids: set[int]) -> None:
    """Kill and reap these child processes of this process."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
