"""Routes for the journal: what has happened, and why a process is in its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.runtime.journal.view import (
    KINDS,
    MOST_ENTRIES,
    shown_entry,
    shown_why,
    without_requesters,
)
from trio_supervisor.web.api.logs import MOST_SECONDS
from trio_supervisor.web.api.processes import PROCESS_NAME
from trio_supervisor.web.api.route import READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import array, ref

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.web.api.route import ApiRequest

#: Entries of an answer unless the client asks for more.
USUAL_ENTRIES = 200

FILTERS = (
    Field(
        "names",
        "string",
        "full names of processes and names of groups, separated by commas; none: all",
        default="",
    ),
    Field(
        "since",
        "integer",
        "entries of this many past seconds",
        default=None,
        minimum=0,
        maximum=MOST_SECONDS,
    ),
    Field(
        "kind",
        "string",
        "what the entries are about, or the kind of their cause",
        default=None,
        choices=KINDS,
    ),
    Field(
        "limit",
        "integer",
        "at most so many of the last entries",
        default=USUAL_ENTRIES,
        minimum=1,
        maximum=MOST_ENTRIES,
    ),
)


async def history(request: ApiRequest) -> object:
    seconds, kind = request.number("since"), request.fields["kind"]
    entries = await request.supervisor.history(
        [name for name in request.text("names").split(",") if name],
        since=None if seconds is None else request.supervisor.wall_clock() - seconds,
        kind=None if kind is None else str(kind),
        limit=request.number("limit"),
    )
    return _allowed(request, [shown_entry(entry) for entry in entries])


async def why(request: ApiRequest) -> object:
    return _allowed(request, shown_why(await request.supervisor.why(request.text("name"))))


def _allowed(request: ApiRequest, found: Value) -> Value:
    return without_requesters(found) if request.readonly else found


ROUTES = (
    Route(
        READ,
        f"{ROOT}/history",
        history,
        "What has happened: the entries of the journal, oldest first",
        array(ref("Entry")),
        query=FILTERS,
    ),
    Route(
        READ,
        f"{ROOT}/processes/{{name}}/why",
        why,
        "Why a process is in its state, back to what has caused that",
        ref("Why"),
        parameters=(PROCESS_NAME,),
        failures=(404,),
    ),
)
