"""The many idle programs that several scenarios run."""

from __future__ import annotations

COUNT = 300

#: Seconds: longer than any run, and short enough that programs of an aborted run exit soon.
_LIFETIME = 300

#: RUNNING as soon as it is spawned; all other options have their defaults.
_PROGRAM = """\
[program:idle-{number:03}]
command = /bin/sleep {lifetime}
startsecs = 0
{options}
"""


def programs(count: int = COUNT, options: str = "", lifetime: int = _LIFETIME) -> str:
    """Return the program sections: each its own group, as in most configurations.

    ``options`` are lines for each section; ``lifetime`` is in seconds.
    """
    return "\n".join(
        _PROGRAM.format(number=number, lifetime=lifetime, options=options)
        for number in range(count)
    )
