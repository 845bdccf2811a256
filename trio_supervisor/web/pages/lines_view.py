"""Lines of logs as HTML: their times, their outputs, their colours, and days where they change."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from trio_supervisor.core.logs.place import cursor_text
from trio_supervisor.web.pages.ansi import Painter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.logs.lines import LoggedLine
    from trio_supervisor.core.logs.times import When

#: Seconds by which a time may be uncertain and is shown to the millisecond, or to the second.
EXACT, NEARLY = 0.001, 1.0
_MINUTE = 60
_TO = "\N{EN DASH}"
#: Explains the times of lines.
LEGEND = (
    "In a log whose lines do not have their time, the supervisor knows when it has read recent "
    f"lines, and older ones less exactly: a time such as 12:58{_TO}13:05 is the interval in which "
    "the line was written, and until 13:05 means that its beginning is not known. Lines of both "
    "outputs are in the order of these times."
)


class LinesView:
    """Makes rows of lines that follow each other; each output has the colours it has set before.

    ``days`` tells whether there is a heading for each new day.
    """

    def __init__(self, *, days: bool = True) -> None:
        self._days = days
        self._painters: defaultdict[str, Painter] = defaultdict(Painter)
        self._day = ""

    def rows(self, lines: Iterable[LoggedLine], hit: LoggedLine | None = None) -> str:
        """Return the lines as HTML. ``hit`` is marked."""
        return "".join(f"{self._new_day(line)}{self._row(line, hit)}" for line in lines)

    def _row(self, line: LoggedLine, hit: LoggedLine | None) -> str:
        data = line.data[line.stamp :].removesuffix(b"\r")
        text = self._painters[line.stream].feed(data, final=True)
        found = " found" if line is hit else ""
        at = f"{line.stream}.{line.start.spot[0]}-{line.start.spot[1]}"
        whole = "" if line.is_whole else ' data-part=""'
        return (
            f'<div class="line {line.stream}{found}" data-at="{at}"{whole}>'
            f'{time_cell(line.when)}<b class="stream">{line.stream}</b>'
            f'<span class="text">{text}</span></div>\n'
        )

    def _new_day(self, line: LoggedLine) -> str:
        day = "" if line.when is None else _format("%A, %-d %B %Y", line.when.latest)
        if not self._days or not day or day == self._day:
            return ""
        self._day = day
        return f'<div class="day">{day}</div>\n'


def place_of(line: LoggedLine) -> str:
    """Return the place before a line, as text."""
    return cursor_text({line.stream: line.start})


def day_and_time(line: LoggedLine) -> str:
    """Return the day and the time of a line, for a link to it; empty if they are not known."""
    when = line.when
    return "" if when is None else f"{_format('%-d %b %Y', when.latest)} {shown_time(when)}"


def time_cell(when: When | None) -> str:
    """Return the time of a line as HTML; empty for a line that belongs to the one before."""
    if when is None:
        return "<time></time>"
    shown = shown_time(when)
    return f'<time title="{_explained(when)}">{shown}</time>'


def shown_time(when: When) -> str:
    """Return a time, or the interval in which a line was written, as short as possible."""
    earliest, latest = when.earliest, when.latest
    if when.width <= EXACT:
        seconds, thousandths = divmod(round(latest * 1000), 1000)
        return f"{_format('%H:%M:%S', seconds)}.{thousandths:03}"
    if when.width <= NEARLY:
        return _format("%H:%M:%S", latest)
    if math.isinf(earliest) or _format("%F", earliest) != _format("%F", latest):
        return f"until {_format('%H:%M', latest)}"
    if earliest // _MINUTE == latest // _MINUTE:
        return f"{_format('%H:%M:%S', earliest)}{_TO}{_format('%S', latest)}"
    return f"{_format('%H:%M', earliest)}{_TO}{_format('%H:%M', latest)}"


def _explained(when: When) -> str:
    if when.width <= NEARLY:
        return _format("%F %T", when.latest)
    if math.isinf(when.earliest):
        return f"written at {_format('%F %T', when.latest)} or before"
    return f"written between {_format('%F %T', when.earliest)} and {_format('%F %T', when.latest)}"


def zone(now: float) -> str:
    """Return the difference of local time to UTC, as in UTC+01:00."""
    text = _format("%z", now)
    return f"UTC{text[:3]}:{text[3:]}"


def _format(form: str, seconds: float) -> str:
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # the time of a line may be any
        return "?"
