"""How many of the file descriptors that a daemon may open are left for its HTTP clients.

Clients come last: a program that cannot be started, or a log that cannot be reopened, because a
thousand silent clients hold all descriptors, is worse than a client that is turned away.
"""

from __future__ import annotations

#: Of a process that runs: three pipes, its pidfd, its two log files.
PER_PROCESS = 6
#: Of the daemon itself: standard streams, activity log, listeners, event loop, shared sockets.
OWN = 32
#: For what comes and goes: pipes of a process that is being started, files that are read or
#: reopened, a look at /proc.
SPARE = 64
#: Of the connections, those that only the unix socket gets: the operator's way in.
FOR_UNIX = 32
#: Connections that are let in however many descriptors the programs need: without any, nobody could
#: find out what is wrong.
LEAST = 2 * FOR_UNIX


def for_connections(limit: int, processes: int) -> int:
    """Descriptors for connections, of ``limit`` that the daemon may have open."""
    return max(LEAST, limit - OWN - SPARE - PER_PROCESS * processes)
