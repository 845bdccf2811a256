"""Reads the pidfile of another process, which may be anything by the time it is read."""

from __future__ import annotations

import os

from trio_supervisor.core.numbers import LONGEST_PID, process_id


def recorded_pid(path: str) -> int:
    """The pid in a pidfile. Raises OSError, and ValueError if there is none; never waits for the
    writer of a FIFO."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return process_id(os.read(fd, LONGEST_PID).decode("ascii"))
    finally:
        os.close(fd)
