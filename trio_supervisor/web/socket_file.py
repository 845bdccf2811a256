"""Recreates the file of a server's unix socket when it was removed, as cleaners of ``/tmp`` do.

The file is checked every few seconds, which takes one system call.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity, UnixServer
from trio_supervisor.core.errors import ServerError
from trio_supervisor.runtime.system.threads import NoThread, in_thread
from trio_supervisor.runtime.system.unix_socket import UnixListener
from trio_supervisor.web.sockets import bind_unix

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Server

#: Seconds between two checks.
INTERVAL = 3


async def keep_file(
    server: Server, listener: socket.socket, log: Callable[[Severity, str], None]
) -> None:
    """Bind the socket again whenever its path does not lead to it any more, until cancelled.

    The new socket gets the descriptor of ``listener``. Open connections are not affected.
    """
    if not (isinstance(server, UnixServer) and isinstance(listener, UnixListener)):
        await trio.sleep_forever()  # a TCP server has no file
    # Its own limiter: a disk that hangs blocks only this task.
    run = partial(in_thread, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
    logged = ""
    while True:
        await trio.sleep(INTERVAL)
        try:
            if await run(listener.has_file):
                logged = ""
                continue
            # Not abandoned on cancel, which would leave the new socket behind.
            fresh = await in_thread(bind_unix, server)
        except NoThread:
            continue
        except ServerError as error:
            if str(error) != logged:
                logged = str(error)
                log(Severity.ERROR, f"the socket {server.file} has vanished: {error}")
            continue
        trio.lowlevel.notify_closing(listener)
        listener.become(fresh)
        logged = ""
        log(Severity.WARN, f"the socket {server.file} had vanished and was created again")
