"""The guard: kills the process groups of children whose supervising program is gone.

Run as a script, ``python -I -S guard_process.py``; ``guard.py`` explains it. It reads orders from
stdin, one a line: ``+PID`` for a new child, ``-PID`` for one that has ended.
"""

from __future__ import annotations

import os
import signal
import sys


def keep_guard() -> None:
    """Read the orders; at their end kill the groups that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    known: dict[int, None] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            known[pid] = None
        else:
            known.pop(pid, None)
    for pid in known:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:  # nobody is left
            continue


if __name__ == "__main__":
    keep_guard()
