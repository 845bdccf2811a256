"""The beginning of a daemon that goes on with the state of another program."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from trio_supervisor._version import __version__
from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.handover.parts import take_over
from trio_supervisor.web.handover import go_on_with_forms, listener_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import trio

    from trio_supervisor.core.config.model import Server
    from trio_supervisor.core.handover.state import HandedState
    from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.app import App
    from trio_supervisor.web.connection_set import ConnectionSet


@dataclass(frozen=True, slots=True)
class Arrival:
    """Goes on with a state: that of an earlier program, or our own after an upgrade has failed."""

    handed: HandedState
    failure: str = ""
    """Why the upgrade has failed; empty if it has not."""

    is_start: ClassVar[bool] = False
    """Whether the program is a new process."""

    def enter_directory(self) -> None:
        """Go to the directory in which the daemon was before."""
        here = self.handed.program.directory
        if here is not None:
            with suppress(OSError):  # it may have lost the right to enter it
                os.fchdir(here)
            os.close(here)

    def listeners(self, servers: Iterable[Server]) -> list[tuple[Server, socket.socket]]:
        """Return the sockets of these servers that are open."""
        handed = {server.section: server for server in self.handed.web.servers}
        return [
            (server, listener_of(server, handed[server.section]))
            for server in servers
            if server.section in handed
        ]

    def give(self, supervisor: Supervisor, launcher: ProcessLauncher) -> None:
        """Give the state to a new supervisor, which does not run yet."""
        upgrades = self.handed.program.upgrades
        supervisor.upgrades.count = upgrades - 1 if self.failure else upgrades
        supervisor.upgrades.failure = self.failure
        go_on_with_forms(self.handed.web)
        arrived = partial(self._arrived, supervisor)
        take_over(supervisor, self.handed, launcher.registry, arrived)

    async def complete(
        self, supervisor: Supervisor, connections: ConnectionSet, served: trio.Event
    ) -> None:
        """Wait until all children are served; then let requests begin and set the event."""
        try:
            for process in supervisor.processes():
                while process.driver.has_inherited and not process.removed:
                    await process.waiters.changed()
        finally:
            connections.release()
            served.set()

    def serve(
        self, nursery: trio.Nursery, apps: Mapping[str, App], connections: ConnectionSet
    ) -> None:
        """Go on with the connections; ``apps`` are those of the servers by their section."""
        for handed in self.handed.web.connections:
            connection = socket.socket(fileno=handed.descriptor)
            if handed.section not in apps:
                connection.close()
                continue
            app = apps[handed.section]
            nursery.start_soon(connections.serve, connection, handed.peer, app, handed)

    def _arrived(self, supervisor: Supervisor) -> None:
        program = self.handed.program
        if self.failure:
            text = f"upgrade failed, everything keeps running: {self.failure}"
            supervisor.log(Severity.CRITICAL, text)
            return
        request = Cause(CauseKind.UPGRADE) if program.cause is None else program.cause
        supervisor.journal.upgraded(program.version, request)
        alive = sum(process.driver.has_inherited for process in supervisor.processes())
        supervisor.log(
            Severity.INFO,
            f"supervisord upgraded from version {program.version} to {__version__}, "
            f"goes on with {alive} {'child' if alive == 1 else 'children'}",
        )
