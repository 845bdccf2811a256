"""The two daemons under measurement: start one in the foreground and send it requests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.launched import RUN_LIMIT, SHOWN_OUTPUT, Launched
from benchmarks.probe import MeasurementError, Rpc

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[1]

#: Timeout in seconds for printing the version.
_VERSION_LIMIT = 30.0

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
                + done.stderr[-SHOWN_OUTPUT:]
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


class Daemon(Launched):
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
        command = [*subject.command, "-n", "-c", str(configuration)]
        super().__init__(subject.name, command, subject.environment, directory, limit=limit)

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

    def end(self) -> None:
        """End the daemon and its remaining children, by pid; also if interrupted."""
        try:
            super().end()
        finally:
            self.rpc.close()


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
