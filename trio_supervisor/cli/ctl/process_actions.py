"""The actions that change processes: start, stop, restart, signal, clear (ctl.md 4 and 5)."""

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

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session


class ProcessAction:
    """How one action is asked for and how its outcomes are told."""

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
        """Empty: it is done at once."""
        self.method = method
        self.method_group = method_group
        """Empty: the daemon has no such call."""
        self.method_all = method_all
        self.reasons = reasons
        """Fault code to words and exit status; no words: the fault's own text alone;
        status None: not a failure, leaves the exit status as it is (K-2)."""
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
    bad_group_status=INVALID_ARGUMENTS,  # only start says so (K-3)
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
    """All of the stop half, then all of the start half, whatever the first reported (K-1)."""
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


def _names(action: str, argument: str, status: int = GENERIC) -> list[str]:
    names = argument.split()
    if not names:
        raise UsageMistake(f"Error: {action} requires a process name", status)
    return names


def _apply(session: Session, verb: ProcessAction, names: list[str], *extra: str) -> None:
    """One blocking call for each name, left to right; a failure does not stop the rest."""
    if ALL in names:  # hides the other words, wrong ones too (K-20)
        _report_all(session, verb, _call(session, verb, ALL, verb.method_all, *extra))
        return
    for written in expanded(session, names):
        group, process = split_name(written)
        if process is not None:
            _apply_one(session, verb, written, *extra)
        elif verb.method_group:
            _apply_group(session, verb, group, *extra)
        else:
            _apply_members(session, verb, group)


def _apply_one(session: Session, verb: ProcessAction, written: str, *extra: str) -> None:
    group, process = split_name(written)
    name = short_name({"group": group, "name": process})
    try:
        _call(session, verb, name, verb.method, written, *extra)
    except Fault as fault:
        _report(session, verb, name, fault.code, fault.text)
    else:
        _report(session, verb, name, FaultCode.SUCCESS, "")


def _call(session: Session, verb: ProcessAction, who: str, method: str, *params: str) -> Any:
    """Call; for what may take long, a person is shown what is being waited for."""
    if not verb.doing or not session.is_watched:
        return session.call(method, *params)
    # Imported here because scripts have no terminal.
    from trio_supervisor.cli.ctl.progress import Progress

    with Progress(session, verb.doing, who):
        return session.call(method, *params)


def _apply_group(session: Session, verb: ProcessAction, group: str, *extra: str) -> None:
    try:
        results = _call(session, verb, f"{group}:*", verb.method_group, group, *extra)
    except Fault as fault:
        if fault.code == FaultCode.BAD_NAME:
            session.fail(f"{group}: ERROR (no such group)", verb.bad_group_status)
            hint_at_name(session, f"{group}:*")
        else:
            session.fail(f"error: {fault}")
    else:
        _report_all(session, verb, results)


def _apply_members(session: Session, verb: ProcessAction, group: str) -> None:
    """For what the daemon cannot do to a group in one call (D-8)."""
    members = [row for row in session.call("getAllProcessInfo") if row["group"] == group]
    if not members:
        session.fail(f"{group}: ERROR (no such group)", verb.bad_group_status)
    for row in members:
        _apply_one(session, verb, f"{group}:{row['name']}")


def _report_all(session: Session, verb: ProcessAction, results: list[dict[str, Any]]) -> None:
    # Signals and clears are done one after another, so their results come in order already.
    if verb is START or verb is STOP:
        results = in_priority_order(session, results)
    for row in results:
        _report(session, verb, short_name(row), row["status"], row["description"])


def _report(session: Session, verb: ProcessAction, name: str, code: int, text: str) -> None:
    if code == FaultCode.SUCCESS:
        session.line(f"{name}: {verb.done}")
        return
    # A fault the action does not expect is told in the daemon's words, and the next name
    # still has its turn (D-5).
    reason, status = verb.reasons.get(code, (text, GENERIC))
    line = f"{name}: ERROR ({reason})" if reason else text
    if status is None:
        session.line(line)
    else:
        session.fail(line, status)
        if code == FaultCode.BAD_NAME:
            hint_at_name(session, name)
        elif verb is not START:
            return
        elif code in (FaultCode.NO_FILE, FaultCode.NOT_EXECUTABLE):
            session.hints.append(lambda hints: hints.of_command(name))
        else:
            session.hints.append(lambda hints: hints.of_start(name))
