"""The two daemons under measurement: start one in the foreground, observe it and end it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError, Rpc, children, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.starts import Executables

_ROOT = Path(__file__).parents[1]

#: Timeout in seconds of one run, start and measurement together: about ten times the longest run.
RUN_LIMIT = 90.0

#: Timeout in seconds for a daemon to stop its programs and exit, before all are killed.
_STOP_LIMIT = 20.0

#: Seconds between two checks of a daemon while its programs are awaited.
_CHECK_INTERVAL = 0.5

#: Timeout in seconds for printing the version.
_VERSION_LIMIT = 30.0

#: Number of characters shown from the end of a failed daemon's output.
_SHOWN_OUTPUT = 2000

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

#: Open files allowed to the daemons: the pipes and logs of 1000 programs need more than the usual
#: limit of 1024.
MINFDS = 8192

#: The configuration of both daemons.
_CONFIGURATION = """\
[supervisord]
logfile = {directory}/supervisord.log
pidfile = {directory}/supervisord.pid
childlogdir = {directory}
minfds = {minfds}
{settings}
[unix_http_server]
file = {socket}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

{programs}"""


@dataclass(frozen=True)
class Subject:
    """One of the compared daemons."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def version(self) -> str:
        """Run the daemon with ``-v``; raises MeasurementError if that fails."""
        try:
            done = subprocess.run(
                [*self.command, "-v"],
                env=os.environ | self.environment,
                capture_output=True,
                text=True,
                timeout=_VERSION_LIMIT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MeasurementError(f"{self.name}: cannot run {self.command}: {error}") from error
        if done.returncode != 0:
            raise MeasurementError(
                f"{self.name}: {' '.join(self.command)} -v ended with {done.returncode}:\n"
                + done.stderr[-_SHOWN_OUTPUT:]
            )
        return done.stdout.strip()


def ours() -> Subject:
    """Return the working tree that contains these benchmarks, run by this interpreter."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    # -P: do not import another trio_supervisor from the current directory
    # Bytecode is cached, as it is for Supervisor, which pip has compiled: without that each start
    # would compile all modules, and take a megabyte more.
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    return Subject("ours", (sys.executable, "-P", "-m", "trio_supervisor"), environment)


def supervisor(supervisord: Path) -> Subject:
    """Return Supervisor, given the path of its daemon."""
    return Subject("Supervisor", (str(supervisord),))


class Daemon:
    """A daemon under measurement."""

    def __init__(
        self,
        subject: Subject,
        directory: Path,
        programs: str,
        *,
        minfds: int,
        limit: float,
        settings: str = "",
    ) -> None:
        socket = directory / "supervisor.sock"
        configuration = directory / "supervisord.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                socket=socket,
                programs=programs,
                minfds=minfds,
                settings=settings,
            )
        )
        self.rpc = Rpc(socket)
        self._subject = subject
        self._others = children(os.getpid())
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.launched = time.monotonic()
            self._deadline = self.launched + limit
            self._process = subprocess.Popen(
                [*subject.command, "-n", "-c", str(configuration)],
                env=os.environ | subject.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_children(self, count: int) -> float:
        """Wait until the daemon has this many child processes, without sending it requests."""
        return self.wait(lambda: len(children(self.pid)) >= count, f"{count} child processes")

    def wait_for_starts(self, programs: Executables, count: int) -> float:
        """Wait until this many of the programs have been started, without requests or polling."""
        while len(programs.started) < count:
            self._check_alive()
            if time.monotonic() >= self._deadline:
                raise MeasurementError(f"gave up waiting for {count} programs")
            programs.wait(_CHECK_INTERVAL)
        return time.monotonic()

    def wait_for_answer(self) -> float:
        return self.wait(self.rpc.answers, "an answer on the control socket")

    def wait_for_last(self, name: str) -> float:
        """Wait until the daemon reports that this process, the last to be started, is RUNNING.

        Supervisor takes much more processor time to report all.
        """
        self.wait_for_answer()
        return self.wait(lambda: self.rpc.state(name) == "RUNNING", f"the start of {name}")

    def wait_for_running(self, count: int) -> float:
        """Wait until the daemon reports exactly this many processes, all RUNNING."""
        self.wait_for_answer()
        return self.wait(lambda: self.rpc.all_running(count), f"{count} RUNNING processes")

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for a condition while the daemon runs; return the time at which it was true.

        Raises MeasurementError if the daemon exits or ``RUN_LIMIT`` is over.
        """

        def seen() -> bool:
            self._check_alive()
            return condition()

        return wait_until(seen, deadline=self._deadline, what=f"{what} of {self._subject.name}")

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            output = self._output.read_text(errors="replace")[-_SHOWN_OUTPUT:].strip()
            raise MeasurementError(
                f"{self._subject.name}: the daemon ended with {code}:\n{output or '(no output)'}"
            )

    def end(self) -> None:
        """End the daemon and its remaining children, by pid; also if interrupted."""
        try:
            self._process.terminate()
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass  # killed below, as after an interrupt
        finally:
            self._process.kill()
            self._process.wait()
            self.rpc.close()
            while (
                orphans := children(os.getpid()) - self._others
            ):  # a killed process may leave children
                _end_processes(orphans)


@contextmanager
def running(
    subject: Subject,
    directory: Path,
    programs: str,
    *,
    minfds: int = MINFDS,
    limit: float = RUN_LIMIT,
    settings: str = "",
) -> Iterator[Daemon]:
    """Run a daemon with these program sections during the block, which has ``limit`` seconds.

    ``settings`` are further lines of ``[supervisord]``.
    """
    daemon = Daemon(subject, directory, programs, minfds=minfds, limit=limit, settings=settings)
    try:
        yield daemon
    finally:
        daemon.end()


def adopt_orphans() -> None:
    """Make this process a subreaper, so that it inherits the children of a dead daemon.

    ``Daemon.end`` then finds these processes, and their pids are not reused until it reaps them.
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
