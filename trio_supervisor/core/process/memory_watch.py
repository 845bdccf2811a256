"""When a program uses more than ``memory_max``, where no cgroup keeps it below that.

A program may need much memory for a moment. So it is restarted only if it is above its limit at
several looks in a row.
"""

from __future__ import annotations

#: Seconds between two looks.
INTERVAL = 5.0
#: Looks in a row above the limit after which a program is restarted.
MOST_LOOKS = 3
#: The lines of ``/proc/PID/status`` that count, in KiB: memory without a file, also swapped out.
_COUNTED = (b"RssAnon:", b"VmSwap:")
_KIB = 1024


def looks_above(before: int, used: int | None, limit: int) -> int:
    """Return the number of looks in a row at which more than ``limit`` bytes were used.

    ``before`` is that of the look before; ``used`` None means that this look has shown nothing.
    """
    if used is None:
        return before
    return before + 1 if used > limit else 0


def next_look(now: float) -> float:
    """Return when to look next: at the same times for all programs, so that one pass serves all."""
    return (now // INTERVAL + 1) * INTERVAL


def own_memory(status: bytes) -> int:
    """Return the bytes that a process alone uses, given its ``/proc/PID/status``."""
    lines = (line.split() for line in status.splitlines() if line.startswith(_COUNTED))
    return sum(int(fields[1]) for fields in lines) * _KIB
