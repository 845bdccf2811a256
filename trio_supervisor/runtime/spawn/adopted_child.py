"""A program that an earlier daemon has started and left running, taken over as a child.

Theory of operation
-------------------
The daemon is not its parent: when the earlier one was killed, the program became a child of process
1 or of a subreaper, which also reaps it. ``foreign_process.py`` tells it from another process that
gets its pid, and ``foreign_exit.py`` where its exit status is.

Its end is known before its status is, if the process that reaps it is late. Meanwhile ``poll``
tells that it has ended in an unknown way, so that nothing signals or promotes it, and ``wait`` asks
again, for STATUS_PATIENCE at most. A restart has to wait for that: it depends on the status.

If this daemon is a subreaper itself, or process 1, it may have become the parent. Then it reaps the
program (the reaper of orphans leaves it alone) and knows status and usage as those of any child.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, ClassVar

import trio

from trio_supervisor.runtime.spawn.child import (
    REAPED_ELSEWHERE,
    ends_by,
    exit_of_status,
)
from trio_supervisor.runtime.spawn.foreign_process import ForeignProcess
from trio_supervisor.runtime.spawn.members import members_of_group, read_stat
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit, ResourceUsage
    from trio_supervisor.core.process.member import Member
    from trio_supervisor.runtime.spawn.child import Carry, ChildRegistry

#: Seconds between two looks at a program without a pidfd.
POLL_INTERVAL = 0.2
#: Seconds in which an ended program must be reaped, if its status is not known before: those that
#: poll for zombies, as Supervisor does, look every second. A restart waits as long.
STATUS_PATIENCE = 2.0
#: Seconds between two questions for the status: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1


class AdoptedChild:
    """A ``Child`` that this program is not the parent of. Making it raises no OSError."""

    __slots__ = (
        "_closed",
        "_exit",
        "_is_held",
        "_process",
        "_registry",
        "_status_due",
        "pid",
        "stderr",
        "stdin",
        "stdout",
        "usage",
    )

    cannot_be_killed: ClassVar[str] = ""

    def __init__(
        self,
        member: Member,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        pidfd: int | None,
        registry: ChildRegistry,
    ) -> None:
        """``pidfd``: None means that nobody has opened one; it is closed with the child."""
        self.pid = member.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.usage: ResourceUsage | None = None
        self._process = ForeignProcess(member, pidfd)
        self._registry = registry
        self._closed = False
        self._is_held = False
        self._exit: Exit | None = None
        self._status_due: float | None = None
        """Until when the status of an ended program is asked for; None before that."""
        registry.living.setdefault(self.pid, self)  # a child of ours has a pid that is its own

    @property
    def pidfd(self) -> int | None:
        """None means that there is none."""
        return self._process.pidfd

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        carry(nursery, self.pid)

    async def wait(self) -> Exit:
        while (ended := self.poll()) is None:
            if self.pidfd is None:
                await trio.sleep(POLL_INTERVAL)
                continue
            await trio.lowlevel.wait_readable(self.pidfd)
            if self.poll() is None:  # it is held, or a debugger holds it: do not spin
                await trio.sleep(POLL_INTERVAL)
        pause = FIRST_PAUSE
        while self._exit is None:
            now = trio.current_time()
            if self._status_due is None:
                self._status_due = now + STATUS_PATIENCE
            if now >= self._status_due:
                self._ended(ended)
                break
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            ended = self.poll() or ended
        return ended

    async def left_in_group(self) -> set[Member]:
        """Nothing is told if another process has the pid now: then the group is another one."""
        stat, started = read_stat(self.pid), self._process.member.started
        if self._exit is None or (stat is not None and stat.started != started):
            return set()
        return {*await in_thread_if_possible(members_of_group, self.pid)}

    def poll(self) -> Exit | None:
        is_watched = self._exit is None and not self._closed and not self._is_held
        if not is_watched or not self._process.has_ended():
            return self._exit
        if self._process.is_our_zombie():
            return self._reaped()
        ended, is_final = self._process.exit()
        if is_final:
            self._ended(ended)
        return ended

    def send_signal(self, number: int) -> None:
        self._check_alive()
        self._process.signal(number)

    def send_group_signal(self, number: int) -> None:
        self._check_alive()
        self._process.signal_group(number)

    def would_end_by(self, number: int) -> bool:
        return self.poll() is None and ends_by(self.pid, number)

    def resume(self, *, group: bool) -> None:
        (self.send_group_signal if group else self.send_signal)(signal.SIGCONT)

    def hold(self, *, held: bool = True) -> None:
        self._is_held = held

    def close(self) -> None:
        """Stop watching the program. While it is held its pidfd stays open for the next one."""
        self._closed = True
        if self._exit is None:
            self._registry.forget(self)
        if self.pidfd is not None and not self._is_held:
            trio.lowlevel.notify_closing(self.pidfd)
            self._process.close()

    def _reaped(self) -> Exit | None:
        """Reap it as our child; None if a debugger still holds it."""
        try:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:  # a plugin has reaped it
            self._ended(REAPED_ELSEWHERE)
        else:
            if pid:
                self.usage = self._registry.usage_of(used)
                self._ended(exit_of_status(status))
        return self._exit

    def _check_alive(self) -> None:
        """Raise ProcessLookupError if the program has ended."""
        if self._closed or self.poll() is not None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def _ended(self, ended: Exit) -> None:
        self._exit = ended
        self._registry.forget(self)
