"""Dependencies between groups, without their modules as long as no process depends on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.runtime.guards import run_forever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import trio

    from trio_supervisor.core.config.model import GroupConfig
    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.runtime.dependencies.coordinator import Coordinator
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.host import Host


class LazyCoordinator:
    """The coordinator of a supervisor, which is made for the first group with dependencies."""

    def __init__(self, groups: Callable[[], Mapping[str, Group]], host: Host) -> None:
        self._groups = groups
        self._host = host
        self._nursery: trio.Nursery | None = None
        self._made: Coordinator | None = None

    @property
    def graph(self) -> Graph | None:
        """Graph of the dependencies; None means that no process ever depended on another."""
        return None if self._made is None else self._made.graph

    def run_in(self, nursery: trio.Nursery) -> None:
        """Run the coordinator in this nursery, as soon as there is one."""
        self._nursery = nursery
        if self._made is not None:
            nursery.start_soon(run_forever, self._made.run, "dependencies", self._host.log)

    def groups_changed(self, added: GroupConfig | None = None) -> None:
        """Take note that a group was added or removed."""
        if self._made is not None:
            self._made.groups_changed()
        elif added is not None and needs_any(added):
            # Imported here because few configurations have dependencies.
            from trio_supervisor.runtime.dependencies.coordinator import Coordinator

            self._made = Coordinator(self._groups, lambda: self._host.accepting)
            self._host.coordination = self._made
            if self._nursery is not None:
                self.run_in(self._nursery)


def needs_any(group: GroupConfig) -> bool:
    """Whether a process of the group depends on others."""
    return any(process.dependencies.needs for process in group.processes)


def check_groups(groups: tuple[GroupConfig, ...]) -> None:
    """Raise ConfigError if the dependencies between some groups can never hold."""
    if any(map(needs_any, groups)):
        # Imported here because few configurations have dependencies.
        from trio_supervisor.core.dependencies.check import check_dependencies

        check_dependencies(groups)


def in_group_order(groups: tuple[GroupConfig, ...], names: Iterable[str]) -> list[str]:
    """Names of some of the groups: each behind those that it needs, else in the order given."""
    if not any(map(needs_any, groups)):
        return list(names)
    # Imported here because few configurations have dependencies.
    from trio_supervisor.core.dependencies.graph import group_order, make_graph

    return group_order(make_graph(groups), names)
