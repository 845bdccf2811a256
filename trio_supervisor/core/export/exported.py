"""What an export knows of a process, and the tables that say what becomes of its options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition
from trio_supervisor.core.config.limits import RLIMITS
from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.dependencies.condition import condition_of
from trio_supervisor.core.dependencies.graph import make_graph

if TYPE_CHECKING:
    from trio_supervisor.core.config.depends_on import Dependency
    from trio_supervisor.core.config.model import Config, GroupConfig, ProcessConfig
    from trio_supervisor.core.dependencies.graph import Graph

#: Characters that are accepted in the name of a unit without an escape.
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9:_.-]")
#: The options of limits, as a file has them.
RLIMIT_OPTIONS = tuple(f"rlimit_{name}" for name in RLIMITS)


@dataclass(frozen=True, slots=True)
class Exported:
    """A process that is exported, with its surroundings."""

    process: ProcessConfig
    group: GroupConfig
    graph: Graph
    user_names: Mapping[int, str]
    """Names of users by uid."""
    written: tuple[str, ...]
    """Options that its section has."""

    @property
    def name(self) -> str:
        """Its name among all services."""
        return service_name(self.group.name, self.process.name)

    @property
    def user(self) -> str | None:
        """Name or number of its user; None: that of the service manager."""
        uid = self.process.uid
        return None if uid is None else self.user_names.get(uid, str(uid))

    def needs(self) -> Iterable[tuple[Dependency, str, Condition, ProcessConfig]]:
        """Each process that it needs: its dependency, service name and condition."""
        for dependency in self.process.dependencies.needs:
            for group, name in self.graph.targets.get(dependency.name, ()):
                process = self.graph.processes[group, name]
                condition = condition_of(dependency.condition, process)
                yield dependency, service_name(group, name), condition, process

    def missing(self) -> Iterable[str]:
        """Comments about dependencies that are not exported, or do not exist."""
        for dependency in self.process.dependencies.needs:
            if not self.graph.targets.get(dependency.name):
                yield note(f"depends_on {dependency}", "that is not exported")


#: Lines that an export has for options, by the options they come from.
Rows = Mapping[tuple[str, ...], Callable[[Exported], Iterable[str]]]


def exported_groups(
    config: Config, written: Mapping[str, tuple[str, ...]], user_names: Mapping[int, str]
) -> list[list[Exported]]:
    """Return the processes of each group. Listener pools have no counterpart and are left out.

    ``written`` has the options of each section.
    """
    groups = [group for group in config.groups if group.kind is not GroupKind.POOL]
    graph = make_graph(groups)
    return [
        [
            Exported(process, group, graph, user_names, written.get(process.section or "", ()))
            for process in group.processes
        ]
        for group in groups
    ]


def lines_of(
    exported: Exported, rows: Rows, reasons: Mapping[str, str], implied: Iterable[str]
) -> list[str]:
    """Return the lines of all rows, after a comment for each option that none of them maps.

    ``reasons`` say why there is no line for an option, ``implied`` are options that need none.
    """
    known = {*implied, *(option for options in rows for option in options)}
    lines = [
        note(option, reasons.get(option, "there is no counterpart"))
        for option in exported.written
        if option not in known
    ]
    for make in rows.values():
        lines += make(exported)
    return lines


def note(option: str, text: str) -> str:
    """Return a comment about an option that is not, or not quite, what it was."""
    return f"# {option}: {text}"


def service_name(group: str, process: str) -> str:
    """Return the name of a process among all services, without a suffix."""
    return unit_name(process if process == group else f"{group}-{process}")


def unit_name(name: str) -> str:
    """Return a name with ``_`` in the place of characters that need an escape."""
    return _NOT_IN_NAME.sub("_", name)
