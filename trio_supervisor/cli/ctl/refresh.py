"""The command ``refresh``: programs take up what has changed, without a restart."""

from __future__ import annotations

from trio_supervisor.cli.ctl.names import (
    ALL,
    chosen_or_told,
    in_priority_order,
    is_pattern,
    short_name,
    split_name,
)
from trio_supervisor.cli.ctl.process_actions import REFRESH, report
from trio_supervisor.cli.ctl.session import UsageMistake

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session


def refresh(session: Session, arguments: Arguments) -> None:
    if not arguments.words:
        raise UsageMistake("Error: refresh requires a process name")
    if not session.upcheck():
        return
    names = [] if ALL in arguments.words else _names(session, arguments.words)
    if not names and ALL not in arguments.words:
        return
    results: list[dict[str, Any]] = session.own_call("refresh", names)
    for row in in_priority_order(session, results):
        told = row["description"].removeprefix("FAILED: ")
        report(session, REFRESH, short_name(row), row["status"], told)


def _names(session: Session, words: list[str]) -> list[str]:
    """Return the names as the daemon takes them: ``group:*`` stays as it is."""
    rows = session.call("getAllProcessInfo")
    names: list[str] = []
    for word in words:
        found = chosen_or_told(session, rows, [word])
        group, process = split_name(word)
        several = process is None and not is_pattern(word)
        names += [f"{group}:*"] if found and several else [short_name(row) for row in found]
    return names
