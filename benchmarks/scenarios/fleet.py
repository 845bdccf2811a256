"""The many idle programs that more than one scenario runs."""

from __future__ import annotations

COUNT = 300

#: Longer than any run, and short enough to vanish by itself should a run be cut off.
_LIFETIME = 300

#: Reported RUNNING as soon as it is spawned; everything else as most people leave it.
_PROGRAM = """\
[program:idle-{number:03}]
command = /bin/sleep {lifetime}
startsecs = 0
"""


def programs(count: int = COUNT) -> str:
    """The program sections of the fleet: each its own group, as most configurations have them."""
    return "\n".join(_PROGRAM.format(number=number, lifetime=_LIFETIME) for number in range(count))
