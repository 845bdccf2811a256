"""The groups that run, and how groups of the configuration become such groups and cease to be."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import AlreadyAdded, BadName, ShuttingDown, StillRunning
from trio_supervisor.core.events import ProcessGroupAdded, ProcessGroupRemoved
from trio_supervisor.core.plan import changed_options, start_order
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import STOPPED_STATES
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.groups.coordination import LazyCoordinator, check_groups
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.guards import run_logged
from trio_supervisor.runtime.logs.autologs import create_auto_logs, remove_auto_log
from trio_supervisor.runtime.logs.filesink import BLOCK_TIMEOUT, START_TIMEOUT
from trio_supervisor.runtime.process.process import cleaned_up
from trio_supervisor.runtime.requester import cause_of_request, requested_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.config.model import Config, GroupConfig
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.process import Process

    AutoLogs = dict[str, dict[tuple[str, str], str]]
    """Paths of automatic logs by group, and by names of process and channel."""


class ActiveGroups:
    """The groups of one supervisor by name, in start order."""

    def __init__(self, config: Config, host: Host) -> None:
        self.by_name: dict[str, Group] = {}
        self.candidates = config.groups
        """The groups of the configuration last read, and those added from Python."""
        self._file = config.path
        self._replaced: dict[str, GroupConfig] = {}
        """Last configurations of groups that were removed, and that have another one now."""
        self._own: dict[str, GroupConfig] = {}
        """Added from Python, unknown to any file."""
        self._host = host
        self._nursery: trio.Nursery | None = None
        self.autostarted = trio.Event()
        """Set when each process that starts by itself has been started once, or refused."""
        self.autostarts = 0
        """Number of the starts of groups that are under way."""
        self.dependencies = LazyCoordinator(lambda: self.by_name, host)
        host.groups_changed = self.dependencies.groups_changed
        check_groups(config.groups)
        groups = {group.name: group for group in reversed(config.groups)}  # the first counts
        auto_logs = self._auto_logs(groups.values())
        for name in dict.fromkeys(group.name for group in config.groups):
            self._make(groups[name], auto_logs)
        self.by_name = _in_start_order(self.by_name)

    def run_in(self, nursery: trio.Nursery) -> None:
        """Run the groups, and those that are added later, in this nursery."""
        self._nursery = nursery
        self.dependencies.run_in(nursery)
        for group in self.by_name.values():
            nursery.start_soon(group.run, name=group.name)

    def autostart(self, cause: Cause) -> None:
        """Spawn the processes of all groups that start by themselves, one after the other."""
        self._autostart(self.processes(), cause)

    def processes(self) -> list[Process]:
        """Every process, in start order: by group, then by priority."""
        return [p for group in self.by_name.values() for p in group.processes.values()]

    def group(self, name: str) -> Group:
        """The active group of that name. Raises BadName."""
        if name not in self.by_name:
            raise BadName(name)
        return self.by_name[name]

    @property
    def configs(self) -> dict[str, GroupConfig]:
        """The configurations of the active groups, by name; ``Group.scale`` changes none."""
        return {name: group.written for name, group in self.by_name.items()}

    def follow(self, config: Config) -> None:
        """Take over the groups of a configuration that was read again, as candidates.

        Raises ConfigError if their dependencies and those of groups added from Python do not fit.
        """
        candidates = (*config.groups, *self._own.values())
        check_groups(candidates)
        self.candidates = candidates
        self._file = config.path

    def is_active(self, name: str) -> bool:
        """Whether there is an active group of that name."""
        return name in self.by_name

    def is_current(self, name: str) -> bool:
        """Whether the group is active, as the configuration last read has it."""
        active = self.by_name.get(name)
        return active is not None and active.written == self._candidate(name)

    def require_running(self) -> None:
        """Raise ShuttingDown if nothing may be changed any more."""
        if not self._host.accepting:
            raise ShuttingDown

    def add_group(self, name: str) -> None:
        """Activate a candidate. Raises AlreadyAdded, BadName or ShuttingDown."""
        if name in self.by_name:
            raise AlreadyAdded(name)
        config = self._candidate(name)
        if config is None:
            raise BadName(name)
        self._activate(config, self._file)

    def add(self, config: GroupConfig) -> Group:
        """Activate a group that is in no file.

        Raises AlreadyAdded or ShuttingDown, and ConfigError for its dependencies.
        """
        if config.name in self.by_name:
            raise AlreadyAdded(config.name)
        check_groups((*self.candidates, config))
        group = self._activate(config, None)
        self._own[config.name] = config
        self.candidates = (*self.candidates, config)
        return group

    async def remove(self, name: str) -> None:
        """Stop a group, then forget it. Raises BadName, or StillRunning if it was started again."""
        group = self.group(name)
        members = list(group.processes.values())
        for process in members:
            process.hold()
        with requested_by(self._note_removed(group)):
            await operations.stop(members)
        if self.by_name.get(name) is group:  # else another request has removed it
            self._remove(group)

    async def remove_stopped(self, name: str) -> None:
        """Forget a group in which nothing runs once the stops under way are carried out.

        Raises BadName or StillRunning.
        """
        group = self.group(name)
        members = group.processes.values()
        if any(p.state not in STOPPED_STATES and not p.stopping for p in members):
            raise StillRunning(name)
        for process in members:
            await process.ended()
            await cleaned_up(process)
        if self.by_name.get(name) is group:  # else another request has removed it
            self.remove_group(name)

    def remove_group(self, name: str) -> None:
        """Forget a group that has nothing running. Raises BadName or StillRunning."""
        group = self.group(name)
        if not group.at_rest:
            raise StillRunning(name)
        self._note_removed(group)
        self._remove(group)

    def _remove(self, group: Group) -> None:
        """Remove a group. Raises StillRunning."""
        name = group.name
        if not group.at_rest:
            raise StillRunning(name)
        del self.by_name[name]
        if self._own.pop(name, None) is not None:
            self.candidates = tuple(group for group in self.candidates if group.name != name)
        self.dependencies.groups_changed()
        group.close()
        group.remove_auto_logs()
        for process in group.processes.values():
            self._host.journal.memory.remove(process.full_name)
        self._host.publish(ProcessGroupRemoved(name))

    def _candidate(self, name: str) -> GroupConfig | None:
        return next((group for group in self.candidates if group.name == name), None)

    def _note_removed(self, group: Group) -> Cause:
        """Record that a group is removed; return this as the cause of the stops."""
        candidate = self._candidate(group.name)
        if candidate is not None and candidate != group.written:
            self._replaced[group.name] = group.written
        cause = Cause(CauseKind.CONFIGURATION, cause_of_request().who)
        file = None if group.name in self._own else self._file
        return self._host.journal.group(cause, "removed", group.name, file)

    def _activate(self, config: GroupConfig, file: str | None) -> Group:
        self.require_running()
        group = self._make(config, self._auto_logs((config,)))
        self.by_name = _in_start_order(self.by_name)
        if self._nursery is not None:
            self._nursery.start_soon(group.run, name=group.name)
            cause = Cause(CauseKind.CONFIGURATION, cause_of_request().who)
            earlier = self._replaced.pop(config.name, None)
            options = () if earlier is None else changed_options(earlier, config)
            cause = self._host.journal.group(cause, "added", config.name, file, options)
            self._autostart(list(group.processes.values()), cause)
        return group

    def _make(self, config: GroupConfig, auto_logs: AutoLogs) -> Group:
        group = Group(config, self._host, auto_logs=auto_logs.get(config.name))
        self.by_name[config.name] = group
        self.dependencies.groups_changed(config)
        self._host.publish(ProcessGroupAdded(config.name))
        return group

    def _auto_logs(self, groups: Iterable[GroupConfig]) -> AutoLogs:
        """Make the automatic logs of these groups, by one job of the disk worker.

        One that cannot be made is left out: its group tries again, and tells of it.
        """
        # Of equal names the later process counts, and there is one log for both.
        wanted = dict.fromkeys(
            (group.name, process.name, channel)
            for group in groups
            for process in group.processes
            for channel in process.auto_logs
        )
        if not wanted:
            return {}
        daemon = self._host.daemon
        create = partial(
            create_auto_logs,
            wanted=[(process, channel) for _, process, channel in wanted],
            identifier=daemon.identifier,
        )
        made: AutoLogs = {}
        with suppress(OSError):
            paths = self._host.sinks.do(
                create,
                daemon.childlogdir,
                undo=_remove_all,
                timeout=min(BLOCK_TIMEOUT * len(wanted), START_TIMEOUT),
            )
            for (group, process, channel), path in zip(wanted, paths, strict=False):
                made.setdefault(group, {})[process, channel] = path
        return made

    def _autostart(self, processes: list[Process], cause: Cause) -> None:
        assert self._nursery is not None
        processes = operations.in_start_order(processes)

        async def start() -> None:
            self.autostarts += 1
            try:
                await operations.autostart(processes, cause, lambda: self._host.accepting)
            finally:
                self.autostarts -= 1
            self.autostarted.set()

        self._nursery.start_soon(run_logged, start, "autostart", self._host.log)


def _in_start_order(groups: dict[str, Group]) -> dict[str, Group]:
    """Sort by priority; later groups come after the others of equal priority."""
    return {group.name: group for group in start_order(groups.values())}


def _remove_all(paths: list[str]) -> None:
    for path in paths:
        remove_auto_log(path)
