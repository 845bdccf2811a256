"""An HTTP server for an embedded supervisor, for those who ask for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.web.app import App
from trio_supervisor.web.connection_set import ConnectionSet
from trio_supervisor.web.server import bind, serve, unbind
from trio_supervisor.web.socket_file import keep_file

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Server
    from trio_supervisor.runtime.supervisor import Supervisor


async def serve_http(
    supervisor: Supervisor,
    server: Server,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve XML-RPC, for ``tsupervisorctl``, and the web page until cancelled.

    Raises ServerError and PluginError.

    ``task_status.started()`` is called when clients can connect.
    """
    listener = bind(server)
    try:
        app = App(server, supervisor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_file, server, listener, supervisor.log)
            connections = ConnectionSet(supervisor.log, lambda: len(supervisor.processes()))
            await serve(listener, app, connections, task_status=task_status)
    finally:
        unbind(server, listener)
