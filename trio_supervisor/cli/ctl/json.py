"""Supervisor's actions with ``--json``: one document on standard output, with errors inside it.

The exit status is that of the action without ``--json``. Where the text of the action is the only
source of an outcome or an error, the action is run with a session that records its lines.
"""

from __future__ import annotations

import json

from trio_supervisor.cli.ctl import status as ctl_status
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.session import GENERIC, Session, UsageMistake, explained
from trio_supervisor.cli.ctl.status_actions import judge, pids

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.cli.ctl.arguments import Arguments

    Fill = Callable[["Recorder", Arguments], dict[str, object]]


class Recorder(Session):
    """A session that records lines and errors, over the connection of another session."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.options, session.output.stream)
        self._client = session.client()
        self.lines: list[str] = []
        self.errors: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def fail(self, text: str, status: int = GENERIC) -> None:
        self.errors.append(text)
        self.exit_status = status


def answer(session: Session, arguments: Arguments, fill: Fill) -> None:
    """Print the document that ``fill`` returns; errors are in it, and set the exit status."""
    recorder = Recorder(session)
    document: dict[str, object] = {}
    try:
        document = fill(recorder, arguments)
    except UsageMistake:
        raise
    except Exception as error:  # reported inside the document
        recorder.fail(*explained(session, error))
    document["errors"] = recorder.errors
    session.line(json.dumps(document, ensure_ascii=False))
    session.exit_status = recorder.exit_status


def status(session: Session, arguments: Arguments) -> None:
    """Run ``status`` with options; only ``--json`` asks for a document."""
    if not arguments.has("json"):
        ctl_status.status(session, arguments)
        return
    answer(session, arguments, _status)


def _status(recorder: Recorder, arguments: Arguments) -> dict[str, object]:
    rows = ctl_status.select(recorder, arguments) or []
    judge(recorder, rows)
    return {"processes": rows}


def avail(session: Session, arguments: Arguments) -> None:
    answer(session, arguments, _avail)


def _avail(recorder: Recorder, arguments: Arguments) -> dict[str, object]:
    if arguments.words:
        raise UsageMistake("Error: avail accepts no arguments")
    return {"processes": recorder.call("getAllConfigInfo")}


def pid(session: Session, arguments: Arguments) -> None:
    answer(session, arguments, _pid)


def _pid(recorder: Recorder, arguments: Arguments) -> dict[str, object]:
    if not recorder.upcheck():
        return {}
    if not arguments.words:
        return {"pid": recorder.call("getPID")}
    found = pids(recorder, arguments.words)
    return {"processes": [{"name": name, "pid": number} for name, number in found]}


def reread(session: Session, arguments: Arguments) -> None:
    answer(session, arguments, _reread)


def _reread(recorder: Recorder, arguments: Arguments) -> dict[str, object]:
    COMMANDS["reread"].perform_plain(recorder, " ".join(arguments.words))
    outcomes = dict(_outcomes(recorder))
    return {
        key: [name for name, outcome in outcomes.items() if outcome == word]
        for key, word in (
            ("added", "available"),
            ("changed", "changed"),
            ("removed", "disappeared"),
        )
    }


def update(session: Session, arguments: Arguments) -> None:
    answer(session, arguments, _update)


def _update(recorder: Recorder, arguments: Arguments) -> dict[str, object]:
    COMMANDS["update"].perform_plain(recorder, " ".join(arguments.words))
    done: dict[str, list[str]] = {}
    for group, outcome in _outcomes(recorder):
        done.setdefault(group, []).append(outcome)
    return {"groups": [{"group": group, "done": outcomes} for group, outcomes in done.items()]}


def _outcomes(recorder: Recorder) -> list[tuple[str, str]]:
    """Return group and outcome of each recorded line ``group: outcome``."""
    lines = (line.rpartition(": ") for line in recorder.lines)
    return [(group, outcome) for group, colon, outcome in lines if colon]
