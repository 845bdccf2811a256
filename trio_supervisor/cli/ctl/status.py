"""``status`` with options: more columns, another order, fewer rows.

Without options it is in ``status_actions.py``.
"""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.arguments import mistake
from trio_supervisor.cli.ctl.names import ALL, chosen_or_told, short_name
from trio_supervisor.cli.ctl.status_actions import SOME_UNKNOWN, judge, show_status
from trio_supervisor.cli.ctl.text import cells, duration, fit, folded, plain, size
from trio_supervisor.core.process.states import SIGNALLABLE_STATES, FaultCode, State

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session

    Row = dict[str, Any]

GAP = "  "
#: If the last column has fewer cells than this, its continuation lines begin at INDENT instead of
#: below it.
NARROWEST_REASON = 24
INDENT = 4


def _by_name(row: Row) -> tuple[object, ...]:
    return row["group"], row["name"]


#: Values of --sort and their keys. The largest come first, except for names and states.
SORTS: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    "name": _by_name,
    "state": lambda row: (row["statename"], *_by_name(row)),
    "uptime": lambda row: (-row["uptime"], *_by_name(row)),
    "restarts": lambda row: (-row["restarts"], *_by_name(row)),
    "cpu": lambda row: (-row["cpu_seconds"], *_by_name(row)),
    "memory": lambda row: (-row["memory"], *_by_name(row)),
}
#: Header of a column, what it shows, whether it is a number.
COLUMNS: tuple[tuple[str, Callable[[Row], str], bool], ...] = (
    ("NAME", short_name, False),
    ("STATE", lambda row: str(row["statename"]), False),
    ("PID", lambda row: str(row["pid"] or "-"), True),
    ("UPTIME", lambda row: duration(row["uptime"]) if _has_child(row) else "-", True),
    ("RESTARTS", lambda row: str(row["restarts"]), True),
    ("CPU", lambda row: duration(int(row["cpu_seconds"])) if _has_child(row) else "-", True),
    ("MEMORY", lambda row: size(row["memory"]) if _has_child(row) else "-", True),
    ("REASON", lambda row: plain("; ".join(_reasons(row))), False),
)
#: Counters of a process that are shown if they are not 0, and how many of them are called.
COUNTERS = (
    ("automatic_restarts", "automatic restart", "automatic restarts"),
    ("failed_starts", "failed start", "failed starts"),
)


def _has_child(row: Row) -> bool:
    return row["state"] in SIGNALLABLE_STATES


def _reasons(row: Row) -> list[str]:
    """Return why a process does not run, or how its last child ended, and its counters."""
    found = [text for text in (row["reason"], row["flapping"], row["told_status"]) if text]
    last = row["last_exit"]
    if last and not found:
        ago = duration(max(0, int(row["now"] - last["time"])))
        expected = "" if last["expected"] else ", not expected"
        lived = duration(int(last["lifetime"]))
        found.append(f"last exit {ago} ago: {last['description']}{expected}, lived {lived}")
    if not found and row["last_start"]:
        found.append(row["last_start"]["text"])
    if row["limits"] and _has_child(row):
        found.append(row["limits"])
    if row["adopted"]:
        found.append(row["adopted"])
    if row["left_behind"]:
        found.append(f"has left processes behind: pid {', '.join(map(str, row['left_behind']))}")
    for key, one, several in COUNTERS:
        if row[key]:
            found.append(f"{row[key]} {one if row[key] == 1 else several}")
    return found


def status(session: Session, arguments: Arguments) -> None:
    rows = select(session, arguments)
    if rows is None:
        return
    if arguments.has("wide"):
        _show_wide(session, rows)
    else:
        show_status(session, rows)
    judge(session, rows)


def select(session: Session, arguments: Arguments) -> list[Row] | None:
    """Return the requested rows, sorted and filtered.

    None means that no daemon answers, which is reported.
    """
    sort = arguments.options.get("sort", "")
    if sort and sort not in SORTS:
        raise mistake(f"--sort takes one of {', '.join(SORTS)}, not {sort!r}")
    states = arguments.options.get("state", "").upper().split(",")
    for state in states:
        if arguments.has("state") and state not in State.__members__:
            raise mistake(f"no such state: {state}; there are {', '.join(State.__members__)}")
    if not session.upcheck():
        session.exit_status = SOME_UNKNOWN
        return None
    rows = all_details(session)
    if arguments.words and ALL not in arguments.words:
        rows = chosen_or_told(session, rows, arguments.words, SOME_UNKNOWN)
    if arguments.has("state"):
        rows = [row for row in rows if row["statename"] in states]
    return sorted(rows, key=SORTS[sort]) if sort else rows


def all_details(session: Session) -> list[Row]:
    """Fetch all details of all processes; from Supervisor's daemon those that it knows."""
    try:
        rows: list[Row] = session.own_call("getAllProcessDetails")
    except Fault as fault:
        if fault.code != FaultCode.UNKNOWN_METHOD:
            raise
        rows = session.call("getAllProcessInfo")
        for row in rows:
            uptime = row["now"] - row["start"] if row["state"] in SIGNALLABLE_STATES else 0
            row |= {"uptime": uptime, "reason": row["spawnerr"], "full_name": short_name(row)}
            row |= {"restarts": 0, "cpu_seconds": 0.0, "memory": 0, "last_exit": {}, "flapping": ""}
            row["last_start"] = {}
            row["told_status"] = row["limits"] = row["adopted"] = ""
            row["left_behind"] = []
            row |= dict.fromkeys((key for key, _, _ in COUNTERS), 0)
    return rows


def _show_wide(session: Session, rows: list[Row]) -> None:
    table = [[show(row) for _, show, _ in COLUMNS] for row in rows]
    widths = [
        max(cells(title), *(cells(line[index]) for line in table)) if table else cells(title)
        for index, (title, _, _) in enumerate(COLUMNS)
    ]
    titles = [title for title, _, _ in COLUMNS]
    width = session.output.width
    reason = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    indent = INDENT if width is None or width - reason < NARROWEST_REASON else reason
    for number, line in enumerate([titles, *table]):
        parts = [
            fit(cell, room, right=right)
            for cell, room, (_, _, right) in zip(line, widths, COLUMNS, strict=True)
        ]
        row = GAP.join(parts).rstrip()
        first, *further = [row] if width is None else folded(row, width, indent)
        start = len(parts[0]) + len(GAP)
        end = start + len(parts[1])
        if number and end <= len(first):
            first = first[:start] + session.output.painted(first[start:end], line[1]) + first[end:]
        for text in (first, *further):
            session.line(text)
