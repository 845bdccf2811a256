"""The many idle programs that several scenarios run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.starts import Executables

COUNT = 300

#: Seconds: longer than any run, and short enough that programs of an aborted run exit soon.
_LIFETIME = 300

#: RUNNING as soon as it is spawned; all other options have their defaults.
_PROGRAM = """\
[program:{name}]
command = {path} {lifetime}
startsecs = 0
{options}
"""


def programs(
    count: int = COUNT,
    options: str = "",
    lifetime: int = _LIFETIME,
    executables: Executables | None = None,
) -> str:
    """Return the program sections: each its own group, as in most configurations.

    ``options`` are lines for each section; ``lifetime`` is in seconds. ``executables`` are the
    files that the programs execute instead of ``sleep``.
    """
    return "\n".join(
        _PROGRAM.format(
            name=name(number),
            path="/bin/sleep" if executables is None else executables.paths[number],
            lifetime=lifetime,
            options=options,
        )
        for number in range(count)
    )


def name(number: int) -> str:
    """Return the name of a program; they are started in the order of their names."""
    return f"idle-{number:03}"
