"""Tells how a process has ended that is no child of this one.

Theory of operation
-------------------
Only the parent of a process can wait for it. For everybody else the kernel has the wait status in
two places, one after the other, so that both are looked at:

* While the process is a zombie, ``/proc/PID/stat`` has it, for those who may inspect the process
  (``PTRACE_MODE_READ``, ptrace(2)): root, and the same user. Others read 0, so that it counts only
  if another file with the same condition can be read.
* When the process has been reaped, ``PIDFD_GET_INFO`` tells it (Linux 6.15, ioctl_pidfd), to
  everybody who has a pidfd from before. Nothing is told earlier: the bit of the exit is missing.

Process 1 reaps what it has inherited as soon as it gets around to it; a program that was not made
for its part never does. Such a zombie has its status in ``/proc`` all the time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from typing import TYPE_CHECKING

from trio_supervisor.core.process.exit import Exit
from trio_supervisor.runtime.spawn.child import exit_of_status
from trio_supervisor.runtime.spawn.members import PROC, read_stat

if TYPE_CHECKING:
    from trio_supervisor.core.process.member import Member

#: ``struct pidfd_info`` of include/uapi/linux/pidfd.h. It has grown from 64 bytes (Linux 6.13) to
#: 80; the number of the request has the size that the caller knows, and the kernel fills in zeros.
_SIZE = 80
_MASK, _EXIT_CODE, _SUPPORTED = 0, 60, 72
#: ``_IOWR(0xFF, 11, struct pidfd_info)``
_GET_INFO = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_HAS_EXIT, _HAS_SUPPORTED = 1 << 3, 1 << 5
#: Errors of kernels that do not know the request, or not for a process that was reaped.
_NOT_KNOWN = frozenset({errno.ENOTTY, errno.EINVAL, errno.ESRCH})

NOT_KEPT = "this kernel does not keep it (Linux 6.15 does)"
NO_PIDFD = "it was reaped, and there was no pidfd of it"


def foreign_exit(member: Member, pidfd: int | None) -> tuple[Exit, bool]:
    """Return how a process has ended that is known to have ended, and whether that is final.

    If it is not, more may be known when the process has been reaped. ``Exit.unknown`` says why
    nothing is known.
    """
    told = _may_inspect(member.pid)
    stat = read_stat(member.pid)
    is_zombie = stat is not None and stat.started == member.started and stat.has_ended
    if stat is not None and is_zombie and told:
        return exit_of_status(stat.status), True
    late = "it is not reaped" if stat is None else f"pid {stat.parent} has not reaped it"
    if pidfd is None:
        return _unknown(late if is_zombie else NO_PIDFD), not is_zombie
    was_reaped = is_reaped(pidfd)  # before the question, whose answer is final then
    status, why_not = _status_kept(pidfd)
    if status is not None:
        return exit_of_status(status), True
    if why_not or was_reaped:
        return _unknown(why_not or NOT_KEPT), True
    return _unknown(late), False


def is_reaped(pidfd: int) -> bool:
    """Whether nothing is left of the process, not even a zombie."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def _unknown(why: str) -> Exit:
    return Exit(None, unknown=why)


def _may_inspect(pid: int) -> bool:
    """Whether this program may read what /proc shows only to those who may trace a process."""
    try:
        os.readlink(f"{PROC}/{pid}/ns/pid")
    except OSError:
        return False
    return True


def _status_kept(pidfd: int) -> tuple[int | None, str]:
    """Return the wait status that the kernel has kept, or None, and why it will never tell it."""
    info = bytearray(_SIZE)
    struct.pack_into("=Q", info, _MASK, _HAS_EXIT | _HAS_SUPPORTED)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError as error:
        if error.errno in _NOT_KNOWN:
            return None, NOT_KEPT
        return None, f"PIDFD_GET_INFO is refused: {error.strerror}"
    [mask], [supported] = (struct.unpack_from("=Q", info, at) for at in (_MASK, _SUPPORTED))
    if mask & _HAS_EXIT:
        [status] = struct.unpack_from("=i", info, _EXIT_CODE)
        return status, ""
    return None, NOT_KEPT if mask & _HAS_SUPPORTED and not supported & _HAS_EXIT else ""
