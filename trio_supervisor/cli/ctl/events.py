"""The command ``events``: prints a line for each event of the daemon as it happens."""

from __future__ import annotations

import json
import os
import sys
import time

from trio_supervisor.cli.ctl.arguments import mistake
from trio_supervisor.cli.ctl.io import complain
from trio_supervisor.cli.ctl.session import GENERIC
from trio_supervisor.cli.ctl.sse import EventStreamParser
from trio_supervisor.cli.ctl.streams import StreamConsumer, end_line, follow
from trio_supervisor.cli.ctl.text import RESET, plain

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session
    from trio_supervisor.cli.ctl.sse import ServerSentEvent

PATH = "/api/v1/events"
#: The event that the daemon sends when this client was too slow.
DROPPED = "dropped"
NOT_FOUND = 404

#: Widths of columns, enough for most types and process names.
TYPE_WIDTH, NAME_WIDTH = 24, 20
#: Keys that are shown in another way than ``key=value``, or not at all.
_SHOWN_ELSEWHERE = frozenset(
    {
        "event",
        "serial",
        "time",
        "processname",
        "groupname",
        "from_state",
        "channel",
        "data",
        "last_exit",
    }
)
_COLOURS = {
    "PROCESS_STATE_RUNNING": "\x1b[32m",
    "PROCESS_STATE_STARTING": "\x1b[33m",
    "PROCESS_STATE_STOPPING": "\x1b[33m",
    "PROCESS_STATE_BACKOFF": "\x1b[31m",
    "PROCESS_STATE_FATAL": "\x1b[31m",
    "PROCESS_STATE_UNKNOWN": "\x1b[31m",
}
STATE_PREFIX = "PROCESS_STATE_"


def events(session: Session, arguments: Arguments) -> None:
    if arguments.words:
        raise mistake("events takes no names; --types chooses what is shown")
    if not session.upcheck():
        return
    source = Events(session, arguments.options.get("types", ""), as_json=arguments.has("json"))
    try:
        follow(session, [source], again=arguments.has("follow"))
    except KeyboardInterrupt:
        end_line(session)


class Events(StreamConsumer):
    """Shows the events of the given types (names separated by commas; empty means all)."""

    def __init__(self, session: Session, types: str, *, as_json: bool) -> None:
        super().__init__()
        self._session = session
        self._types = types
        self._as_json = as_json
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._reader = EventStreamParser()

    def path(self) -> str:
        # Imported here because few runs choose types.
        from urllib.parse import quote

        return f"{PATH}?types={quote(self._types)}" if self._types else PATH

    def feed(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            self._show(message)

    def ended(self) -> None:
        self._reader = EventStreamParser()

    def refused(self, status: int, body: bytes) -> None:
        session = self._session
        try:
            answer = json.loads(body)["error"]
            session.fail(f"Error: {answer['message']}; {answer['hint']}", GENERIC)
        except (ValueError, LookupError, TypeError):
            reason = "it has no event stream" if status == NOT_FOUND else f"status code {status}"
            session.fail(f"Error: the daemon does not send events: {reason}", GENERIC)

    def _show(self, message: ServerSentEvent) -> None:
        fields: dict[str, Any] = json.loads(message.data)
        if message.event == DROPPED:
            complain(f"tsupervisorctl: too slow, {fields['dropped']} events were dropped\n")
        elif self._as_json:
            self._session.line(message.data)
        else:
            line = described(fields)
            colour = _COLOURS.get(fields["event"]) if self._coloured else None
            self._session.line(f"{colour}{line}{RESET}" if colour else line)


def described(fields: dict[str, Any]) -> str:
    """Format an event as a line: time, type, process and details."""
    seconds = fields["time"]
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    name = _name(fields)
    columns = (f"{stamp},{seconds % 1 * 1000:03.0f}", f"{fields['event']:<{TYPE_WIDTH}}")
    return " ".join([*columns, f"{name:<{NAME_WIDTH}}", *_details(fields)]).rstrip()


def _name(fields: dict[str, Any]) -> str:
    group, name = fields.get("groupname", ""), fields.get("processname", "")
    return f"{group}:{name}" if name and group != name else str(name or group)


def _details(fields: dict[str, Any]) -> list[str]:
    details = []
    if "from_state" in fields:
        details.append(f"{fields['from_state']} -> {fields['event'].removeprefix(STATE_PREFIX)}")
    details += [
        f"{key}={plain(str(value))}" for key, value in fields.items() if key not in _SHOWN_ELSEWHERE
    ]
    if "data" in fields:  # the longest part comes last; JSON escapes its newlines
        details.append(json.dumps(fields["data"], ensure_ascii=False))
    return details
