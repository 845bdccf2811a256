"""Entries of the journal in words, without the requester, whom not every client may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.journal.entry import ADOPTED, ENDED, NOT_ENDED, UPGRADED, What
from trio_supervisor.core.numbers import mebibytes
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.journal.entry import JournalEntry

#: Why a process is started or stopped, by the kind of the cause.
_WHY = {
    CauseKind.BOOT: "at the start of the supervisor (autostart)",
    CauseKind.REQUEST: "on request",
    CauseKind.CONFIGURATION: "by a change of the configuration",
    CauseKind.SHUTDOWN: "because the supervisor stops or restarts",
    CauseKind.UPGRADE: "at an upgrade of the supervisor",
    CauseKind.ADOPTION: "when the supervisor went on with the programs of a killed one",
    CauseKind.PLUGIN: "by a plugin",
    CauseKind.DEPENDENCY: "because of a dependency",
    CauseKind.LIMIT: "because a limit was reached",
    CauseKind.PROBE: "because of a check",
    CauseKind.POLICY: "by its options",
    CauseKind.EXIT: "because its child has ended",
    CauseKind.CLOCK: "because the clock was set",
    CauseKind.INTERNAL_ERROR: "because of an internal error",
}


def sentence(entry: JournalEntry) -> str:
    """Return what an entry tells, in one line that begins with a small letter."""
    return _SENTENCES[entry.what](entry)


def _fact(entry: JournalEntry, name: str) -> str:
    return str(entry.evidence.get(name, ""))


def _state(entry: JournalEntry) -> str:
    if entry.old == entry.new:
        pid = f" with pid {_fact(entry, 'pid')}" if "pid" in entry.evidence else ""
        reason = f" ({_fact(entry, 'reason')})" if "reason" in entry.evidence else ""
        return f"still {entry.new}{pid}{reason}, as under the earlier supervisor, which was killed"
    return _STATES[State[entry.new]](entry)


def _starting(entry: JournalEntry) -> str:
    if entry.cause.kind is CauseKind.POLICY:
        if entry.old == State.BACKOFF.name:
            return "started again after a failed start (startretries)"
        if entry.old == State.FATAL.name:
            return "started again after it was given up (on_fatal)"
        return "started again (autorestart)"
    return f"started {_why(entry)}"


def _why(entry: JournalEntry) -> str:
    """Why something was done; of a dependency also which, because that is no requester."""
    why = _WHY[entry.cause.kind]
    is_told = entry.cause.kind is CauseKind.DEPENDENCY and entry.cause.who
    return f"{why} ({entry.cause.who})" if is_told else why


def _running(entry: JournalEntry) -> str:
    pid = f" with pid {_fact(entry, 'pid')}" if "pid" in entry.evidence else ""
    if entry.cause.kind is CauseKind.ADOPTION:
        return f"found running{pid} {_why(entry)}"
    if entry.cause.kind is CauseKind.PROBE:
        return f"ready, running{pid}"
    return f"alive for startsecs, running{pid}"


def _stopping(entry: JournalEntry) -> str:
    return f"told to stop {_why(entry)}"


def _stopped(entry: JournalEntry) -> str:
    if entry.old == State.BACKOFF.name:
        return f"retries given up {_why(entry)}"
    if entry.old == State.STARTING.name:
        return f"stopped before it had a child, {_why(entry)}"
    return f"stopped: {_end(entry)}"


def _exited(entry: JournalEntry) -> str:
    return f"ended by itself: {_end(entry)}, lived {_fact(entry, 'lifetime')} s"


def _end(entry: JournalEntry) -> str:
    end = _fact(entry, "exit")
    return end if entry.evidence.get("expected", True) else f"{end} (not expected)"


def _backoff(entry: JournalEntry) -> str:
    ended = f"; {_fact(entry, 'exit')}" if "exit" in entry.evidence else ""
    return f"start failed: {_fact(entry, 'error')}{ended}"


def _fatal(entry: JournalEntry) -> str:
    if entry.cause.kind is CauseKind.SHUTDOWN:
        return "given up because the supervisor stops or restarts"
    return f"given up: {_fact(entry, 'rule') or 'no retry is left (startretries)'}"


def _unknown(entry: JournalEntry) -> str:
    return f"cannot be controlled: {_fact(entry, 'error')}"


def _request(entry: JournalEntry) -> str:
    return f"{entry.new} requested"


def _verdict(entry: JournalEntry) -> str:
    check = f": {_fact(entry, 'check')}" if "check" in entry.evidence else ""
    was = f", was {entry.old}" if entry.old else ""
    return f"now {entry.new}{was}{check}"


def _limit(entry: JournalEntry) -> str:
    used, limit = entry.evidence.get("used"), entry.evidence.get("limit")
    if isinstance(used, int) and isinstance(limit, int):
        return f"{entry.new} reached: it uses {mebibytes(used)} of {mebibytes(limit)}"
    return f"{entry.new} reached"


def _leftover(entry: JournalEntry) -> str:
    return f"{_LEFT.get(entry.new, entry.new)}: pid {_fact(entry, 'pids')}"


def _configuration(entry: JournalEntry) -> str:
    options = _fact(entry, "options")
    changed = f", changed: {options}" if options else ""
    file = _fact(entry, "file")
    scaled = f" from {_fact(entry, 'processes')}" if "processes" in entry.evidence else ""
    where = f" ({file})" if file else ""
    return f"group {_fact(entry, 'group')} {entry.new}{scaled}{changed}{where}"


def _daemon(entry: JournalEntry) -> str:
    if entry.new == "RUNNING":
        crash = "after_crash" in entry.evidence
        how = " after one that was killed or has crashed" if crash else ""
        return f"the supervisor has started{how}, pid {_fact(entry, 'pid')}"
    if entry.new == UPGRADED:
        return (
            f"the supervisor was upgraded from {_fact(entry, 'from')} to {_fact(entry, 'version')}"
        )
    if entry.new == ADOPTED:
        return (
            f"the supervisor has started after the one of pid {_fact(entry, 'before')} was killed, "
            f"and has taken over its programs that were running: {_fact(entry, 'programs')}"
        )
    if entry.new == "RESTARTING":
        return "the supervisor restarts: stops everything and starts again"
    return "the supervisor shuts down"


def _clock(entry: JournalEntry) -> str:
    return f"the system clock was set back by {_fact(entry, 'seconds')} s"


_STATES: dict[State, Callable[[JournalEntry], str]] = {
    State.STARTING: _starting,
    State.RUNNING: _running,
    State.STOPPING: _stopping,
    State.STOPPED: _stopped,
    State.EXITED: _exited,
    State.BACKOFF: _backoff,
    State.FATAL: _fatal,
    State.UNKNOWN: _unknown,
}
#: What was left, by ``new`` of the entry.
_LEFT = {
    "": "has left processes behind",
    ENDED: "what an earlier daemon had left was ended",
    NOT_ENDED: "what an earlier daemon had left could not be ended",
}
_SENTENCES: dict[What, Callable[[JournalEntry], str]] = {
    What.STATE: _state,
    What.REQUEST: _request,
    What.VERDICT: _verdict,
    What.LIMIT: _limit,
    What.LEFTOVER: _leftover,
    What.CONFIGURATION: _configuration,
    What.DAEMON: _daemon,
    What.CLOCK: _clock,
}
