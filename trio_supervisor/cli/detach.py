"""Becoming a background process, and telling the one who started us when we are ready.

Forks, so it must run before ``trio.run`` and before any thread exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable

#: Exit code of the starting process if the daemon vanished without a word.
VANISHED = 1


def detach() -> Callable[[], None]:
    """Continue in a child that leads a new session; the parent waits and exits.

    The parent exits with 0 when the returned function is called, else with the daemon's own exit
    code (P-315, Q-65); errors until then still reach the caller's stderr, which is kept. Calling
    the function also turns fds 0 to 2 to the null device (P-313).
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        if os.read(read, 1):
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else VANISHED)
    os.close(read)
    os.setsid()

    def ready() -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if null > 2:
            os.close(null)
        os.write(write, b"1")
        os.close(write)

    return ready
