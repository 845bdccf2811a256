"""Why something happens to a process."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CauseKind(enum.Enum):
    """What kind of thing made a transition happen."""

    BOOT = "boot"
    """``autostart`` when the supervisor came up."""
    REQUEST = "request"
    EXIT = "exit"
    """The child has ended, or could not be made."""
    POLICY = "policy"
    """An option of the process: startsecs, startretries, autorestart, stopwaitsecs."""
    DEPENDENCY = "dependency"
    PROBE = "probe"
    """The program itself, or a check of it: it has said that it has started."""
    LIMIT = "limit"
    CONFIGURATION = "configuration"
    """A group was added, replaced or removed."""
    SHUTDOWN = "shutdown"
    """Everything stops: the supervisor ends or starts over."""
    UPGRADE = "upgrade"
    PLUGIN = "plugin"
    """A method of an RPC interface that is not ours."""
    INTERNAL_ERROR = "internal error"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a transition was made."""

    kind: CauseKind
    who: str = ""
    """Who asked, as people are to read it: ``ann from 10.0.0.7``, ``python``; empty: nobody."""
    entry: int | None = None
    """Number of the history entry that led to this one; None if there is none."""

    def dump(self) -> list[str | int | None]:
        """Return it as plain data, for ``load``."""
        return [self.kind.value, self.who, self.entry]

    @classmethod
    def load(cls, data: list[str | int | None]) -> Cause:
        """Make it again from what ``dump`` returned."""
        kind, who, entry = data
        assert isinstance(who, str)
        assert not isinstance(entry, str)
        return cls(CauseKind(kind), who, entry)


#: Causes without a person behind them, made once.
BOOT = Cause(CauseKind.BOOT)
EXIT = Cause(CauseKind.EXIT)
POLICY = Cause(CauseKind.POLICY)
PROBE = Cause(CauseKind.PROBE)
INTERNAL_ERROR = Cause(CauseKind.INTERNAL_ERROR)
