"""States, the legal moves between them, and fault numbers. The numbers of the API are frozen.

Imports enum only: the command-line client imports this module after failures, and has to be fast.
"""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """State of one process; numbers are part of the XML-RPC API."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000

    def __str__(self) -> str:
        return self.name


#: A start request in one of these states faults ALREADY_STARTED; a stop request needs one.
RUNNING_STATES = frozenset({State.STARTING, State.RUNNING, State.BACKOFF})
#: A group can be removed, and a shutdown ends, when all processes are in one of these states.
STOPPED_STATES = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})
#: States in which there is a child to signal.
SIGNALLABLE_STATES = frozenset({State.STARTING, State.RUNNING, State.STOPPING})

#: Every legal move. Anything else is an internal error, found where it would happen.
MOVES: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING, State.FATAL}),
    State.STARTING: frozenset(
        {State.STOPPED, State.RUNNING, State.BACKOFF, State.STOPPING, State.UNKNOWN}
    ),
    State.RUNNING: frozenset({State.EXITED, State.STOPPING, State.UNKNOWN}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED, State.FATAL}),
    State.STOPPING: frozenset({State.STOPPED, State.UNKNOWN}),
    State.EXITED: frozenset({State.STARTING, State.FATAL}),
    State.FATAL: frozenset({State.STARTING}),
    State.UNKNOWN: frozenset({State.STOPPED}),
}


class DaemonState(enum.IntEnum):
    """State of the supervisor as a whole."""

    SHUTDOWN = -1
    RESTARTING = 0
    RUNNING = 1
    FATAL = 2


class ListenerState(enum.IntEnum):
    """State of one event listener in its protocol."""

    READY = 10
    BUSY = 20
    ACKNOWLEDGED = 30
    UNKNOWN = 40


class FaultCode(enum.IntEnum):
    """XML-RPC fault numbers; clients match on them."""

    UNKNOWN_METHOD = 1
    INCORRECT_PARAMETERS = 2
    BAD_ARGUMENTS = 3
    SIGNATURE_UNSUPPORTED = 4
    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    BAD_SIGNAL = 11
    NO_FILE = 20
    NOT_EXECUTABLE = 21
    FAILED = 30
    ABNORMAL_TERMINATION = 40
    SPAWN_ERROR = 50
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    SUCCESS = 80
    ALREADY_ADDED = 90
    STILL_RUNNING = 91
    CANT_REREAD = 92
