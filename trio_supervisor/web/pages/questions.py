"""The questions that are asked before an action is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName
from trio_supervisor.core.process.states import SIGNALLABLE_STATES
from trio_supervisor.web.pages.forms import GROUP, PROCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

_VERBS = {
    "refresh": "Show",
    "clearlog": "Clear",
    "refreshprocess": "Refresh",
    **dict.fromkeys(("start", "startgroup", "startall"), "Start"),
    **dict.fromkeys(("stop", "stopgroup", "stopall"), "Stop"),
    **dict.fromkeys(("restart", "restartgroup", "restartall"), "Restart"),
}
_OF_ALL = frozenset({"refresh", "startall", "stopall", "restartall"})


def question_of(supervisor: Supervisor, fields: Mapping[str, str]) -> str:
    """Return the question for the action of a form, even if the action is not possible."""
    action, name = fields["action"], fields.get(PROCESS) or fields.get(GROUP, "")
    verb = _VERBS.get(action, action)
    if action in _OF_ALL:
        daemon = supervisor.config.daemon.identifier
        return f"{verb} {_count(supervisor.processes())} of the daemon {daemon}?"
    try:
        if action.endswith("group"):
            members = supervisor.group(name).processes.values()
            return f"{verb} {_count(members)} of the group {name}?"
        process = supervisor.process(name)
    except BadName:  # reported when it is tried
        return f"{verb} {name}".strip() + "?"
    return _of_logs(process) if action == "clearlog" else f"{verb} the process {name}?"


def _count(processes: Iterable[Process]) -> str:
    """Describe processes, as ``all 3 processes (2 running)``."""
    states = [process.state for process in processes]
    living = sum(state in SIGNALLABLE_STATES for state in states)
    named = f"all {len(states)} processes" if len(states) != 1 else "the only process"
    return f"{named} ({living} running)"


def _of_logs(process: Process) -> str:
    channels = [c.name for c in (process.stdout, process.stderr) if c.logfile is not None]
    if not channels:
        return f"Clear the logs of {process.full_name}? It has no log file."
    logs = f"{len(channels)} logs" if len(channels) > 1 else "1 log"
    return (
        f"Clear {logs} of {process.full_name} ({' and '.join(channels)})? "
        "What has been written is lost."
    )
