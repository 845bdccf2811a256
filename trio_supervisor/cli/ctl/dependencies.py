"""The command ``graph``, and starts without dependencies."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.names import chosen_or_told, matching, short_name
from trio_supervisor.cli.ctl.process_actions import START, report
from trio_supervisor.cli.ctl.session import INVALID_ARGUMENTS, UsageMistake
from trio_supervisor.cli.ctl.text import fit, plain
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session

    Row = dict[str, Any]

#: Between two columns.
GAP = "  "


def start(session: Session, arguments: Arguments) -> None:
    """Start processes without their dependencies, one after the other."""
    if not arguments.words:
        raise UsageMistake("Error: start requires a process name", INVALID_ARGUMENTS)
    if not session.upcheck():
        return
    for row in matching(session, arguments.words):
        name = short_name(row)
        try:
            session.own_call("startWithoutDependencies", name)
        except Fault as fault:
            report(session, START, name, fault.code, fault.text)
        else:
            report(session, START, name, FaultCode.SUCCESS, "")


def graph(session: Session, arguments: Arguments) -> None:
    if arguments.has("json"):
        # Imported here because loading it takes time.
        from trio_supervisor.cli.ctl.json import answer

        answer(session, arguments, lambda *given: {"processes": _rows(*given)})
        return
    rows = _rows(session, arguments)
    if not arguments.words:
        rows = [row for row in rows if row["depends_on"] or row["needed_by"]]
        if not rows and not session.exit_status:
            session.line("no process depends on another one")
    width = max((len(plain(row["full_name"])) for row in rows), default=0)
    states = max((len(row["statename"]) for row in rows), default=0)
    for row in rows:
        cells = [fit(plain(row["full_name"]), width), fit(row["statename"], states), *_told(row)]
        session.line(GAP.join(cells).rstrip())


def _rows(session: Session, arguments: Arguments) -> list[Row]:
    if not session.upcheck():
        return []
    rows: list[Row] = session.own_call("getDependencies")
    return chosen_or_told(session, rows, arguments.words) if arguments.words else rows


def _told(row: Row) -> list[str]:
    parts = []
    if row["depends_on"]:
        parts.append(f"needs {', '.join(plain(need['written']) for need in row['depends_on'])}")
    if row["on_dependency_stop"] != "keep":
        parts.append(f"({row['on_dependency_stop']} with them)")
    if row["needed_by"]:
        parts.append(f"needed by {', '.join(map(plain, row['needed_by']))}")
    if row["waiting"]:
        parts.append(plain(row["waiting"]))
    return [", ".join(parts).replace(", (", " (")]
