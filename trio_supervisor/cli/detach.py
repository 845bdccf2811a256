"""Become a background process, and tell the starting process when the daemon is ready.

This forks, so it must happen before ``trio.run`` and before any thread exists.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from trio_supervisor.core.errors import SupervisorError

#: Exit code of the starting process if a signal has ended the daemon before it was ready.
VANISHED = 1


def detach() -> Callable[[], None]:
    """Continue in a child that leads a new session; the parent waits and exits.

    The parent exits with 0 when the returned function is called, or with the daemon's exit code if
    that ends before. Until then stderr stays that of the caller, so that errors reach it; calling
    the function points fds 0 to 2 at the null device. All other descriptors are closed, because the
    caller may wait for their end of file. The end of the parent, or of its terminal, does not end
    the child. Raises SupervisorError.
    """
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the child has left the terminal
    try:
        read, write = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise SupervisorError(
            f"cannot become a background process: {error.strerror}. Raise the limits of processes "
            "and open files of this user, or use nodaemon"
        ) from error
    if pid:
        signal.signal(signal.SIGHUP, hang_up)
        os.close(write)
        if os.read(read, 1):
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else VANISHED)
    os.setsid()
    signal.signal(signal.SIGHUP, hang_up)
    _close_inherited(keep=write)

    def ready() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if null > 2:
            os.close(null)
        with suppress(BrokenPipeError):  # the parent was killed
            os.write(write, b"1")
        os.close(write)

    return ready


def _close_inherited(keep: int) -> None:
    """Close all descriptors except 0 to 2 and ``keep``."""
    try:
        inherited = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # /proc is not mounted
        inherited = list(range(os.sysconf("SC_OPEN_MAX")))
    for fd in inherited:
        if fd > 2 and fd != keep:
            with suppress(OSError):  # the descriptor that read the directory
                os.close(fd)
