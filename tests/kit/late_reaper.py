"""Programs that another process reaps, and only when the test says so.

As process 1 or a subreaper does with the programs of a daemon that was killed.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import suppress
from os import pidfd_open  # tests replace those of the modules by what old kernels do
from signal import SIGKILL, SIGUSR1, pidfd_send_signal
from typing import TYPE_CHECKING

from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn.members import member_of

if TYPE_CHECKING:
    from types import TracebackType

#: Has orphans of its own, too: it is a subreaper. Each program leads a process group.
_SCRIPT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word in ("run", "lead"):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
            os.setpgid(0, 0) if word == "run" else os.setsid()
            os.write(write, b"x")
            os.close(read)
            os.close(write)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            exec(eval(rest))
            os._exit(0)
        os.read(read, 1)
        os.close(read)
        os.close(write)
        print(pid, flush=True)
    elif word == "reap":
        os.waitpid(int(rest), 0)
        print("reaped", flush=True)
"""

#: What a program does: it waits until the test ends it, and exits with a code.
EXITS = "signal.sigwait([signal.SIGUSR1]); os._exit({code})"


class LateReaper:
    """The parent of programs, which it does not reap by itself."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._pidfds: list[int] = []
        """Of all programs; one whose first thread has ended is not found by its start any more."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, code: str = EXITS.format(code=0), *, leads_session: bool = False) -> Member:
        """Run a program; its code begins with SIGUSR1 and SIGUSR2 blocked.

        Its first thread has to wait for a signal before it ends, or there may be nothing to return.
        """
        pid = int(self._asked(f"{'lead' if leads_session else 'run'} {code!r}"))
        self._pidfds.append(pidfd_open(pid))
        program = member_of(pid)
        assert program is not None
        return program

    def end(self, program: Member, number: int = SIGUSR1) -> None:
        """End a program with a signal; return when it is a zombie."""
        pidfd = pidfd_open(program.pid)
        os.kill(program.pid, number)
        wait_for_end(pidfd)
        os.close(pidfd)

    def reap(self, program: Member) -> None:
        """Return when a program that has ended is reaped."""
        assert self._asked(f"reap {program.pid}") == "reaped"

    def die(self) -> None:
        """Leave the programs to the next one that reaps orphans."""
        self._process.kill()
        self._process.wait()

    def _asked(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        return self._process.stdout.readline().strip()

    def __enter__(self) -> LateReaper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pidfd in self._pidfds:
            with suppress(ProcessLookupError):
                pidfd_send_signal(pidfd, SIGKILL)
            os.close(pidfd)
        self._process.kill()
        self._process.communicate()


def wait_for_end(pidfd: int) -> None:
    """Return when the process of a pidfd has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(20_000), "it does not end"
