"""A running child process: signal it, and wait until it ends.

The module does not know states, restarts or logs. ``forking.py`` forks a child; a ``RealChild``
needs only its pid and the daemon's ends of its pipes, so it does not matter how it was forked.

A pidfd wakes the event loop when the child ends, and takes its signals: it never means another
process. Where there is none (a kernel before 5.3, a sandbox that refuses ``pidfd_open``, no
descriptor left) ``kill`` by pid does, and SIGCHLD tells of the end; where SIGCHLD is not passed on
(a program that embeds the supervisor), the child is polled. The pid of a child stays its own until
it is reaped, so before ``kill`` and ``killpg`` it is checked to be alive.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

import trio

from trio_supervisor.core.process.exit import Exit, ResourceUsage
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from trio_supervisor.core.process.member import Member

#: Bytes in the unit of ``ru_maxrss``.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024

#: Signals that end no process, even without a handler.
HARMLESS = frozenset({0, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})

#: The end of a child that another part of the program has reaped.
REAPED_ELSEWHERE = Exit(None)

#: Starts, in a nursery, the tasks that move bytes between a child with this pid and its logs.
Carry = Callable[[trio.Nursery, int], None]


class Child(Protocol):
    """A living child, as its driver uses it. Tests implement it without a real process."""

    pid: int
    stdin: int | None
    """The daemon's non-blocking end of the stdin pipe. The process that takes the child over closes
    all three."""

    @property
    def stdout(self) -> int | None:
        """None means that it has none (a task)."""

    stderr: int | None
    """None means that stderr goes to the stdout pipe, if there is one."""
    usage: ResourceUsage | None
    """Set when the child has ended; None means unknown."""

    @property
    def cannot_be_killed(self) -> str:
        """Return why nothing ends a child that ignores its stop signal; empty if SIGKILL does."""

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        """Start what has to be done here while the child lives; cancelled after its end."""

    async def wait(self) -> Exit:
        """Wait until the child has ended, reap it once and return how it ended."""

    async def left_in_group(self) -> set[Member]:
        """Return those that live in its process group, now that it was reaped."""

    def poll(self) -> Exit | None:
        """Return how the child ended; None means that it lives.

        ``wait`` may know more of the end: what another process reaps has a status only then.
        """

    def send_signal(self, number: int) -> None:
        """Signal the child. Raises ProcessLookupError if it was reaped, else OSError."""

    def send_group_signal(self, number: int) -> None:
        """Signal the child's process group, or the child if it has left that; the same errors."""

    def would_end_by(self, number: int) -> bool:
        """Whether the child has no handler for this signal, which ends it then.

        False if that cannot be found out.
        """

    def resume(self, *, group: bool) -> None:
        """Continue the child, or its group, if it is stopped (SIGSTOP). Raises OSError."""

    def hold(self, *, held: bool = True) -> None:
        """Do not reap it, because another supervisor will take it over; or reap it again."""

    def close(self) -> None:
        """Stop watching the child; if it is alive, it is left alone."""


class RealChild:
    """A child of this process. Making it from its handle raises no OSError."""

    __slots__ = (
        "_closed",
        "_exit",
        "_is_awaited",
        "_is_held",
        "_pidfd",
        "_registry",
        "before_reaping",
        "pid",
        "stderr",
        "stdin",
        "stdout",
        "usage",
    )

    cannot_be_killed: ClassVar[str] = ""

    def __init__(
        self,
        pid: int,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        registry: ChildRegistry,
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._registry = registry
        self._pidfd = open_pidfd(pid)
        self.usage: ResourceUsage | None = None
        self.before_reaping: Callable[[int], None] | None = None
        """Called with the pid of the dead child, while nothing else can have this pid."""
        self._closed = False
        self._is_awaited = False
        """Whether a task waits for the pidfd."""
        self._is_held = False
        self._exit: Exit | None = None
        registry.living[self.pid] = self

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        carry(nursery, self.pid)

    async def wait(self) -> Exit:
        while (ended := self._exit) is None:
            if self._pidfd is None:
                if self.poll() is None:
                    await self._registry.next_poll()
                continue
            self._is_awaited = True
            try:
                await trio.lowlevel.wait_readable(self._pidfd)
            finally:
                self._is_awaited = False
            if self.poll() is None:  # a debugger still holds the dead child: do not spin
                await self._registry.next_poll()
        return ended

    async def left_in_group(self) -> set[Member]:
        if self._exit is None or self._exit is REAPED_ELSEWHERE:  # since when, is not known
            return set()
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return set()
        except OSError:  # they are other users'
            pass
        from trio_supervisor.runtime.spawn.members import members_of_group  # most leave nothing

        return {*await in_thread_if_possible(members_of_group, self.pid)}

    def poll(self) -> Exit | None:
        if self._exit is None and not self._closed and not self._is_held:
            try:
                if self.before_reaping is not None:
                    if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                        return None
                    self.before_reaping(self.pid)
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
            except ChildProcessError:  # a plugin or the embedding program has reaped it
                self._ended(REAPED_ELSEWHERE)
            else:
                if pid:
                    self.usage = self._registry.usage_of(used)
                    self._ended(exit_of_status(status))
        return self._exit

    def send_signal(self, number: int) -> None:
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
                return
            except ProcessLookupError:
                raise
            except OSError:  # a sandbox may refuse this call, and not the other
                pass
        self._check_alive()
        os.kill(self.pid, number)

    def send_group_signal(self, number: int) -> None:
        self._check_alive()
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # the child has moved to another process group
            self.send_signal(number)

    def would_end_by(self, number: int) -> bool:
        return ends_by(self.pid, number)

    def resume(self, *, group: bool) -> None:
        (self.send_group_signal if group else self.send_signal)(signal.SIGCONT)

    def hold(self, *, held: bool = True) -> None:
        self._is_held = held

    def close(self) -> None:
        self._closed = True
        if self._pidfd is not None:
            if self._is_awaited:
                trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._exit is None:
            self._registry.forget(self)

    def _check_alive(self) -> None:
        """Raise ProcessLookupError if the child has ended: its pid may have been reused."""
        if self._closed or self.poll() is not None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def _ended(self, ended: Exit) -> None:
        self._exit = ended
        self._registry.forget(self)


def open_pidfd(pid: int) -> int | None:
    """Open a descriptor that becomes readable when the process ends; None means refused."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # an interpreter may have been built without it
        return None


def ends_by(pid: int, number: int) -> bool:
    """Whether a living process has no handler for this signal; False if that is not known."""
    if number in HARMLESS:
        return False
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            rows = dict(line.split(b":", 1) for line in file.read().splitlines())
        masks = [int(rows[name], 16) for name in (b"SigBlk", b"SigIgn", b"SigCgt")]
    except (OSError, LookupError, ValueError):
        return False
    return not any(mask >> (number - 1) & 1 for mask in masks)


class ChildRegistry:
    """The children of one launcher that are neither reaped nor given up, and when to poll them.

    Those that an earlier daemon has started are among them: this program may be their parent now.

    ``poll_interval`` is in seconds.
    """

    def __init__(self, poll_interval: float) -> None:
        self.living: dict[int, Child] = {}
        self._poll_interval = poll_interval
        self._before_exec: set[int] = set()
        self._child_signals = trio.lowlevel.ParkingLot()
        self._own_peak = 0
        """The largest resident memory of this process when it was last looked at, in the unit of
        ``ru_maxrss``."""

    def owns(self, pid: int) -> bool:
        """Whether this is the pid of a child here. Thread-safe."""
        return pid in self.living or pid in self._before_exec

    def expect(self, pid: int) -> None:
        """Own a forked child that has not reached its exec. Thread-safe."""
        self._before_exec.add(pid)

    def met(self, pid: int) -> None:
        """Own it as a ``Child`` from now on. Thread-safe."""
        self._before_exec.discard(pid)

    def kill(self, pid: int) -> None:
        """Kill and reap a child that was expected and is not to be. Thread-safe."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._before_exec.discard(pid)

    def forget(self, child: Child) -> None:
        if self.living.get(child.pid) is child:  # else the pid was reused for a newer child
            del self.living[child.pid]

    def usage_of(self, used: resource.struct_rusage) -> ResourceUsage:
        """Convert the resource usage that ``wait4`` returned for a child.

        Linux counts the memory that a process had before its exec, and a child begins with that of
        the daemon. A peak that does not exceed the daemon's own therefore says nothing about the
        child.
        """
        peak = used.ru_maxrss
        if peak > self._own_peak:  # else it needs no look: our own peak never sinks
            try:
                self._own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            except OSError:  # a sandbox refuses it
                peak = 0
        if peak <= self._own_peak:
            peak = 0
        return ResourceUsage(used.ru_utime + used.ru_stime, peak * _MAXRSS_BYTES)

    @property
    def needs_child_signals(self) -> bool:
        """Whether a task is in ``next_poll``."""
        return bool(self._child_signals)

    def child_ended(self) -> None:
        """Wake all tasks in ``next_poll``: called for each SIGCHLD."""
        self._child_signals.unpark_all()

    async def next_poll(self) -> None:
        """Wait for a SIGCHLD, at most ``poll_interval`` seconds."""
        with trio.move_on_after(self._poll_interval):
            await self._child_signals.park()


def exit_of(result: os.waitid_result) -> Exit:
    """Convert what ``waitid`` returned."""
    if result.si_code == os.CLD_EXITED:
        return Exit(result.si_status)
    return Exit(None, result.si_status, result.si_code == os.CLD_DUMPED)


def exit_of_status(status: int) -> Exit:
    """Convert the status that ``wait4`` returned."""
    if os.WIFSIGNALED(status):
        return Exit(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return Exit(os.WEXITSTATUS(status))
