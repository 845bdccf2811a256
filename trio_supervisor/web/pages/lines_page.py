"""The page of the logs of a process: both outputs in one order, with times, back to the first line.

Without the script every link and form works; with it the page follows the logs, loads earlier lines
as the reader scrolls up, and goes on searching by itself. The script takes the rows from this same
page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import BadName, Failed
from trio_supervisor.core.logs.place import cursor_text, parse_cursor
from trio_supervisor.runtime.logs.search import Wanted, search
from trio_supervisor.runtime.output.log_lines import (
    LinePage,
    LogLines,
    first_place,
    line_sources,
)
from trio_supervisor.runtime.output.log_source import CHANNELS, LogAddress, find_log
from trio_supervisor.web.pages.format import bytes_text
from trio_supervisor.web.pages.layout import TOOLS, page, shortcuts, visible
from trio_supervisor.web.pages.lines_feed import live_lines
from trio_supervisor.web.pages.lines_view import LEGEND, LinesView, day_and_time, place_of, zone
from trio_supervisor.web.pages.log_page import remembered_output, unknown_process
from trio_supervisor.web.pages.log_view import MAIN
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.logs.search import FoundLine, SearchResult
    from trio_supervisor.runtime.output.log_lines import Cursor, LineSource
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request, Response, StreamResponse

#: Lines of one page.
LINES = 300
#: Matches of one page of a search.
MATCHES = 50
#: The value of ``at`` and ``after`` that means the beginning of the logs.
BEGINNING = "start"
BOTH = "both"
REGEX = "regex"
_HERE = ' aria-current="page"'
_KEYS = (
    ("/", "search"),
    ("n N", "next, previous line that matches"),
    ("e", "earlier lines"),
    ("f", "follow: keep the end in sight"),
    ("w", "wrap long lines"),
    ("t", "light or dark"),
    ("?", "this help"),
)
_TOOLS = """\
<div class="tools" hidden>\
<button type="button" data-do="follow" aria-pressed="false">Follow</button>\
<button type="button" data-do="wrap" aria-pressed="false">Wrap</button></div>"""


@dataclass(frozen=True, slots=True)
class Address:
    """What an address of the page means."""

    process: str | None
    """None means the supervisor's own log."""
    output: str = BOTH

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Address:
        name, output = fields.get("processname", ""), fields.get("output", "")
        if not name and fields.get("channel") == MAIN:
            return cls(None)
        return cls(name, output if output in CHANNELS else BOTH)

    @property
    def streams(self) -> tuple[str, ...]:
        return CHANNELS if self.output == BOTH else (self.output,)

    def link(self, place: str = "log.html", **fields: str) -> str:
        """Return a relative address as HTML, with more fields."""
        known = {"channel": MAIN} if self.process is None else {"processname": self.process}
        if self.output != BOTH:
            known["output"] = self.output
        return visible(f"{place}?{urlencode(known | fields)}")


async def lines_page(supervisor: Supervisor, request: Request) -> Response:
    fields = request.fields
    address = Address.of(fields)
    try:
        sources = line_sources(supervisor, address.process, address.streams)
        every = line_sources(supervisor, address.process)
    except BadName:
        return unknown_process(supervisor, address.process or "")
    view = _LinesPage(supervisor, address, sources, tuple(source.stream for source in every))
    try:
        if fields.get("q", "").strip():
            content = await view.found(fields)
        else:
            content = await view.window(fields)
    except Failed as error:
        content = view.around(f'<p class="note bad">{visible(str(error.detail))}</p>\n')
    name = address.process
    return page(
        f"Log of {name}" if name else "Supervisor log",
        f"{content}{shortcuts(_KEYS)}",
        kind="log",
        heading=name or "The supervisor's own log",
        bar=f'<a class="button" href="./">All processes</a>{TOOLS}',
    )


def live_log(supervisor: Supervisor, request: Request) -> Response | StreamResponse:
    """Stream the rows of the page as the logs grow."""
    fields = request.fields
    address = Address.of(fields)
    try:
        after = parse_cursor(fields["after"]) if fields.get("after") else None
    except ValueError:
        after = None
    return live_lines(supervisor, address.process, address.streams, after)


class _LinesPage:
    """Makes the content of the page for one request."""

    def __init__(
        self,
        supervisor: Supervisor,
        address: Address,
        sources: tuple[LineSource, ...],
        streams: tuple[str, ...],
    ) -> None:
        self._supervisor = supervisor
        self._address = address
        self._sources = sources
        self._streams = streams
        """The names of all logs of the process."""

    async def window(self, fields: Mapping[str, str]) -> str:
        """Return lines from some place on. Raises Failed."""
        if not self._sources:
            return self._without_file()
        shown = await self._lines(fields)
        rows = await self._painted(shown, fields.get("at", ""))
        start, end = cursor_text(shown.start), cursor_text(shown.end)
        data = f' data-start="{start}" data-end="{end}"'
        if shown.is_first:
            data += ' data-first=""'
        if shown.is_last:
            here = self._address.link("live/lines")
            data += f' data-last="" data-live="{here}" data-after="{end}"'
        rows = rows or '<p class="empty">Nothing was written yet</p>\n'
        return self.around(
            f"{self._note(shown)}{self._above(shown)}"
            f'<div class="lines{self._kind}" tabindex="0" role="log" aria-label="Lines"{data}>\n'
            f"{rows}</div>\n{self._below(shown)}{self._remembered()}"
        )

    async def found(self, fields: Mapping[str, str]) -> str:
        """Return what a search finds. Raises Failed."""
        text, is_regex = fields["q"].strip(), fields.get("how") == REGEX
        try:
            wanted = Wanted(text, is_regex=is_regex, count=MATCHES)
        except ValueError as error:
            message = ": ".join(map(str, error.args))
            return self.around(f'<p class="note bad">{visible(message)}</p>\n', fields)
        before = _cursor(fields.get("before", ""))
        result = await search(self._sources, wanted, before)
        return self.around(self._matches(result, fields), fields)

    def around(self, content: str, fields: Mapping[str, str] | None = None) -> str:
        """Return the content with the bar above and the explanation of times below it."""
        return (
            f'<nav class="bar" aria-label="Log">{self._tabs()}{self._form(fields or {})}'
            f"{_TOOLS if fields is None and self._sources else ''}{self._downloads()}</nav>\n"
            f"{content}"
            f'<details class="legend"><summary>Times are local to the supervisor, '
            f"{zone(self._supervisor.wall_clock())}. What do intervals mean?</summary>"
            f"{LEGEND}</details>\n"
        )

    async def _lines(self, fields: Mapping[str, str]) -> LinePage:
        """Return the lines that are asked for."""
        logs = LogLines(self._sources)
        if (at := _cursor(fields.get("at", ""))) is not None:
            return await logs.around(at, LINES)
        if (before := _cursor(fields.get("before", ""))) is not None:
            return await logs.before(before, LINES)
        if fields.get("after") == BEGINNING:
            return await logs.after(first_place(self._sources), LINES)
        if (after := _cursor(fields.get("after", ""))) is not None:
            return await logs.after(after, LINES)
        return await logs.last(LINES)

    async def _painted(self, shown: LinePage, at: str) -> str:
        places = (_cursor(at) or {}).items()
        spots = {(name, place.spot) for name, place in places if place is not None}
        hit = next((one for one in shown.lines if (one.stream, one.start.spot) in spots), None)
        size = sum(len(line.data) for line in shown.lines)
        return await work(size, LinesView().rows, shown.lines, hit)

    @property
    def _kind(self) -> str:
        return " one" if len(self._sources) == 1 else ""

    def _note(self, shown: LinePage) -> str:
        if not shown.is_gone:
            return ""
        return (
            '<p class="note bad">The lines of this place are not kept any more: their file was '
            "removed, emptied or replaced. These are the nearest that are.</p>\n"
        )

    def _above(self, shown: LinePage) -> str:
        if shown.is_first:
            return '<p class="edge first">This is the first line that is kept</p>\n'
        before = self._address.link(before=cursor_text(shown.start))
        first = self._address.link(after=BEGINNING)
        return (
            f'<p class="edge"><a class="button earlier" href="{before}">Earlier lines</a>'
            f'<a class="button oldest" href="{first}">Oldest</a></p>\n'
        )

    def _below(self, shown: LinePage) -> str:
        newest = self._address.link()
        if shown.is_last:
            return f'<p class="edge"><a class="button plain" href="{newest}">Refresh</a></p>\n'
        after = self._address.link(after=cursor_text(shown.end))
        return (
            f'<p class="edge"><a class="button later" href="{after}">Later lines</a>'
            f'<a class="button newest" href="{newest}">Newest</a></p>\n'
        )

    def _without_file(self) -> str:
        process = self._address.process
        what = "The supervisor has" if process is None else f"{visible(process)} has"
        return self.around(
            f'<p class="note">{what} no log file, so its lines cannot be shown.</p>\n'
            f"{self._remembered()}"
        )

    def _remembered(self) -> str:
        """Return the last output that goes to no file."""
        name = self._address.process
        if name is None:
            return ""
        addresses = [LogAddress(name, stream) for stream in self._address.streams]
        logs = [find_log(self._supervisor, address) for address in addresses]
        return remembered_output(log for log in logs if log.path is None)

    def _tabs(self) -> str:
        """Return links to the outputs, if there are two."""
        if len(self._streams) < len(CHANNELS):
            return ""
        titles = {BOTH: "Both", **{name: name for name in CHANNELS}}
        links = "".join(
            f'<a class="button" href="{Address(self._address.process, output).link()}"'
            f"{_HERE if output == self._address.output else ''}>{title}</a>"
            for output, title in titles.items()
        )
        return f'<div class="tabs">{links}</div>'

    def _form(self, fields: Mapping[str, str]) -> str:
        if not self._sources:
            return ""
        address = self._address
        hidden = {"channel": MAIN} if address.process is None else {"processname": address.process}
        if address.output != BOTH:
            hidden["output"] = address.output
        inputs = "".join(
            f'<input type="hidden" name="{name}" value="{visible(value)}">'
            for name, value in hidden.items()
        )
        checked = " checked" if fields.get("how") == REGEX else ""
        return (
            f'<form class="find" method="get" action="log.html" role="search">{inputs}'
            '<div class="search"><input type="search" name="q" placeholder="Search all files" '
            f'aria-label="Search all files of this log" value="{visible(fields.get("q", ""))}" '
            'autocomplete="off"><span class="matches" role="status"></span>'
            f'<label><input type="checkbox" name="how" value="{REGEX}"{checked}> '
            "Regular expression</label><button>Search</button></div></form>"
        )

    def _downloads(self) -> str:
        names = [source.stream for source in self._sources]
        links = []
        for name in names:
            fields = {"channel": name} if name in CHANNELS else {}
            title = "Download" if len(names) == 1 else f"Download {name}"
            address = Address(self._address.process).link("log.txt", **fields)
            links.append(f'<a class="button" href="{address}" download>{title}</a>')
        return "".join(links)

    def _matches(self, result: SearchResult, fields: Mapping[str, str]) -> str:
        items = "".join(map(self._match, result.matches))
        searched = bytes_text(result.searched), bytes_text(result.total)
        how = {"how": REGEX} if fields.get("how") == REGEX else {}
        go_on = ""
        if result.before is not None:
            place = cursor_text(result.before)
            link = self._address.link(q=fields["q"], before=place, **how)
            go_on = f'<a class="button further" href="{link}">Search further back</a>'
        all = "everything: " if result.before is None else ""
        count = f'<span class="count">{len(result.matches)}</span> lines found'
        if not items and result.before is None:
            items = '<li class="none">No line was found</li>'
        return (
            f'<p class="edge progress"><span role="status">Searched {all}{searched[0]} of '
            f"{searched[1]}, {count}</span> "
            f'{go_on}<a class="button" href="{self._address.link()}">Back to the log</a></p>\n'
            f'<progress class="searched" max="{max(1, result.total)}" value="{result.searched}">'
            f'</progress>\n<ol class="found-lines">{items}</ol>\n'
        )

    def _match(self, match: FoundLine) -> str:
        line = match.line
        link = self._address.link(at=place_of(line))
        rows = LinesView(days=False).rows((*match.before, line, *match.after), line)
        return (
            f'<li><a href="{link}">{day_and_time(line)} show in the log</a>'
            f'<div class="lines{self._kind}">{rows}</div></li>\n'
        )


def _cursor(text: str) -> Cursor | None:
    """Return a place from an address; None if it is none."""
    try:
        return parse_cursor(text)
    except ValueError:
        return None
