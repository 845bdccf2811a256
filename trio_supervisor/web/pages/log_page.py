"""The page that shows the end of a log, at the address that Supervisor has for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.errors import BadName, NoFile, RequestError
from trio_supervisor.core.numbers import natural
from trio_supervisor.runtime.output.log_source import CHANNELS, STDERR, STDOUT
from trio_supervisor.web.pages.ansi import Painter
from trio_supervisor.web.pages.layout import page, visible
from trio_supervisor.web.pages.log_view import MAIN, log_of, painted_end
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.runtime.output.log_source import LogSource
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request, Response

#: Bytes that are shown by default.
LIMIT = 1024
#: Factor by which the link "More" increases the bytes shown.
MORE = 16
#: Bytes of the HTML of a log up to which it is put into the page on the event loop.
SHOWN_INLINE = 1024 * 1024
#: Placeholder of the log in the page. No text has this character: ``visible`` replaces it.
_PLACE = "\0"
_FIELDS = ("processname", "limit", "channel")
_HERE = ' aria-current="page"'


async def log_page(supervisor: Supervisor, request: Request) -> Response:
    fields = request.fields
    name = fields.get("processname", "")
    if not name and fields.get("channel") != MAIN:
        return page("Supervisor tail", "<pre>No process name found</pre>\n", kind="message")
    limit = _limit(fields.get("limit", ""), supervisor.config.daemon.log_answer_maxbytes)
    after = ""
    try:
        log = log_of(supervisor, fields)
        after = remembered_output([log]) if log.path is None else ""
        painted = await log.run(painted_end, limit)
    except NoFile:
        painted = f"No file for {visible(name or MAIN)}".encode(errors="replace")
    except BadName:
        return unknown_process(supervisor, name)
    except RequestError as error:
        text = f"ERROR: unexpected rpc fault [{int(error.code)}] {visible(str(error))}"
        painted = text.encode(errors="replace")
    around = page(
        f"Supervisor tail of process {name}" if name else "Supervisor log",
        f'<nav class="bar">{_links(fields, limit)}</nav>\n<pre>{_PLACE}</pre>\n{after}',
        kind="tail",
        heading=name or "The supervisor's own log",
        bar='<a class="button" href="./">All processes</a>',
    )
    # Inserted as bytes: the log may have megabytes, so copies are avoided.
    before, _, behind = around.body.partition(_PLACE.encode())
    pieces = [before, painted, behind]
    body = await work(len(painted), lambda: b"".join(pieces), inline=SHOWN_INLINE)
    return replace(around, body=body)


def unknown_process(supervisor: Supervisor, name: str) -> Response:
    """Return the page for an unknown process, whose program may have been removed."""
    meant = suggestion(name, sorted(process.full_name for process in supervisor.processes()))
    hint = (
        ""
        if meant is None
        else (
            f'<p>Did you mean <a href="{_address("log.html", {"processname": meant})}">'
            f"{visible(meant)}</a>?</p>\n"
        )
    )
    return page(
        f"No process named {name}",
        f"<p>The configuration that is running has no process of this name.</p>\n{hint}"
        '<p><a class="button" href="./">All processes</a></p>\n',
        kind="unknown",
        status=404,
    )


def remembered_output(logs: Iterable[LogSource]) -> str:
    """Return the last output of a process that goes to no file, as HTML."""
    return "".join(
        f"<h2>The last that it wrote to {log.name}, which goes to no file</h2>\n"
        f"<pre>{Painter().feed(log.remembered.encode(), final=True)}</pre>\n"
        for log in logs
        if log.remembered
    )


def _links(fields: Mapping[str, str], limit: int) -> str:
    again = {field: fields[field] for field in ("processname", "channel") if field in fields}
    again["limit"] = str(limit)
    more = again | {"limit": str(limit * MORE)}
    lines = {"output": fields["channel"]} if fields.get("channel") in CHANNELS else {}
    lines |= {name: fields[name] for name in ("processname",) if name in fields}
    lines = lines if "processname" in lines else {"channel": MAIN}
    follow = visible(f"log.html?{urlencode(lines)}")
    return (
        f"{_tabs(again) if 'processname' in again else ''}"
        f'<a class="button primary" href="{follow}">Follow, search, earlier lines</a>'
        f'<a class="button" href="{_address("tail.html", again)}">Refresh</a>'
        f'<a class="button" href="{_address("tail.html", more)}">More</a>'
        f'<a class="button" href="{_address("log.txt", again)}" download>Download</a>'
    )


def _tabs(fields: Mapping[str, str]) -> str:
    """Return links to the two outputs of a process."""
    chosen = STDERR if fields.get("channel") == STDERR else STDOUT
    links = "".join(
        f'<a class="button" href="{_address("tail.html", {**fields, "channel": one})}"'
        f"{_HERE if one == chosen else ''}>{one.capitalize()}</a>"
        for one in CHANNELS
    )
    return f'<div class="tabs">{links}</div>'


def _address(place: str, fields: Mapping[str, str]) -> str:
    known = {name: fields[name] for name in _FIELDS if name in fields}
    return visible(f"{place}?{urlencode(known)}")


def _limit(text: str, most: int) -> int:
    number = natural(text)
    return LIMIT if number is None else max(LIMIT, min(number, most))
