"""The page about what has happened: to one process, with the reason for its state, or to all.

It is plain HTML that works without the script.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName
from trio_supervisor.core.journal.strip import segments
from trio_supervisor.core.journal.words import sentence
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.runtime.journal.view import KINDS
from trio_supervisor.web.pages.layout import page, visible
from trio_supervisor.web.pages.process_view import history_address, log_address, state_chip

if TYPE_CHECKING:
    from collections.abc import Collection

    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request, Response

#: Most entries that the page shows.
MOST_ENTRIES = 500
#: Seconds of a strip, at most and at least, and its width in the units of the picture.
STRIP_TIME = 24 * 3600
SHORTEST_STRIP = 60
STRIP_WIDTH = 288
#: Periods of the filter: field, title, seconds.
PERIODS = (
    ("1h", "last hour", 3600),
    ("24h", "last 24 hours", 24 * 3600),
    ("7d", "last 7 days", 7 * 24 * 3600),
    ("all", "all", None),
)
_SECONDS = {field: seconds for field, _, seconds in PERIODS}
#: Last lines of an output that an entry shows.
OUTPUT_LINES = 5
_ALL = '<a class="button" href="./">All processes</a>'


async def history_page(supervisor: Supervisor, request: Request) -> Response:
    fields = request.fields
    name, kind = fields.get("processname", "").strip(), fields.get("kind", "")
    period = fields.get("period", "all" if name else "24h")
    seconds = _SECONDS.get(period)
    now = supervisor.wall_clock()
    entries = await supervisor.history(
        [name] if name else [],
        since=None if seconds is None else now - seconds,
        kind=kind if kind in KINDS else None,
        limit=MOST_ENTRIES,
    )
    view = _View(supervisor, now, shows_who=not request.readonly)
    process = _find(supervisor, name)
    content = (
        f"{await view.reason(process) if process is not None else ''}"
        f"{view.strips(_matching(supervisor, name))}"
        f"{_filters(name, kind, period)}{view.table(entries, alone=process is not None)}"
    )
    return page(
        f"History of {name}" if name else "History",
        content,
        kind="history",
        heading=name or "What has happened",
        bar=f'{_ALL}<a class="button" href="history.html">All history</a>' if name else _ALL,
    )


def _find(supervisor: Supervisor, name: str) -> Process | None:
    try:
        return supervisor.process(name) if name else None
    except BadName:  # a group, or a process that was removed
        return None


def _matching(supervisor: Supervisor, name: str) -> list[Process]:
    return [p for p in by_name(supervisor) if name in ("", p.full_name, p.group)]


class _View:
    """Makes the parts of the page. ``now`` is in wall-clock seconds."""

    def __init__(self, supervisor: Supervisor, now: float, *, shows_who: bool) -> None:
        self._supervisor = supervisor
        self._now = now
        self._shows_who = shows_who

    async def reason(self, process: Process) -> str:
        """Return why the process is in its state, back to what has caused that."""
        why = await self._supervisor.why(process.full_name)
        items = "".join(f"<li>{self._time(entry)} {self._told(entry)}</li>" for entry in why.chain)
        chain = f"<ol>{items}</ol>" if items else "<p>It was never started.</p>"
        start = f"<p>Next start: {visible(why.next)}</p>" if why.next else ""
        return (
            f'<section class="why"><h2>Why is it {state_chip(process)}</h2>{chain}{start}'
            f'<p><a href="{log_address(process.full_name)}">Its log</a></p></section>\n'
        )

    def strips(self, processes: Collection[Process]) -> str:
        """Return the last 24 hours of each process, or what is known of them, as a strip."""
        memory = self._supervisor.journal.memory
        known = {process: memory.of(process.full_name) for process in processes}
        earliest = min(
            (e.first or e.time for of in known.values() for e in of[:1]), default=self._now
        )
        begin = max(self._now - STRIP_TIME, min(earliest, self._now - SHORTEST_STRIP))
        rows = "".join(
            f'<tr><th scope="row"><a href="{history_address(process.full_name)}">'
            f"{visible(process.full_name)}</a></th><td>{state_chip(process)}</td>"
            f"<td>{self._strip(entries, begin)}</td></tr>\n"
            for process, entries in known.items()
        )
        if not rows:
            return ""
        return (
            '<table class="strips"><thead><tr><th>Name</th><th>State</th>'
            f"<th>{_clock(begin)} to {_clock(self._now)}</th>"
            f"</tr></thead><tbody>\n{rows}</tbody></table>\n"
        )

    def _strip(self, entries: list[JournalEntry], begin: float) -> str:
        scale = STRIP_WIDTH / (self._now - begin)
        found = segments(entries, begin, self._now)
        rectangles = "".join(
            f'<rect class="{s.look.value}" x="{(s.begin - begin) * scale:.2f}" y="0" '
            f'width="{max(0.5, (s.end - s.begin) * scale):.2f}" height="10">'
            f"<title>{s.look.value} {_clock(s.begin)} to {_clock(s.end)}</title></rect>"
            for s in found
        )
        return (
            f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} 10" preserveAspectRatio="none" '
            f'role="img" aria-label="its states in this time">{rectangles}</svg>'
        )

    def table(self, entries: list[JournalEntry], *, alone: bool) -> str:
        """Return the entries, newest first; without their names if they are all of one process."""
        if not entries:
            return '<p class="empty">Nothing has happened in this time</p>\n'
        rows = "".join(self._row(entry, alone) for entry in reversed(entries))
        names = "" if alone else "<th>Name</th>"
        return (
            f'<table class="history"><thead><tr><th>Time</th>{names}<th>What</th></tr></thead>'
            f"<tbody>\n{rows}</tbody></table>\n"
        )

    def _row(self, entry: JournalEntry, alone: bool) -> str:
        name = ""
        if not alone:
            link = f'<a href="{history_address(entry.process)}">{visible(entry.process)}</a>'
            name = f"<td>{link if entry.process else 'supervisor'}</td>"
        return f"<tr><td>{self._time(entry)}</td>{name}<td>{self._told(entry)}</td></tr>\n"

    def _time(self, entry: JournalEntry) -> str:
        return f"<time>{_clock(entry.time)}</time>"

    def _told(self, entry: JournalEntry) -> str:
        text = f'<span class="to {visible(entry.new.lower())}">{visible(sentence(entry))}</span>'
        if entry.count > 1:
            text += f" <b>{entry.count} times</b> since {_clock(entry.first)}"
        if entry.cause.who and self._shows_who:
            text += f' <span class="who">by {visible(entry.cause.who)}</span>'
        return text + "".join(map(visible_output, _outputs(entry)))


def visible_output(text: str) -> str:
    return f"<pre>{visible(text)}</pre>"


def _outputs(entry: JournalEntry) -> list[str]:
    """Return the last lines of what the program wrote before an unexpected end."""
    texts = (str(entry.evidence.get(channel, "")) for channel in ("stderr", "stdout"))
    return ["\n".join(text.splitlines()[-OUTPUT_LINES:]) for text in texts if text]


def _filters(name: str, kind: str, period: str) -> str:
    kinds = "".join(f"<option{' selected' if one == kind else ''}>{one}</option>" for one in KINDS)
    periods = "".join(
        f'<option value="{field}"{" selected" if field == period else ""}>{title}</option>'
        for field, title, _ in PERIODS
    )
    return (
        '<form class="filters" method="get" action="history.html">'
        f'<label>Process or group <input name="processname" value="{visible(name)}"></label>'
        f'<label>Kind <select name="kind"><option value="">all</option>{kinds}</select></label>'
        f'<label>Time <select name="period">{periods}</select></label>'
        "<button>Show</button></form>\n"
    )


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
