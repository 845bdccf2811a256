"""The read-only actions: status, pid, avail, version, open, tail, maintail."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.names import ALL, chosen_or_told, expanded, hint_at_name, short_name
from trio_supervisor.cli.ctl.session import NOT_RUNNING, UsageMistake

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

#: Columns of the status table: the narrowest name column, its gap, the state.
NAME_WIDTH = 30
NAME_GAP = 3
STATE_WIDTH = 10
#: Exit statuses of ``status``, for which the LSB has separate numbers.
SOME_STOPPED = 3
SOME_UNKNOWN = 4

#: Bytes that tail and maintail show by default.
TAIL_BYTES = 1600
#: An option, a name and a channel.
MOST_TAIL_WORDS = 3
CHANNEL_METHODS = {"stdout": "readProcessStdoutLog", "stderr": "readProcessStderrLog"}
#: The names of STOPPED_STATES, whose import would take a sixth of a run.
STOPPED_NAMES = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})


def status(session: Session, argument: str) -> None:
    if not session.upcheck():
        session.exit_status = SOME_UNKNOWN
        return
    rows = session.call("getAllProcessInfo")
    names = argument.split()
    if names and ALL not in names:
        rows = chosen_or_told(session, rows, names, SOME_UNKNOWN)
    show_status(session, rows)
    judge(session, rows)


def show_status(session: Session, rows: list[dict[str, Any]]) -> None:
    """Print the table; states are coloured on a terminal only."""
    width = max([NAME_WIDTH, *(len(short_name(row)) for row in rows)]) + NAME_GAP
    output = session.output
    for row in rows:
        name, state = short_name(row).ljust(width), row["statename"].ljust(STATE_WIDTH)
        if output.coloured:
            state = output.painted(state, row["statename"])
        output.line(f"{name}{state}{row['description']}")


def judge(session: Session, rows: list[dict[str, Any]]) -> None:
    """Set the exit status for the rows shown."""
    if any(row["statename"] in STOPPED_NAMES for row in rows):
        session.exit_status = SOME_STOPPED  # takes precedence over SOME_UNKNOWN


def pid(session: Session, argument: str) -> None:
    names = argument.split()
    if not names:
        session.line(str(session.call("getPID")))
        return
    if ALL in names:
        for row in session.call("getAllProcessInfo"):
            session.line(str(row["pid"]))  # a pid of 0 is no failure here
        return
    for _, number in pids(session, names):
        session.line(str(number))


def pids(session: Session, names: list[str]) -> Iterator[tuple[str, int]]:
    """Yield the name and pid of each known process; unknown ones and pid 0 set the exit status."""
    for name in expanded(session, names):
        try:
            number = session.call("getProcessInfo", name)["pid"]
        except Fault as fault:
            # Imported here because only failures need it.
            from trio_supervisor.core.process.states import FaultCode

            if fault.code != FaultCode.BAD_NAME:
                raise
            session.fail(f"No such process {name}")
            hint_at_name(session, name)
            continue
        if number == 0:
            session.exit_status = NOT_RUNNING
        yield name, number


def avail(session: Session, argument: str) -> None:
    for row in session.call("getAllConfigInfo"):
        used = "in use" if row["inuse"] else "avail"
        auto = "auto" if row["autostart"] else "manual"
        priorities = f"{row['group_prio']}:{row['process_prio']}"
        session.line(f"{short_name(row):<32} {used:<9} {auto:<9} {priorities}")


def version(session: Session, argument: str) -> None:
    session.line(str(session.call("getSupervisorVersion")))


def open_url(session: Session, argument: str) -> None:
    if argument.partition("://")[0] not in ("http", "https", "unix"):
        session.fail("ERROR: url must be http:// or unix://")
        return
    session.options.serverurl = argument
    session.disconnect()
    status(session, "")
    session.exit_status = 0  # whatever status has found


def tail(session: Session, argument: str) -> None:
    words = argument.split()
    if not words:
        raise UsageMistake("Error: too few arguments")
    if len(words) > MOST_TAIL_WORDS:
        raise UsageMistake("Error: too many arguments")
    option = words.pop(0) if words[0].startswith("-") else None
    if not words:
        raise UsageMistake("Error: tail requires process name", with_help=False)
    name = words[0]
    channel = words[-1].lower() if len(words) > 1 else "stdout"
    if channel not in CHANNEL_METHODS:
        raise UsageMistake(f"Error: bad channel '{channel}'", with_help=False)
    if len(words) > 2:  # tail A B stderr: B would be ignored
        raise UsageMistake("Error: too many arguments")
    length = 0 if option == "-f" else _byte_count(option)
    fits = expanded(session, [name])
    if len(fits) > 1:
        raise UsageMistake(f"Error: tail takes one process, {name} fits {', '.join(fits)}")
    (name,) = fits
    if option == "-f":
        _follow(session, f"/logtail/{name}/{channel}")
        return
    try:
        text = session.call(CHANNEL_METHODS[channel], name, -length, 0)
    except Fault as fault:
        _report_log_fault(session, name, fault)
    else:
        session.line(text)


def maintail(session: Session, argument: str) -> None:
    words = argument.split()
    if len(words) > 1:
        raise UsageMistake("Error: too many arguments")
    option = words[0] if words else None
    if option == "-f":
        _follow(session, "/mainlogtail")
        return
    length = _byte_count(option)
    try:
        text = session.call("readLog", -length, 0)
    except Fault as fault:
        _report_log_fault(session, "supervisord", fault)
    else:
        session.line(text)


def _follow(session: Session, path: str) -> None:
    # Imported here because scripts mostly do not follow logs.
    from trio_supervisor.cli.ctl.follow import follow

    follow(session, path)


def _byte_count(option: str | None) -> int:
    """Parse ``-N``, N being an integer: ``-0`` means the whole log, ``--8`` skips 8 bytes."""
    if option is None:
        return TAIL_BYTES
    if option.startswith("-"):
        try:
            return int(option[1:])
        except ValueError:
            pass
    raise UsageMistake(f"Error: bad argument {option}", with_help=False)


def _report_log_fault(session: Session, name: str, fault: Fault) -> None:
    # Imported here because only failures need it.
    from trio_supervisor.core.process.states import FaultCode

    told = {
        FaultCode.BAD_NAME: "no such process name",
        FaultCode.NO_FILE: "no log file",
        FaultCode.FAILED: "unknown error reading log",
    }
    if fault.code not in told:
        raise fault
    session.fail(f"{name}: ERROR ({told[FaultCode(fault.code)]})")
