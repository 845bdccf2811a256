"""Makes the child for a start attempt: a program's process, or a task inside this program.

It does not know the state: the state machine of the process decides what follows a failure.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.config.model import Command, Task
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.spec import find_command_of, spawn_spec
from trio_supervisor.runtime.spawn.steps import errno_name
from trio_supervisor.runtime.spawn.task import TaskChild
from trio_supervisor.runtime.system.memory_counter import MemoryCounter
from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.member import Member
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.cgroups.node import Node
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.stdio import Stdio
    from trio_supervisor.runtime.process.left_behind import LeftBehind
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.shared_socket import SharedSocket
    from trio_supervisor.runtime.spawn.spec import SpawnSpec
    from trio_supervisor.runtime.spawn.task import TaskOutcome


#: For all processes without a shared socket: an ``ExitStack`` would take 0.8 KiB for each.
_NOTHING = contextlib.nullcontext()


async def completed(spec: SpawnSpec, config: ProcessConfig, host: Host) -> SpawnSpec:
    """Add the variables that must be looked up.

    Raises SpawnError.
    """
    if not config.identity.adds_variables:
        return spec
    from trio_supervisor.runtime.spawn.environment import looked_up  # few programs need it

    environment = await looked_up(config, spec.environment, host.environment)
    host.journal.looked_up(config, environment)
    return replace(spec, environment=environment)


class Equipment(Protocol):
    """Means by which a child reports; see ``probes/monitor.py``."""

    def equipped(self, spec: SpawnSpec) -> AbstractContextManager[SpawnSpec]:
        """Add it to a description of the child, for the time of its launch. Raises SpawnError."""


@dataclass(frozen=True, slots=True)
class Starter:
    """Makes all children of one process, one after another."""

    config: ProcessConfig
    group: str
    host: Host
    stdio: Stdio
    socket: SharedSocket | None
    outcome: TaskOutcome | None
    """Of the last run of a task; None if it makes no tasks."""
    monitor: Equipment | None = None
    """None for a process without ``ready`` and ``health``."""

    def check_command(self) -> None:
        """Raise NoFile or NotExecutable if the command cannot be found."""
        match self.config.runnable:
            case Command():
                find_command_of(self.config, self.host.environment)
            case Task():
                pass

    @property
    def node(self) -> Node | None:
        """The cgroup of its children; None if they need none, or the daemon has none for them."""
        cgroups = self.host.cgroups
        if cgroups is None or not self.config.wants_cgroup:
            return None
        return cgroups.node_of(self.config, self.group)

    async def prepare_cgroup(self, record: ProcessRecord) -> None:
        """Make the cgroup of the next child, if it needs one. Raises SpawnError.

        What an earlier child, also one of an earlier daemon, has left in it is recorded.
        """
        if (node := self.node) is None:
            return
        try:
            survivors = await in_thread(node.prepare)
        except OSError as error:
            text = f"couldn't prepare cgroup: {errno_name(error)} ({error.filename or node.path})"
            raise SpawnError(text) from error
        if survivors:
            self._left_behind(survivors, record, None).tell()

    def left_behind(self, found: Collection[Member], record: ProcessRecord) -> LeftBehind | None:
        """Return what tells in a moment which of these still live; None: nothing was left."""
        return self._left_behind(found, record, self.node) if found else None

    def _left_behind(
        self, found: Collection[Member], record: ProcessRecord, node: Node | None
    ) -> LeftBehind:
        from trio_supervisor.runtime.process.left_behind import LeftBehind  # most leave nothing

        name = full_name(self.config.name, self.group)
        return LeftBehind(name, record, self.host.journal, found, node)

    def memory_kills(self) -> MemoryCounter:
        """Return what counts the kills for lack of memory where the next child will be."""
        node = self.node
        if node is None or not node.limits_memory:
            return self.host.memory_kills
        return MemoryCounter(path=node.kill_count)

    @property
    def watches_memory(self) -> bool:
        """Whether the daemon must see to it that no child uses more than ``memory_max``."""
        if self.config.limits.memory_max is None:
            return False
        node = self.node
        return node is None or not node.limits_memory

    def holder(self) -> contextlib.AbstractContextManager[contextlib.ExitStack | None]:
        """Return what is to be entered for the life of a child, to hold what it needs meanwhile."""
        return _NOTHING if self.socket is None else contextlib.ExitStack()

    async def environment(self) -> Mapping[str, str] | None:
        """Return the environment of the next child if it has to be looked up.

        This may take long, and be cancelled. Raises RequestError or SpawnError.
        """
        if not self.config.identity.adds_variables:
            return None
        spec = await completed(self._spec(None), self.config, self.host)
        return spec.environment

    async def launch(
        self,
        held: contextlib.ExitStack | None,
        sent: Callable[[], None],
        announced: Callable[[], None],
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Open the logs, then start the task or have the host's launcher make the process.

        ``environment``: None means that nothing had to be looked up for it.

        Resources that the child needs until it exits are pushed on ``held``. ``sent`` is called
        when the launcher was told to make the child, ``announced`` when a task calls
        ``task_status.started()``. Raises RequestError or SpawnError.
        """
        match self.config.runnable:
            case Task(function):
                await self.stdio.open()
                assert self.outcome is not None
                self.outcome.announced = None
                return TaskChild(
                    self.config.name,
                    function,
                    self.host,
                    group=self.group,
                    outcome=self.outcome,
                    started=announced,
                    write_note=self.stdio.write_note,
                )
            case Command():
                spec = self._spec(self._lend_socket(held))
                if environment is not None:
                    spec = replace(spec, environment=environment)
                if (node := self.node) is not None:
                    spec = replace(spec, steps={**spec.steps, "cgroup": node.entrance})
                elif self.config.stopping.kill_mode is not KillMode.PROCESS:
                    spec = self._marked(spec)
                logs = await self.stdio.logs()
                if logs is not None:
                    spec = replace(spec, logs=logs)
                keeping = self.host.keeping
                if keeping is not None:
                    key = self.group, self.config.name
                    spec = replace(spec, before_fork=partial(keeping.before_fork, key))
                equipped = _NOTHING if self.monitor is None else self.monitor.equipped(spec)
                with equipped as better:
                    making = self.host.launch(better or spec)
                    sent()
                    try:
                        child = await making
                    finally:
                        if logs is not None:
                            logs.take()
                if keeping is not None:
                    keeping.changed(key)
                return child

    def _marked(self, spec: SpawnSpec) -> SpawnSpec:
        from trio_supervisor.runtime.spawn.tree import mark  # few programs need it

        marked = mark(full_name(self.config.name, self.group))
        return replace(spec, environment={**spec.environment, **marked})

    def _spec(self, stdin: int | None) -> SpawnSpec:
        return spawn_spec(
            self.config,
            self.group,
            inherited=self.host.environment,
            server_url=self.host.server_url,
            owner=self.host.owner,
            stdin=stdin,
        )

    async def reopen(self, held: contextlib.ExitStack | None) -> None:
        """Open the logs and push the resources on ``held`` for a child that is already alive."""
        await self.stdio.reopen()
        self._lend_socket(held)

    def _lend_socket(self, held: contextlib.ExitStack | None) -> int | None:
        return None if self.socket is None or held is None else self.socket.lend(held)
