"""The page that shows the end of a process's log (interfaces.md 4.2); the script lets it follow."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import trio

from trio_supervisor.core.errors import BadName, NoFile, RequestError
from trio_supervisor.runtime.logread import ANSWER_LIMIT, last_bytes
from trio_supervisor.runtime.rpc_logs import readers
from trio_supervisor.web.ansi import Painter
from trio_supervisor.web.log_view import STDERR, STDOUT, channel_of
from trio_supervisor.web.pages import TOOLS, page, shortcuts, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request, Response

#: Bytes that are shown unless more are asked for.
LIMIT = 1024
#: How many times as many the link "More" shows.
MORE = 16
#: More digits than any log has bytes.
MAX_DIGITS = 12
_HERE = ' aria-current="page"'
_KEYS = (
    ("/", "search"),
    ("n N", "next, previous match"),
    ("f", "follow: keep the end in sight"),
    ("p", "pause, resume"),
    ("w", "wrap long lines"),
    ("t", "light or dark"),
    ("?", "this help"),
)
#: Only the script has a use for these; it shows them.
_SEARCH = """\
<div class="tools search" hidden><input type="search" placeholder="Search" aria-label="Search" \
autocomplete="off"><span class="matches" role="status"></span>\
<button type="button" data-do="only" aria-pressed="false">Only matches</button></div>\
<div class="tools" hidden>\
<button type="button" data-do="follow" aria-pressed="true">Follow</button>\
<button type="button" data-do="pause" aria-pressed="false">Pause</button>\
<button type="button" data-do="wrap" aria-pressed="false">Wrap</button></div>"""


async def log_page(supervisor: Supervisor, request: Request) -> Response:
    fields = request.fields
    name = fields.get("processname", "")
    if not name:
        return page("Supervisor tail", "<pre>No process name found</pre>\n", kind="message")
    limit = _limit(fields.get("limit", ""))
    live = ""
    try:
        text = Painter().feed(await _end(supervisor, fields, limit), final=True)
        live = f' data-log="{_address("live/log", fields)}"'
    except NoFile:
        text = f"No file for {visible(name)}"
    except RequestError as error:
        text = f"ERROR: unexpected rpc fault [{int(error.code)}] {visible(str(error))}"
    return page(
        f"Supervisor tail of process {name}",
        f'<nav class="bar"{live}>{_links(fields, limit)}{_SEARCH if live else ""}</nav>\n'
        f"<pre>{text}</pre>\n{_recent(supervisor, fields) if not live else ''}{shortcuts(_KEYS)}",
        kind="log",
        heading=name,
        bar=f'<a class="button" href="./">All processes</a>{TOOLS}',
    )


async def _end(supervisor: Supervisor, fields: Mapping[str, str], limit: int) -> bytes:
    """Of its backups too, if it has just been rotated. Raises BadName, NoFile or Failed."""
    path = channel_of(supervisor, fields).logfile
    if path is None:
        raise NoFile
    return (await trio.to_thread.run_sync(last_bytes, path, limit, limiter=readers)).data


def _recent(supervisor: Supervisor, fields: Mapping[str, str]) -> str:
    """What is remembered of an output that goes to no file."""
    try:
        said = channel_of(supervisor, fields).recent.text
    except BadName:
        return ""
    painted = Painter().feed(said.encode(), final=True)
    return f"<h2>The last that it wrote</h2>\n<pre>{painted}</pre>\n" if said else ""


def _links(fields: Mapping[str, str], limit: int) -> str:
    other = {"processname": fields["processname"], "limit": str(limit)}
    channel = fields.get("channel", "")
    chosen = STDERR if channel == STDERR else STDOUT
    tabs = "".join(
        f'<a class="button" href="{_address("tail.html", other | {"channel": one})}"'
        f"{_HERE if one == chosen else ''}>{one.capitalize()}</a>"
        for one in (STDOUT, STDERR)
    )
    again = other | ({"channel": channel} if channel else {})
    more = again | {"limit": str(min(limit * MORE, ANSWER_LIMIT))}
    return (
        f'<div class="tabs">{tabs}</div>'
        f'<a class="button plain" href="{_address("tail.html", again)}">Refresh</a>'
        f'<a class="button plain" href="{_address("tail.html", more)}">More</a>'
        f'<a class="button" href="{_address("log.txt", again)}" download>Download</a>'
    )


def _address(place: str, fields: Mapping[str, str]) -> str:
    known = {k: v for k, v in fields.items() if k in ("processname", "limit", "channel")}
    return visible(f"{place}?{urlencode(known)}")


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        return LIMIT
    return min(max(LIMIT, int(text)), ANSWER_LIMIT)
