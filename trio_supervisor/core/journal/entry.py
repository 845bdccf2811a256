"""The entries of the journal."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.process.cause import Cause

#: A fact of the evidence.
Fact = str | int | float | bool
Facts = Mapping[str, Fact]

#: The evidence of entries without any, shared.
NO_FACTS: Facts = MappingProxyType({})


class OfChild(Mapping[str, Fact]):
    """The evidence that most entries have, the pid of a child: in a dict it takes four times as
    much memory, for up to 50 entries of each process."""

    __slots__ = ("_pid",)

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __getitem__(self, name: str) -> Fact:
        if name != "pid":
            raise KeyError(name)
        return self._pid

    def __iter__(self) -> Iterator[str]:
        return iter(("pid",))

    def __len__(self) -> int:
        return 1


#: Facts that differ between the turns of a loop and do not make them different entries.
_PASSING = frozenset(
    {"pid", "lifetime", "failures", "stdout", "stderr", "peak_memory", "used", "pids"}
)


#: ``new`` of the entry about an upgrade.
UPGRADED = "UPGRADED"
#: The same about a start that has taken over the programs of an earlier daemon, which was killed.
ADOPTED = "ADOPTED"


#: ``new`` of entries about what an earlier daemon, which was killed, has left.
ENDED, NOT_ENDED = "ended", "not ended"


class What(enum.Enum):
    """The subject of an entry."""

    STATE = "state"
    """A process changed its state; ``old`` and ``new`` are names of states."""
    REQUEST = "request"
    """A client, a signal or the embedding program asked for ``new``: start, stop, restart, ..."""
    VERDICT = "verdict"
    """A verdict about a process changed from ``old`` to ``new``: its health, flapping."""
    LIMIT = "limit"
    """A limit was reached; ``new`` is the name of the option."""
    LEFTOVER = "leftover"
    """A child has left processes behind; or ``new``: what an earlier daemon has left."""
    CONFIGURATION = "configuration"
    """A group was added or removed (``new``)."""
    DAEMON = "daemon"
    """The daemon changed its state; ``old`` and ``new`` are names, no ``old`` at its start. Or it
    was upgraded, or has taken over the programs of another one."""
    CLOCK = "clock"
    """The system clock was set back."""


@dataclass(slots=True)
class JournalEntry:
    """Entry of the journal. Entries are ordered by number, even if the clock was set back."""

    number: int
    """Never used twice in one journal."""
    time: float
    """Wall-clock seconds since the epoch."""
    monotonic: float
    """Seconds of the monotonic clock, which are comparable within one boot."""
    boot: str
    """Identifies the boot of the machine; empty if it is unknown."""
    process: str
    """Full name of the process; empty means the daemon."""
    what: What
    old: str
    new: str
    cause: Cause
    evidence: Facts
    count: int = 1
    """Number of times that it happened in a loop. The times and the evidence are the last ones."""
    first: float = 0.0
    """When it happened first, in wall-clock seconds; the same as ``time`` if ``count`` is 1."""

    def repeats(self, earlier: JournalEntry) -> bool:
        """Whether both tell the same, apart from time, pid, output and the like."""
        return (
            self.new == earlier.new
            and self.old == earlier.old
            and self.what is earlier.what
            and self.cause.kind is earlier.cause.kind
            and bool(self.cause.entry) == bool(earlier.cause.entry)
            and _requester(self.cause) == _requester(earlier.cause)
            and _lasting(self.evidence) == _lasting(earlier.evidence)
        )

    def is_of_kind(self, kind: str) -> bool:
        """Whether ``kind`` is what the entry is about, or the kind of its cause."""
        return kind in (self.what.value, self.cause.kind.value)


def _requester(cause: Cause) -> str:
    """Return the requester without the pid of the client, which is another one in each turn."""
    return cause.who.partition(", pid ")[0].partition(" (pid ")[0]


def _lasting(evidence: Facts) -> dict[str, Fact]:
    return {name: fact for name, fact in evidence.items() if name not in _PASSING}
