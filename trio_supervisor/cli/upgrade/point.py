"""What one incarnation of the daemon would hand over. Every daemon loads this module; those that
carry an upgrade out are loaded with the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from trio_supervisor.cli.service_manager import ServiceManager
    from trio_supervisor.core.config.model import Server
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.cgroups.subtree import Subtree
    from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.app import App
    from trio_supervisor.web.connection_set import ConnectionSet


class UpgradePoint:
    """What one incarnation of the daemon would hand over."""

    def __init__(
        self,
        supervisor: Supervisor,
        launcher: ProcessLauncher,
        listeners: Sequence[tuple[Server, socket.socket, App]],
        connections: ConnectionSet,
        manager: ServiceManager | None,
        cgroups: Subtree | None,
        origin: str,
        *,
        is_detached: bool,
    ) -> None:
        """``origin`` is the directory in which the daemon was started."""
        self.supervisor = supervisor
        self.launcher = launcher
        self.listeners = listeners
        self.connections = connections
        self.manager = manager
        self.cgroups = cgroups
        self.origin = origin
        self.is_detached = is_detached
        self.cause: Cause | None = None
        """Why the supervisor was let go; None: it was not."""

    def leave(self, cause: Cause) -> None:
        """End all tasks, and leave everything else as it is."""
        self.cause = cause
        self.connections.gate.is_leaving = True
        if self.manager is not None:
            self.manager.tell_reloading(self.supervisor)
        self.supervisor.let_go()
