"""Why the state of a process changed: what made it change, and on whose request."""

from __future__ import annotations

import enum

from trio_supervisor.core.dataclass import dataclass


class CauseKind(enum.Enum):
    """What made a transition happen."""

    BOOT = "boot"
    """``autostart`` when the supervisor started."""
    REQUEST = "request"
    """A client, a signal to the daemon, or the embedding program."""
    EXIT = "exit"
    """The child has exited, or could not be started."""
    POLICY = "policy"
    """An option of the process: startsecs, startretries, autorestart, stopwaitsecs."""
    PROBE = "probe"
    """The task has called ``task_status.started()``."""
    CONFIGURATION = "configuration"
    """A group was added, replaced or removed."""
    SHUTDOWN = "shutdown"
    """The supervisor shuts down or restarts."""
    PLUGIN = "plugin"
    """A method of an rpcinterface plugin."""
    INTERNAL_ERROR = "internal error"
    """An unexpected exception in the supervisor."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a transition was made."""

    kind: CauseKind
    who: str = ""
    """The requester, for display: ``ann from 10.0.0.7``, ``python``; empty without a request."""

    def dump(self) -> list[str]:
        """Return it as plain data, for ``load``."""
        return [self.kind.value, self.who]

    @classmethod
    def load(cls, data: list[str]) -> Cause:
        """Make a cause from the result of ``dump``."""
        kind, who = data
        return cls(CauseKind(kind), who)


#: Causes without a requester, shared.
BOOT = Cause(CauseKind.BOOT)
EXIT = Cause(CauseKind.EXIT)
POLICY = Cause(CauseKind.POLICY)
PROBE = Cause(CauseKind.PROBE)
INTERNAL_ERROR = Cause(CauseKind.INTERNAL_ERROR)
