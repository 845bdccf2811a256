"""One operating-system process: signalling it, waiting for its end.

The only module that signals and reaps by pid while the event loop runs. It knows nothing of states,
restarts or logs; children are made in ``spawn.py``.

Theory of operation: from the fork on, a child is either kept and watched, or killed and reaped.
Only ``waitid`` by pid, ``kill`` and ``killpg`` are needed for that: the pid of a child stays its
own until we reap it, and each signal is preceded by a look whether it still lives. A pidfd is
merely what wakes us at its end. Where there is none (a kernel before 5.3, a sandbox that refuses
``pidfd_open``, no descriptor left) SIGCHLD does that, and a look now and then where nobody passes
SIGCHLD on to us (an embedding program).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import trio

from trio_supervisor.core.process.exit import Exit

if TYPE_CHECKING:
    import subprocess


#: Moves bytes between a child with this pid and its logs, for as long as it lives.
Carry = Callable[[int], Coroutine[Any, Any, None]]


class Child(Protocol):
    """A living child as the process task sees it; tests have one without a real process."""

    pid: int
    stdin: int | None
    """Our non-blocking end of the stdin pipe; whoever takes the child over closes all three."""

    @property
    def stdout(self) -> int | None:
        """None: it has none (a task)."""

    stderr: int | None
    """None: stderr goes to the stdout pipe, if there is one."""

    @property
    def cannot_be_killed(self) -> str:
        """Why nothing ends a child that ignores its stop signal; empty if SIGKILL does."""

    def run(self, carry: Carry) -> Coroutine[Any, Any, None]:
        """Do what has to be done here while the child lives; cancelled after its end."""

    async def wait(self) -> Exit:
        """Wait until the child has ended, reap it once and say how it ended."""

    def poll(self) -> Exit | None:
        """How the child ended, or None while it lives."""

    def send_signal(self, number: int) -> None:
        """Signal the child itself; ProcessLookupError if it is gone, else OSError."""

    def send_group_signal(self, number: int) -> None:
        """Signal the child's process group, or the child if it has left it; same errors."""

    def resume(self, *, group: bool) -> None:
        """Let the child, or its group, go on if it is paused (SIGSTOP); raises OSError."""

    def close(self) -> None:
        """Stop watching; a child that still lives is left alone."""


class RealChild:
    """A child of this very process. Constructing it cannot fail."""

    cannot_be_killed: ClassVar[str] = ""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        stdin: int | None,
        stdout: int,
        stderr: int | None,
        family: Family,
    ) -> None:
        self.pid = popen.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._popen = popen
        self._family = family
        self._pidfd = _open_pidfd(popen.pid)
        self._closed = False
        self._exit: Exit | None = None
        family.living[self.pid] = self

    def run(self, carry: Carry) -> Coroutine[Any, Any, None]:
        return carry(self.pid)

    async def wait(self) -> Exit:
        while (ended := self.poll()) is None:
            if self._pidfd is None:
                await self._family.next_look()
                continue
            await trio.lowlevel.wait_readable(self._pidfd)
            if self.poll() is None:  # a debugger still holds the dead child: do not spin
                await self._family.next_look()
        return ended

    def poll(self) -> Exit | None:
        if self._exit is None and not self._closed:
            try:
                info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG)
            except ChildProcessError:  # a plugin or the embedding program has reaped it
                self._ended(Exit(None), 0)
            else:
                if info is not None:
                    self._ended(exit_of(info), info.si_status)
        return self._exit

    def send_signal(self, number: int) -> None:
        self._check_alive()
        os.kill(self.pid, number)

    def send_group_signal(self, number: int) -> None:
        self._check_alive()
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it moved to another process group (P-130, Q-13)
            self.send_signal(number)

    def resume(self, *, group: bool) -> None:
        (self.send_group_signal if group else self.send_signal)(signal.SIGCONT)

    def close(self) -> None:
        self._closed = True
        if self._pidfd is not None:
            trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._exit is None:
            # Let go of a living child: Popen must not complain that we do.
            self._popen.returncode = 0
            self._family.forget(self)

    def _check_alive(self) -> None:
        """Raise ProcessLookupError if the child has ended: its pid may be a stranger's by now."""
        if self._closed or self.poll() is not None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def _ended(self, ended: Exit, status: int) -> None:
        # Popen must know, else its __del__ warns and a later one reaps a foreign pid.
        self._popen.returncode = status
        self._exit = ended
        self._family.forget(self)


def _open_pidfd(pid: int) -> int | None:
    """Open a descriptor that becomes readable when the process ends; None if that is refused."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # an interpreter may have been built without it
        return None


class Family:
    """The children of one launcher that were neither reaped nor let go, and when to look at them.

    ``look_interval`` is in seconds.
    """

    def __init__(self, look_interval: float) -> None:
        self.living: dict[int, RealChild] = {}
        self._look_interval = look_interval
        self._ends = trio.lowlevel.ParkingLot()

    def forget(self, child: RealChild) -> None:
        if self.living.get(child.pid) is child:  # else the pid has a new owner already
            del self.living[child.pid]

    def child_ended(self) -> None:
        """Let all that wait for ``next_look`` look now: called for each SIGCHLD."""
        self._ends.unpark_all()

    async def next_look(self) -> None:
        """Return when a child may have ended."""
        with trio.move_on_after(self._look_interval):
            await self._ends.park()


def exit_of(result: os.waitid_result) -> Exit:
    """How the child ended that was waited for."""
    if result.si_code == os.CLD_EXITED:
        return Exit(result.si_status)
    return Exit(None, result.si_status, result.si_code == os.CLD_DUMPED)


def errno_name(error: OSError) -> str:
    """``ENOENT`` and the like, as the reference shows them."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))
