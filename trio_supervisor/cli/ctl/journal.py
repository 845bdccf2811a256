"""The commands ``why``, which explains a state, and ``history``, which lists what has happened."""

from __future__ import annotations

import time
from datetime import datetime

from trio_supervisor.cli.ctl.arguments import mistake
from trio_supervisor.cli.ctl.logs import SINCE_HINT, seconds_since
from trio_supervisor.cli.ctl.names import matching, short_name
from trio_supervisor.cli.ctl.text import duration, fit, plain

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session

    Entry = dict[str, Any]

#: Entries that history shows: the default and the limit of the daemon.
ENTRIES, MOST_ENTRIES = 50, 10_000
#: Lines of each output of a program that ended unexpectedly.
OUTPUT_LINES = 3
#: Stands for the name of a process in entries about the daemon.
DAEMON = "(daemon)"
#: The origin of a chain, by the kind of its last cause; those without a row name themselves.
ROOTS = {
    "boot": "the start of the daemon",
    "request": "a request",
    "exit": "an exit that was not requested",
    "configuration": "a change of the configuration",
    "shutdown": "a shutdown or restart of the daemon",
    "plugin": "a plugin",
    "upgrade": "an upgrade of the daemon",
    "policy": "the options of the program",
    "forgotten": "no longer known: the journal keeps a limited number of entries",
}


def why(session: Session, arguments: Arguments) -> None:
    if arguments.has("json"):
        # Imported here because loading it takes time.
        from trio_supervisor.cli.ctl.json import answer

        answer(session, arguments, lambda *given: {"processes": _reasons(*given)})
        return
    for found in _reasons(session, arguments):
        _show_why(session, found)


def _reasons(session: Session, arguments: Arguments) -> list[Entry]:
    if not arguments.words:
        raise mistake("why requires a process name")
    if not session.upcheck():
        return []
    names = [short_name(row) for row in matching(session, arguments.words)]
    return [session.own_call("why", name) for name in names]


def _show_why(session: Session, found: Entry) -> None:
    chain = found["chain"]
    if not chain:
        session.line(f"{found['process']} is {found['statename']}: it was never started")
    else:
        since = chain[0]["evidence"].get("since", chain[0]["time"])  # of one that was taken over
        ago = duration(max(0, int(time.time() - since)))
        session.line(f"{found['process']} is {found['statename']} since {_time(since)} ({ago})")
    for entry in chain:
        who = entry["who"] if entry is chain[-1] else ""
        session.line(f"  {_time(entry['time'])}  {_told(entry, who)}")
        for line in _output(entry):
            session.line(f"{' ' * 23}{line}")
    if chain:
        session.line(f"Cause: {ROOTS.get(found['root'], found['root'])}")
    if found["next"]:
        session.line(f"Next start: {plain(found['next'])}")


def history(session: Session, arguments: Arguments) -> None:
    if arguments.has("json"):
        # Imported here because loading it takes time.
        from trio_supervisor.cli.ctl.json import answer

        answer(session, arguments, lambda *given: {"entries": _entries(*given)})
        return
    entries = _entries(session, arguments)
    names = [plain(entry["process"] or DAEMON) for entry in entries]
    width = max(map(len, names), default=0)
    for entry, name in zip(entries, names, strict=True):
        told = _told(entry, entry["who"])
        session.line(f"{_time(entry['time'])}  {fit(name, width)}  {told}")


def _entries(session: Session, arguments: Arguments) -> list[Entry]:
    since = 0.0
    if arguments.has("since"):
        try:
            ago = seconds_since(arguments.options["since"], datetime.now().astimezone())
        except (ValueError, OverflowError):
            raise mistake(SINCE_HINT.format(arguments.options["since"])) from None
        since = max(0.0, time.time() - ago)
    limit = min(int(arguments.number("lines", ENTRIES, least=1)), MOST_ENTRIES)
    if not session.upcheck():
        return []
    # Also of processes that were removed, so the daemon looks for the names.
    names = [word.removesuffix(":*") for word in arguments.words if word != "all"]
    kind = arguments.options.get("kind", "")
    entries: list[Entry] = session.own_call("getHistory", names, since, kind, limit)
    return entries


def _told(entry: Entry, who: str) -> str:
    parts = [entry["text"]]
    if entry["count"] > 1:
        parts.append(f", {entry['count']} times since {_time(entry['first'])}")
    if who:
        parts.append(f", by {who}")
    return plain("".join(parts))


def _output(entry: Entry) -> list[str]:
    """Return the last lines that the program wrote before an unexpected end."""
    return [
        f"{channel}: {plain(line)}"
        for channel in ("stderr", "stdout")
        for line in str(entry["evidence"].get(channel, "")).splitlines()[-OUTPUT_LINES:]
    ]


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
