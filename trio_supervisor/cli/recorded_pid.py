"""Reads the pidfile of another process, which may have been replaced by any kind of file."""

from __future__ import annotations

import os

from trio_supervisor.core.numbers import LONGEST_PID, process_id


def recorded_pid(path: str) -> int:
    """Return the pid in a pidfile, without blocking on a FIFO.

    Raises OSError, and ValueError if the file holds no pid.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return process_id(os.read(fd, LONGEST_PID).decode("ascii"))
    finally:
        os.close(fd)
