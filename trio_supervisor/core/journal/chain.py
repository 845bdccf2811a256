"""The chain of causes that led a process to its state, and what would start it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.restart import RestartPolicy
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.core.process.record import ProcessRecord

#: Most entries of a chain: more than a restart by a dependency of a dependency has.
LONGEST_CHAIN = 20
#: The end of a chain whose next entry is not kept any more.
FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Why:
    """Explanation of the state of a process."""

    process: str
    state: State
    chain: tuple[JournalEntry, ...]
    """From the last change of its state back to what nothing else has caused: a request, a change
    of the configuration, the start of the daemon, an exit that was not requested. Empty if nothing
    has happened to it."""
    root: str
    """Kind of the last entry's cause; FORGOTTEN if that entry was caused by one that is not kept
    any more; empty if there is no chain."""
    next: str
    """What would start it, or what it waits for; empty while it runs."""


def chain_of(
    entries: Iterable[JournalEntry], find: Callable[[int], JournalEntry | None]
) -> tuple[tuple[JournalEntry, ...], str]:
    """Return the chain that ends with the last change of state among the entries, and its root."""
    entry = next((e for e in reversed([*entries]) if e.what is What.STATE), None)
    if entry is None:
        return (), ""
    return continued((entry,), find)


def continued(
    chain: tuple[JournalEntry, ...], find: Callable[[int], JournalEntry | None]
) -> tuple[tuple[JournalEntry, ...], str]:
    """Return a chain with what has caused its last entry, and its root."""
    while chain[-1].cause.entry and len(chain) < LONGEST_CHAIN:
        earlier = find(chain[-1].cause.entry)
        if earlier is None or earlier.number >= chain[-1].number:
            return chain, FORGOTTEN
        chain = (*chain, earlier)
    return chain, chain[-1].cause.kind.value


def what_starts(config: ProcessConfig, record: ProcessRecord, now: float) -> str:
    """Tell what would start a process that does not run; empty if it runs or is about to.

    ``now`` is the time of the monotonic clock of ``record``.
    """
    if record.due < math.inf:
        seconds = max(0.0, record.due - now)
        option = _STARTED_BY.get(record.state, "startretries")
        return f"{option}: it is started again in {seconds:.0f} s"
    return _STARTS[record.state](config, record)


def _nothing(config: ProcessConfig, record: ProcessRecord) -> str:
    return ""


def _starting(config: ProcessConfig, record: ProcessRecord) -> str:
    return reason(config, record)  # what it waits for until it is ready


def _stopped(config: ProcessConfig, record: ProcessRecord) -> str:
    if config.autostart:
        return "a request to start it, or the next start of the supervisor (autostart)"
    return "a request to start it; autostart is off"


def _exited(config: ProcessConfig, record: ProcessRecord) -> str:
    if config.oneshot:
        return "a request to start it; it is a oneshot and has succeeded"
    if config.autorestart is Autorestart.NEVER:
        return "a request to start it; autorestart is off"
    last = record.last_exit
    if RestartPolicy.of(config).prevents(last):
        return f"a request to start it; {last} is in restart_prevent"
    unexpected_only = config.autorestart is Autorestart.UNEXPECTED
    if unexpected_only and last is not None and last.expected(config.exitcodes):
        return "a request to start it; autorestart=unexpected ignores an expected end"
    return "a request to start it"


def _fatal(config: ProcessConfig, record: ProcessRecord) -> str:
    rule = "" if record.transition is None else record.transition.evidence.rule
    return f"a request to start it; {rule or f'startretries={config.startretries} is used up'}"


def _unknown(config: ProcessConfig, record: ProcessRecord) -> str:
    return "nothing, until the child that cannot be controlled has ended"


#: Options that start a process again, by its state before.
_STARTED_BY = {State.EXITED: "autorestart", State.FATAL: "on_fatal"}
_STARTS: dict[State, Callable[[ProcessConfig, ProcessRecord], str]] = {
    State.STOPPED: _stopped,
    State.STARTING: _starting,
    State.RUNNING: _nothing,
    State.STOPPING: _nothing,
    State.BACKOFF: _nothing,
    State.EXITED: _exited,
    State.FATAL: _fatal,
    State.UNKNOWN: _unknown,
}
