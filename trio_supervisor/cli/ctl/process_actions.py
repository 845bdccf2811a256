"""The actions that change processes: start, stop, restart, signal, clear."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.names import (
    ALL,
    expanded,
    hint_at_name,
    in_priority_order,
    short_name,
    split_name,
)
from trio_supervisor.cli.ctl.session import (
    GENERIC,
    INVALID_ARGUMENTS,
    NOT_RUNNING,
    UsageMistake,
)
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session


class ProcessAction:
    """The calls of an action and the texts of its outcomes."""

    __slots__ = (
        "bad_group_status",
        "doing",
        "done",
        "method",
        "method_all",
        "method_group",
        "reasons",
    )

    def __init__(
        self,
        done: str,
        method: str,
        method_all: str,
        reasons: Mapping[int, tuple[str, int | None]],
        *,
        method_group: str = "",
        doing: str = "",
        bad_group_status: int = GENERIC,
    ) -> None:
        self.done = done
        self.doing = doing
        """The word for progress; empty: the call returns at once."""
        self.method = method
        self.method_group = method_group
        """Empty: the daemon has no such call for a group."""
        self.method_all = method_all
        self.reasons = reasons
        """Fault code to text and exit status.

        An empty text means to print the fault's own text alone. The exit status None means that
        this is no failure: start and stop are idempotent for scripts.
        """
        self.bad_group_status = bad_group_status


START = ProcessAction(
    "started",
    "startProcess",
    "startAllProcesses",
    {
        FaultCode.BAD_NAME: ("no such process", GENERIC),
        FaultCode.NO_FILE: ("no such file", GENERIC),
        FaultCode.NOT_EXECUTABLE: ("file is not executable", GENERIC),
        FaultCode.ABNORMAL_TERMINATION: ("abnormal termination", NOT_RUNNING),
        FaultCode.SPAWN_ERROR: ("spawn error", NOT_RUNNING),
        FaultCode.ALREADY_STARTED: ("already started", None),
    },
    method_group="startProcessGroup",
    doing="starting",
    bad_group_status=INVALID_ARGUMENTS,  # only for start, as in supervisorctl
)
STOP = ProcessAction(
    "stopped",
    "stopProcess",
    "stopAllProcesses",
    {
        FaultCode.BAD_NAME: ("no such process", GENERIC),
        FaultCode.FAILED: ("", GENERIC),
        FaultCode.NOT_RUNNING: ("not running", None),
    },
    method_group="stopProcessGroup",
    doing="stopping",
)
SIGNAL = ProcessAction(
    "signalled",
    "signalProcess",
    "signalAllProcesses",
    {
        FaultCode.BAD_NAME: ("no such process", GENERIC),
        FaultCode.BAD_SIGNAL: ("bad signal name", GENERIC),
        FaultCode.FAILED: ("", GENERIC),
        FaultCode.NOT_RUNNING: ("not running", NOT_RUNNING),
    },
    method_group="signalProcessGroup",
)
REFRESH = ProcessAction(
    "refreshed",
    "",
    "",
    {
        FaultCode.BAD_NAME: ("no such process", GENERIC),
        FaultCode.FAILED: ("", GENERIC),
        FaultCode.NOT_RUNNING: ("not running", NOT_RUNNING),
    },
)
CLEAR = ProcessAction(
    "cleared",
    "clearProcessLogs",
    "clearAllProcessLogs",
    {
        FaultCode.BAD_NAME: ("no such process", GENERIC),
        FaultCode.FAILED: ("failed", GENERIC),
    },
)


def start(session: Session, argument: str) -> None:
    names = _names("start", argument, INVALID_ARGUMENTS)
    _apply(session, START, names)


def stop(session: Session, argument: str) -> None:
    _apply(session, STOP, _names("stop", argument))


def restart(session: Session, argument: str) -> None:
    """Stop all processes, then start all, whatever the stops reported.

    Scripts look for "not running" and "started" in the output, so both halves are printed.
    """
    names = _names("restart", argument)
    _apply(session, STOP, names)
    _apply(session, START, names)


def signal(session: Session, argument: str) -> None:
    words = argument.split()
    if len(words) < 2:
        raise UsageMistake("Error: signal requires a signal name and a process name")
    _apply(session, SIGNAL, words[1:], words[0])


def clear(session: Session, argument: str) -> None:
    _apply(session, CLEAR, _names("clear", argument))


def _names(name: str, argument: str, status: int = GENERIC) -> list[str]:
    names = argument.split()
    if not names:
        raise UsageMistake(f"Error: {name} requires a process name", status)
    return names


def _apply(session: Session, action: ProcessAction, names: list[str], *extra: str) -> None:
    """Make one blocking call for each name, in order; a failure does not stop the rest."""
    if ALL in names:  # the other words are then ignored, even unknown names
        _report_all(session, action, _call(session, action, ALL, action.method_all, *extra))
        return
    for written in expanded(session, names):
        group, process = split_name(written)
        if process is not None:
            _apply_one(session, action, written, *extra)
        elif action.method_group:
            _apply_group(session, action, group, *extra)
        else:
            _apply_members(session, action, group)


def _apply_one(session: Session, action: ProcessAction, written: str, *extra: str) -> None:
    group, process = split_name(written)
    name = short_name({"group": group, "name": process})
    try:
        _call(session, action, name, action.method, written, *extra)
    except Fault as fault:
        report(session, action, name, fault.code, fault.text)
    else:
        report(session, action, name, FaultCode.SUCCESS, "")


def _call(session: Session, action: ProcessAction, who: str, method: str, *params: str) -> Any:
    """Call the daemon; on a terminal show the progress of a call that may take long."""
    if not action.doing or not session.is_watched:
        return session.call(method, *params)
    # Imported here because scripts have no terminal.
    from trio_supervisor.cli.ctl.progress import Progress

    with Progress(session, action.doing, who):
        return session.call(method, *params)


def _apply_group(session: Session, action: ProcessAction, group: str, *extra: str) -> None:
    try:
        results = _call(session, action, f"{group}:*", action.method_group, group, *extra)
    except Fault as fault:
        if fault.code == FaultCode.BAD_NAME:
            session.fail(f"{group}: ERROR (no such group)", action.bad_group_status)
            hint_at_name(session, f"{group}:*")
        else:
            session.fail(f"error: {fault}")
    else:
        _report_all(session, action, results)


def _apply_members(session: Session, action: ProcessAction, group: str) -> None:
    """Call for each process of a group, where the daemon has no call for groups."""
    members = [row for row in session.call("getAllProcessInfo") if row["group"] == group]
    if not members:
        session.fail(f"{group}: ERROR (no such group)", action.bad_group_status)
    for row in members:
        _apply_one(session, action, f"{group}:{row['name']}")


def _report_all(session: Session, action: ProcessAction, results: list[dict[str, Any]]) -> None:
    # Results of signals and clears are in order already: the daemon does one after another.
    if action is START or action is STOP:
        results = in_priority_order(session, results)
    for row in results:
        report(session, action, short_name(row), row["status"], row["description"])


def report(session: Session, action: ProcessAction, name: str, code: int, text: str) -> None:
    """Print the outcome of an action for one process, and set the exit status."""
    if code == FaultCode.SUCCESS:
        session.line(f"{name}: {action.done}")
        return
    # An unexpected fault is printed with the daemon's text, and the next name is still handled.
    reason, status = action.reasons.get(code, (text, GENERIC))
    line = f"{name}: ERROR ({reason})" if reason else text
    if status is None:
        session.line(line)
    else:
        session.fail(line, status)
        if code == FaultCode.BAD_NAME:
            hint_at_name(session, name)
        elif action is not START:
            return
        elif code in (FaultCode.NO_FILE, FaultCode.NOT_EXECUTABLE):
            session.hints.append(lambda hints: hints.of_command(name))
        else:
            session.hints.append(lambda hints: hints.of_start(name))
