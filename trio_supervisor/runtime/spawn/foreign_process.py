"""A process that is no child of this program: whether it lives, how it has ended, signals to it.

Its pid may be another process's as soon as its parent has reaped it. So it is known by a *pidfd*,
which refers to it for ever, becomes readable at its end, and takes its signals. It comes from
whoever has opened it while the process lived, or is opened here; pid and start time are compared
afterwards.

Without pidfds (a kernel before 5.3, a sandbox, no descriptor left) it is looked at before each
signal; another process could only be hit if it got the pid between the look and the signal.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.runtime.spawn.child import open_pidfd
from trio_supervisor.runtime.spawn.foreign_exit import foreign_exit
from trio_supervisor.runtime.spawn.members import PROC, read_stat

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.core.process.member import Member

#: ``PIDFD_SIGNAL_PROCESS_GROUP`` of pidfd_send_signal(2), since Linux 6.9.
_TO_GROUP = 1 << 2


class ForeignProcess:
    """One process; making it raises no OSError."""

    __slots__ = ("member", "pidfd")

    def __init__(self, member: Member, pidfd: int | None = None) -> None:
        """``pidfd``: None means that nobody has opened one."""
        self.member = member
        self.pidfd = self._opened() if pidfd is None else pidfd
        """None means that there is none. ``close`` closes it."""

    def has_ended(self) -> bool:
        """Whether it has; it may be a zombie."""
        if self.pidfd is None:
            return self._is_gone()
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def exit(self) -> tuple[Exit, bool]:
        """Return how it has ended, and whether that is final; see ``foreign_exit``."""
        return foreign_exit(self.member, self.pidfd)

    def is_our_zombie(self) -> bool:
        """Whether this program has become its parent and must reap it: until then it has its pid.

        False if it has not ended.
        """
        stat = read_stat(self.member.pid)
        if stat is None or (stat.parent, stat.started) != (os.getpid(), self.member.started):
            return False
        return stat.has_ended

    def signal(self, number: int) -> None:
        """Send a signal to it. Raises ProcessLookupError if it has ended, else OSError."""
        self._check()
        if self.pidfd is None:
            os.kill(self.member.pid, number)
        else:
            signal.pidfd_send_signal(self.pidfd, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the group that it leads, or to itself if it has left that."""
        self._check()
        try:
            self._signal_group(number)
        except ProcessLookupError:
            self.signal(number)

    def close(self) -> None:
        """Close the pidfd."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def _opened(self) -> int | None:
        """Open a pidfd of this very process; None if it was reaped, or pidfds are refused."""
        pidfd = open_pidfd(self.member.pid)
        if pidfd is not None:
            stat = read_stat(self.member.pid)
            if stat is None or stat.started != self.member.started:
                os.close(pidfd)
                return None
        return pidfd

    def _is_gone(self) -> bool:
        """Whether it has ended. If its first thread has, it goes on with the others."""
        stat = read_stat(self.member.pid)
        if stat is None:  # without a free descriptor nothing can be read
            return not os.path.exists(f"{PROC}/{self.member.pid}")
        if stat.started != self.member.started:
            return True
        if not stat.has_ended:
            return False
        with suppress(OSError):
            return len(os.listdir(f"{PROC}/{self.member.pid}/task")) == 1
        return True

    def _check(self) -> None:
        """Raise ProcessLookupError if it has ended, OSError if that cannot be found out."""
        if self.has_ended():
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if self.pidfd is None and read_stat(self.member.pid) is None:
            raise OSError(errno.EBUSY, f"{PROC}/{self.member.pid}/stat cannot be read")

    def _signal_group(self, number: int) -> None:
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, number, None, _TO_GROUP)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            else:
                return
        os.killpg(self.member.pid, number)  # an older kernel; while it lives, the group is its own
