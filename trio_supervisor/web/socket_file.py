"""Keeps the file of a server's unix socket: programs that clean up ``/tmp`` or ``/run`` remove it.

Looks every few seconds, which costs one system call: the loss is rare, and nobody waits for less.
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

#: Seconds between two looks.
LOOK = 3


async def keep_file(
    server: Server, listener: socket.socket, log: Callable[[Severity, str], None]
) -> None:
    """Bind the socket again whenever its path does not lead to it any more; until cancelled.

    ``listener`` is another socket then, under the same descriptor. Connections stay as they are.
    """
    if not (isinstance(server, UnixServer) and isinstance(listener, UnixListener)):
        await trio.sleep_forever()  # a port is no file
    # A limiter of its own: a disk that hangs holds up this task only.
    run = partial(in_thread, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
    told = ""
    while True:
        await trio.sleep(LOOK)
        try:
            if await run(listener.has_file):
                told = ""
                continue
            # Not abandoned: the new socket would be left behind.
            fresh = await in_thread(bind_unix, server)
        except NoThread:
            continue
        except ServerError as error:
            if str(error) != told:
                told = str(error)
                log(Severity.ERROR, f"the socket {server.file} has vanished: {error}")
            continue
        trio.lowlevel.notify_closing(listener)
        listener.become(fresh)
        told = ""
        log(Severity.WARN, f"the socket {server.file} had vanished and was made again")
