"""Find processes that an earlier daemon of the same configuration started and that still run.

A daemon that is killed leaves them behind, and the new daemon starts every program once more beside
them. They are recognised by the environment that ``spec.py`` gives to every child: the address of
the daemon's server, or the names of its processes together with the session of the daemon whose pid
is in the pidfile. The module sends no signals.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import AUTO
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.spawn.members import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trio_supervisor.core.config.model import Config

PROC = "/proc"
#: Positions in /proc/PID/stat after the command's name (proc(5) counts from 1, and from the pid).
_SESSION, _STARTED = 3, 19


@dataclass(frozen=True, slots=True)
class Leftover:
    """The processes of one program; ``pid`` is the oldest, ``age`` its age in seconds."""

    program: str
    pid: int
    age: float
    others: int
    """How many more processes of the program there are."""

    def __str__(self) -> str:
        from datetime import timedelta  # most starts find none

        more = f" and {self.others} more" if self.others else ""
        return (
            f"{self.program} of an earlier daemon still runs: pid {self.pid}{more}, for "
            f"{timedelta(seconds=int(self.age))}"
        )


def find_leftovers(
    config: Config, *, daemon: int, earlier: int | None, proc: str = PROC
) -> list[Leftover]:
    """Return one for each program, sorted by name; what began after ``daemon`` does not count.

    One that began in the same clock tick counts: a child of the daemon begins later, because the
    interpreter alone takes longer than a tick to start.

    ``earlier`` is the pid of the earlier daemon; None means that it is not known. To be called in a
    thread, because it reads the environment of every process that it is allowed to read. Raises
    OSError if there is no /proc.
    """
    names = {(group.name, process.name) for group in config.groups for process in group.processes}
    urls = {
        (group.name, process.name): process.serverurl
        for group in config.groups
        for process in group.processes
        if process.serverurl is not AUTO
    }

    def is_ours(session: int, environment: Mapping[bytes, bytes]) -> bool:
        name = _name(environment)
        url = os.fsdecode(environment.get(b"SUPERVISOR_SERVER_URL", b""))
        return (bool(url) and url in (config.server_url, urls.get(name))) or (
            session == earlier and name in names
        )

    here = _namespace(proc, daemon)
    _, born = _session_and_start(proc, daemon) or (0, 0)  # it has just ended: nothing is older
    found: dict[str, list[tuple[int, int]]] = {}
    for pid in _pids(proc):
        status = _session_and_start(proc, pid)
        if status is None or pid == daemon or status[1] > born:
            continue
        environment = _environment(proc, pid)
        if (
            b"SUPERVISOR_ENABLED" in environment
            and is_ours(status[0], environment)
            and _namespace(proc, pid) == here  # else it is another daemon's, in a container
        ):
            group, process = _name(environment)
            shown = process if group == process else f"{group}:{process}"
            found.setdefault(shown, []).append((status[1], pid))
    ticks = os.sysconf("SC_CLK_TCK")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return [
        Leftover(program, pid, now - started / ticks, len(processes) - 1)
        for program, processes in sorted(found.items())
        for started, pid in [min(processes)]
    ]


def _pids(proc: str) -> Iterator[int]:
    return (int(name) for name in os.listdir(proc) if name.isdecimal())


def _session_and_start(proc: str, pid: int) -> tuple[int, int] | None:
    """Read session, and start in clock ticks since boot; None means that it has just ended."""
    try:
        stat = read_file(f"{proc}/{pid}/stat")
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return int(fields[_SESSION]), int(fields[_STARTED])


def _environment(proc: str, pid: int) -> dict[bytes, bytes]:
    """Read the environment of a program of some daemon; empty if it is none, or if that is refused.

    It is the one with which it was executed.
    """
    with suppress(OSError):
        text = read_file(f"{proc}/{pid}/environ")
        if b"SUPERVISOR_ENABLED=" in text:  # in few
            pairs = (word.partition(b"=") for word in text.split(b"\0"))
            return {name: value for name, _, value in pairs}
    return {}


def _name(environment: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Return the names of its group and of its process."""
    group = environment.get(b"SUPERVISOR_GROUP_NAME", b"")
    return os.fsdecode(group), os.fsdecode(environment.get(b"SUPERVISOR_PROCESS_NAME", b""))


def _namespace(proc: str, pid: int) -> str | None:
    """Read its pid namespace; None means that reading it is not allowed."""
    with suppress(OSError):
        return os.readlink(f"{proc}/{pid}/ns/pid")
    return None
