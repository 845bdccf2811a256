"""Lines of the activity log that tell who has asked for what, for ``[supervisord] extended``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.escape import escaped
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.cause import CauseKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.journal.entry import JournalEntry

#: Kinds of causes whose ``who`` is a requester. That of a dependency is another process.
_REQUESTED = frozenset(
    {CauseKind.REQUEST, CauseKind.PLUGIN, CauseKind.CONFIGURATION, CauseKind.SHUTDOWN}
)


#: What was done with a group.
_ACTIONS = {"added": "addition", "removed": "removal", "scaled": "scaling"}


def request_line(entry: JournalEntry) -> str:
    """Return the line about an entry: ``stop of web requested by uid 0 (pid 7 at connect)``.

    Empty if the entry is about no request, or about what follows from one.
    """
    render = _LINES.get(entry.what)
    if render is None or not entry.cause.who or entry.cause.kind not in _REQUESTED:
        return ""
    line = f"{render(entry)} requested by {entry.cause.who}"
    return escaped(line).replace("\n", " ")  # a requester may choose its name


def _request(entry: JournalEntry) -> str:
    if not entry.process:
        return entry.new
    return f"{entry.new} {'to' if entry.new.startswith('signal ') else 'of'} {entry.process}"


def _configuration(entry: JournalEntry) -> str:
    return f"{_ACTIONS[entry.new]} of group {entry.evidence.get('group', '')}"


def _daemon(entry: JournalEntry) -> str:
    return "restart" if entry.new == "RESTARTING" else "shutdown"


_LINES: dict[What, Callable[[JournalEntry], str]] = {
    What.REQUEST: _request,
    What.CONFIGURATION: _configuration,
    What.DAEMON: _daemon,
}
