"""Control groups of the kernel (version 2): their names and places, and what a daemon may use.

The daemon divides one cgroup, its *base*: it moves itself to a leaf below, because a cgroup with
processes cannot pass controllers on, and each process that needs one gets a node beside that leaf.
"""

from __future__ import annotations

import posixpath
import re
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trio_supervisor.core.config.policies import Contradiction
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.numbers import mebibytes

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from trio_supervisor.core.config.limits import Limits
    from trio_supervisor.core.config.model import ProcessConfig

#: The value of ``[supervisord] cgroup`` for the cgroup of the daemon itself.
AUTO = "auto"
#: The node of the daemon itself, and of all programs that need none of their own.
LEAF = "tsupervisord.daemon"
#: What to do if a controller is missing.
NO_CONTROLLER_HINT = "let the cgroup above pass it on, like Delegate=yes in a unit of systemd"
#: Bytes that stand for themselves in the name of a node.
_PLAIN = frozenset(f"{string.ascii_letters}{string.digits}.-".encode())
_UNDERSCORE = ord("_")
#: Bytes that the kernel writes as three octal digits in ``/proc/self/mountinfo``.
_OCTAL = re.compile(r"\\([0-7]{3})")
#: Positions in a line of that file.
_ROOT, _MOUNT_POINT = 3, 4


def node_name(group: str, process: str) -> str:
    """Return the name of the node of a process: ``p_<group>_<process>``.

    Other bytes are written as ``%XX``. So is an underscore in the name of the group: else two
    processes could have the same node.
    """
    return f"p_{_escaped(group, _PLAIN)}_{_escaped(process, _PLAIN | {_UNDERSCORE})}"


def _escaped(name: str, plain: frozenset[int]) -> str:
    data = name.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in data)


def own_cgroup(cgroups: str) -> str | None:
    """Return the cgroup of the program as ``/proc/self/cgroup``, the text given, has it.

    None means that the kernel has none of version 2.
    """
    for line in cgroups.splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    return None


def directory_of(cgroup: str, mountinfo: str) -> str | None:
    """Return the directory of a cgroup; None means that no mount shows it.

    ``mountinfo`` is the text of ``/proc/self/mountinfo``.
    """
    for line in mountinfo.splitlines():
        place, _, mounted = line.partition(" - ")
        if not mounted.startswith("cgroup2 "):
            continue
        fields = [_OCTAL.sub(lambda m: chr(int(m[1], 8)), field) for field in place.split()]
        root, mount_point = fields[_ROOT].rstrip("/"), fields[_MOUNT_POINT]
        if cgroup == root or cgroup.startswith(f"{root}/"):
            return posixpath.join(mount_point, cgroup.removeprefix(root).strip("/")).rstrip("/")
    return None


def base_of(directory: str) -> str:
    """Return the base, given the directory of the daemon's cgroup: that may be the leaf already."""
    parent, name = posixpath.split(directory)
    return parent if name == LEAF else directory


def not_delegated(*, marked: bool, namespace_root: bool, writable: bool) -> str:
    """Say why the daemon's own cgroup is not its to divide; empty if it is.

    ``marked``: a service manager says by an extended attribute that it is. ``namespace_root``: it
    is all that the container sees. That root could write to it anyway is no delegation.
    """
    if not (marked or namespace_root):
        return "the cgroup of the daemon is not delegated to it"
    return "" if writable else "the cgroup of the daemon cannot be written to"


@dataclass(frozen=True, slots=True)
class CgroupLimit:
    """An option that sets a limit of a cgroup."""

    option: str
    controller: str
    file: str
    written: Callable[[Any], str] = str
    """The value as the file takes it."""
    shown: Callable[[Any], str] = str
    """The value as people read it."""


def _quota(cores: float) -> str:
    return f"{round(cores * PERIOD)} {PERIOD}"


#: Microseconds in which a program may use up its time on the processors; the kernel's default.
PERIOD = 100_000
UNLIMITED = "max"
LIMITS = (
    CgroupLimit("memory_high", "memory", "memory.high", shown=mebibytes),
    CgroupLimit("memory_max", "memory", "memory.max", shown=mebibytes),
    CgroupLimit("cpu_max", "cpu", "cpu.max", _quota, "{:g}".format),
    CgroupLimit("pids_max", "pids", "pids.max"),
)
#: Whether the kernel ends all processes of a cgroup that has no memory left, not only one of them.
END_ALL = "memory.oom.group"


def controllers_for(limits: Limits) -> set[str]:
    """Return the controllers that a node with these limits needs."""
    return {one.controller for one in LIMITS if getattr(limits, one.option) is not None}


def limit_files(limits: Limits, controllers: Container[str]) -> list[tuple[str, str]]:
    """Return names and contents of the files that set the limits of a node.

    A node that was kept may have other limits, so those that are not set are lifted.
    """
    files = [
        (
            one.file,
            UNLIMITED if (value := getattr(limits, one.option)) is None else one.written(value),
        )
        for one in LIMITS
        if one.controller in controllers
    ]
    if "memory" in controllers:
        files.append((END_ALL, str(int(limits.memory_max is not None))))
    return files


def limits_in_words(limits: Limits, controllers: Container[str]) -> str:
    """Tell the limits, and what keeps them: the cgroup, or the daemon, which watches the memory."""
    shown = []
    for one in LIMITS:
        if (value := getattr(limits, one.option)) is not None:
            keeper = "watched" if one.option == "memory_max" else "no effect"
            by = "cgroup" if one.controller in controllers else keeper
            shown.append(f"{one.option} {one.shown(value)} ({by})")
    return ", ".join(shown)


def shortcomings(
    config: ProcessConfig, lacking: Mapping[str, str] | None
) -> Iterator[Contradiction]:
    """Yield the options of a process that do not do here what they say.

    ``lacking`` has the controllers that are missing, with the reason; None means that there is no
    cgroup. ``memory_max`` works anyway.
    """
    if config.stopping.kill_mode is KillMode.CGROUP and lacking is None:
        text = "kill_mode = cgroup works like tree: there is no cgroup for programs"
        yield Contradiction("kill_mode", text, "write cgroup = auto in [supervisord], or use tree")
    for one in LIMITS:
        if getattr(config.limits, one.option) is None or one.option == "memory_max":
            continue
        if lacking is None:
            text = f"{one.option} has no effect: there is no cgroup for programs"
            yield Contradiction(one.option, text, "write cgroup = auto in [supervisord]")
        elif one.controller in lacking:
            text = f"{one.option} has no effect: {lacking[one.controller]}"
            yield Contradiction(one.option, text, NO_CONTROLLER_HINT)


def no_controller(base: str, controller: str) -> str:
    """Say that a controller is missing in a cgroup."""
    return f"{base} has no controller {controller}"
