"""A program that an earlier daemon has started and left running, taken over as a child.

Theory of operation
-------------------
The daemon is not its parent: when the earlier one was killed, the program became a child of process
1 or of a subreaper, which also reaps it. From then on the pid can be another process's. So the
program is known by a *pidfd*, which refers to it for ever: it becomes readable at its end, takes
its signals, and tells its exit status (``foreign_exit.py``). It comes from whoever has opened it
while the program lived, or is opened here; pid and start time are compared afterwards.

Its end is known before its status is, if the process that reaps it is late. Meanwhile ``poll``
tells that it has ended in an unknown way, so that nothing signals or promotes it, and ``wait`` asks
again, for STATUS_PATIENCE at most. A restart has to wait for that: it depends on the status.

Without pidfds (a kernel before 5.3, a sandbox, no descriptor left) the program is looked at every
POLL_INTERVAL, and before each signal; another process could only be hit if it got the pid between
the look and the signal.

If this daemon is a subreaper itself, or process 1, it may have become the parent. Then it reaps the
program (the reaper of orphans leaves it alone) and knows status and usage as those of any child.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from typing import TYPE_CHECKING, ClassVar

import trio

from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn.child import ends_by, exit_of_status, open_pidfd, usage_of
from trio_supervisor.runtime.spawn.foreign_exit import foreign_exit
from trio_supervisor.runtime.spawn.members import PROC, members_of_group, read_stat
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit, ResourceUsage
    from trio_supervisor.runtime.spawn.child import Carry, ChildRegistry

#: Seconds between two looks at a program without a pidfd.
POLL_INTERVAL = 0.2
#: Seconds in which an ended program must be reaped, if its status is not known before: those that
#: poll for zombies, as Supervisor does, look every second. A restart waits as long.
STATUS_PATIENCE = 2.0
#: Seconds between two questions for the status: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1

#: ``PIDFD_SIGNAL_PROCESS_GROUP`` of pidfd_send_signal(2), since Linux 6.9.
_TO_GROUP = 1 << 2


class AdoptedChild:
    """A ``Child`` that this program is not the parent of. Making it raises no OSError."""

    __slots__ = (
        "_closed",
        "_exit",
        "_is_held",
        "_member",
        "_registry",
        "_status_due",
        "pid",
        "pidfd",
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
        self.pidfd = _pidfd_of(member) if pidfd is None else pidfd
        """None means that there is none."""
        self.usage: ResourceUsage | None = None
        self._member = member
        self._registry = registry
        self._closed = False
        self._is_held = False
        self._exit: Exit | None = None
        self._status_due: float | None = None
        """Until when the status of an ended program is asked for; None before that."""
        registry.living.setdefault(self.pid, self)  # a child of ours has a pid that is its own

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        carry(nursery, self.pid)

    async def wait(self) -> Exit:
        while (ended := self.poll()) is None:
            if self.pidfd is None:
                await trio.sleep(POLL_INTERVAL)
                continue
            await trio.lowlevel.wait_readable(self.pidfd)
            if self.poll() is None:  # it is held: do not spin
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
        stat = read_stat(self.pid)
        if self._exit is None or (stat is not None and stat.started != self._member.started):
            return set()
        return {*await in_thread_if_possible(members_of_group, self.pid)}

    def poll(self) -> Exit | None:
        if self._exit is None and not self._closed and not self._is_held and self._has_ended():
            if self._is_our_zombie():
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
                if not pid:  # a debugger still holds it
                    return None
                self.usage = usage_of(used)
                self._ended(exit_of_status(status))
                return self._exit
            ended, is_final = foreign_exit(self._member, self.pidfd)
            if is_final:
                self._ended(ended)
            return ended
        return self._exit

    def send_signal(self, number: int) -> None:
        self._check_alive()
        if self.pidfd is None:
            os.kill(self.pid, number)
        else:
            signal.pidfd_send_signal(self.pidfd, number)

    def send_group_signal(self, number: int) -> None:
        self._check_alive()
        try:
            self._signal_group(number)
        except ProcessLookupError:  # the program has moved to another process group
            self.send_signal(number)

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
            os.close(self.pidfd)
            self.pidfd = None

    def _has_ended(self) -> bool:
        if self.pidfd is None:
            return _is_gone(self._member)
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _is_our_zombie(self) -> bool:
        """Whether it waits to be reaped by this program, and so keeps its pid."""
        stat = read_stat(self.pid)
        if stat is None or (stat.parent, stat.started) != (os.getpid(), self._member.started):
            return False
        return stat.has_ended

    def _signal_group(self, number: int) -> None:
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, number, None, _TO_GROUP)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            else:
                return
        os.killpg(self.pid, number)  # an older kernel; while the program lives, the group is its

    def _check_alive(self) -> None:
        """Raise ProcessLookupError if the program has ended: its pid may be another process's.

        Raises OSError if that cannot be found out.
        """
        if self._closed or self.poll() is not None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if self.pidfd is None:
            stat = read_stat(self.pid)
            if stat is None:
                raise OSError(errno.EBUSY, f"{PROC}/{self.pid}/stat cannot be read")
            if stat.started != self._member.started:  # it is held, so ``poll`` has not looked
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def _ended(self, ended: Exit) -> None:
        self._exit = ended
        self._registry.forget(self)


def _pidfd_of(member: Member) -> int | None:
    """Open a pidfd of this very process; None if it was reaped, or pidfds are refused."""
    pidfd = open_pidfd(member.pid)
    if pidfd is not None:
        stat = read_stat(member.pid)
        if stat is None or stat.started != member.started:
            os.close(pidfd)
            return None
    return pidfd


def _is_gone(member: Member) -> bool:
    """Whether a process has ended. One whose first thread has ended goes on with the others."""
    stat = read_stat(member.pid)
    if stat is None:  # without a free descriptor nothing can be read
        return not os.path.exists(f"{PROC}/{member.pid}")
    if stat.started != member.started:
        return True
    if not stat.has_ended:
        return False
    with contextlib.suppress(OSError):
        return len(os.listdir(f"{PROC}/{member.pid}/task")) == 1
    return True
