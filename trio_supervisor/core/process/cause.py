"""Causes of transitions: their kind, the requester, and the entry of the journal."""

from __future__ import annotations

import enum
from dataclasses import field

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.states import State


class CauseKind(enum.Enum):
    """Kind of the cause of a transition."""

    BOOT = "boot"
    """``autostart`` when the supervisor started."""
    REQUEST = "request"
    """A client, a signal to the daemon, or the embedding program."""
    EXIT = "exit"
    """The child has exited, or could not be started."""
    POLICY = "policy"
    """An option of the process: startsecs, startretries, autorestart, stopwaitsecs."""
    DEPENDENCY = "dependency"
    """Another process needs it, or has stopped that it needs."""
    PROBE = "probe"
    """The task has called ``task_status.started()``."""
    LIMIT = "limit"
    """A limit of the process was reached."""
    CONFIGURATION = "configuration"
    """A group was added, replaced or removed."""
    CLOCK = "clock"
    """The system clock was set."""
    SHUTDOWN = "shutdown"
    """The supervisor shuts down or restarts."""
    UPGRADE = "upgrade"
    """Another version of the program has taken the supervisor over."""
    ADOPTION = "adoption"
    """The supervisor goes on with the programs of an earlier one, which was killed."""
    PLUGIN = "plugin"
    """A method of an rpcinterface plugin."""
    INTERNAL_ERROR = "internal error"
    """An unexpected exception in the supervisor."""


#: Kinds of what options decide without anybody asking.
OF_OPTIONS = frozenset({CauseKind.POLICY, CauseKind.PROBE, CauseKind.LIMIT, CauseKind.DEPENDENCY})


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause of a transition."""

    kind: CauseKind
    who: str = ""
    """The requester, for display: ``ann from 10.0.0.7``, ``python``; empty without a request."""
    entry: int = field(default=0, compare=False)
    """Number of the journal's entry about the cause; 0 means that there is none."""

    def of(self, entry: int) -> Cause:
        """Return the same cause with the number of the entry that caused it."""
        return Cause(self.kind, self.who, entry)


#: Causes without a requester, shared.
BOOT = Cause(CauseKind.BOOT)
EXIT = Cause(CauseKind.EXIT)
POLICY = Cause(CauseKind.POLICY)
PROBE = Cause(CauseKind.PROBE)
INTERNAL_ERROR = Cause(CauseKind.INTERNAL_ERROR)


def follows_last(cause: Cause, left: State) -> bool:
    """Whether a transition out of ``left`` was caused by the transition before it.

    That is so for what the options of a process lead to, and for the end of a child that was told
    to stop. An exit that was not requested has no earlier cause.
    """
    if cause.entry:
        return False
    if cause.kind is CauseKind.EXIT:
        return left in (State.STOPPING, State.UNKNOWN)
    return cause.kind in (CauseKind.POLICY, CauseKind.PROBE)
