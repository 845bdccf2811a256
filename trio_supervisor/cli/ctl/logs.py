"""The commands ``logs``, which prints and follows any number of logs, and ``reopen``."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from datetime import datetime, timedelta
from urllib.parse import quote

from trio_supervisor.cli.ctl.arguments import Arguments, mistake
from trio_supervisor.cli.ctl.line_times import LinePrinter, LineTimes, OwnTimes
from trio_supervisor.cli.ctl.lines import LinePrefix, LineSplitter
from trio_supervisor.cli.ctl.names import ALL, matching, short_name
from trio_supervisor.cli.ctl.streams import StreamConsumer, end_line, follow

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.cli.ctl.session import Session

CHANNELS = ("stdout", "stderr")
#: Lines shown of each output: the default and the limit.
LINES, MOST_LINES = 10, 100_000
#: Ten years, the limit of the daemon.
MOST_SECONDS = 10 * 366 * 86400
#: The response header with the position at which a stream begins in its log.
POSITION = "x-log-position"
#: The response header with the times of the first bytes of a stream.
TIMES = "x-log-times"
#: Stands for the name of a process before lines of the daemon itself.
DAEMON = "(daemon)"

#: What --since takes besides a date: seconds, a span, a time of day.
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SINCE_HINT = (
    "--since takes a past time such as 90s, 5m, 1h30m, 2d, 12:00 or 2026-11-26T12:00, not {!r}"
)
_SPAN = re.compile(r"(?:[0-9]+[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")


def logs(session: Session, arguments: Arguments) -> None:
    query = _query(arguments)
    shown = _filter(arguments)
    following = arguments.has("follow")
    channels = [channel for channel in CHANNELS if arguments.has(channel)] or list(CHANNELS)
    if not session.upcheck():
        return
    names = [short_name(row) for row in matching(session, arguments.words or [ALL])]
    names = list(dict.fromkeys(names))
    _show(session, names, channels, query, arguments, shown, following=following)


def reopen(session: Session, arguments: Arguments) -> None:
    if not session.upcheck():
        return
    names = [short_name(row) for row in matching(session, arguments.words)]
    if names or not arguments.words:
        session.own_call("reopenLogs", names)
        session.line("\n".join(f"{name}: logs reopened" for name in names) or "all logs reopened")


def follow_one(session: Session, name: str) -> None:
    """Follow both outputs of a process until Ctrl-C. Raises the exceptions of GONE."""
    _show(session, [name], list(CHANNELS), f"lines={LINES}", Arguments(), None, following=True)


def _show(
    session: Session,
    names: list[str],
    channels: list[str],
    query: str,
    arguments: Arguments,
    pattern: re.Pattern[str] | None,
    *,
    following: bool,
) -> None:
    """Show the logs one after another; or follow all at once, until Ctrl-C.

    With the daemon's own lines all lines are shown in the order of their times.
    """
    with_daemon, with_times = arguments.has("daemon"), arguments.has("times")
    prefix = _line_prefix([*names, DAEMON] if with_daemon else names, arguments)
    printer = LinePrinter(session.output.data, prefix, pattern, times=with_times)
    printer.sorts = with_daemon and not following
    alone = len(channels) == 1
    if with_daemon or with_times:
        query = f"{query}&times=true"
    sources = [
        FollowedOutput(
            session,
            printer,
            (name, channel),
            f"/api/v1/processes/{quote(name, safe=':')}/logs/{channel}",
            query,
            following=following,
            alone=alone,
        )
        for name in names
        for channel in channels
    ]
    if with_daemon:
        sources.append(_daemon_log(session, printer, arguments, following=following))
    try:
        for together in [sources] if following else [[source] for source in sources]:
            follow(session, together, again=following)
    except KeyboardInterrupt:
        end_line(session)
    finally:
        for source in sources:
            source.finish()
        printer.finish()


def _daemon_log(
    session: Session, printer: LinePrinter, arguments: Arguments, *, following: bool
) -> FollowedOutput:
    """The daemon's own log, whose lines have times of their own."""
    since, lines = 0.0, _lines(arguments)
    if "since" in arguments.options:
        since = time.time() - _seconds(arguments.options["since"])
        lines = MOST_LINES
    return FollowedOutput(
        session,
        printer,
        (DAEMON, CHANNELS[0]),
        "/api/v1/daemon/log",
        f"lines={lines}",
        following=following,
        alone=True,
        times=OwnTimes(since),
    )


def _filter(arguments: Arguments) -> re.Pattern[str] | None:
    if "grep" not in arguments.options:
        return None
    try:
        return re.compile(arguments.options["grep"])
    except re.error as error:
        raise mistake(f"--grep takes a regular expression: {error}") from None


def _query(arguments: Arguments) -> str:
    asked = {}
    if "since" in arguments.options:
        asked["since"] = _seconds(arguments.options["since"])
    if not asked or arguments.has("lines"):
        asked["lines"] = _lines(arguments)
    return "&".join(f"{key}={value}" for key, value in asked.items())


def _lines(arguments: Arguments) -> int:
    usual = MOST_LINES if "grep" in arguments.options else LINES
    return min(int(arguments.number("lines", usual)), MOST_LINES)


def _seconds(text: str) -> int:
    try:
        return min(math.ceil(seconds_since(text, datetime.now().astimezone())), MOST_SECONDS)
    except (ValueError, OverflowError):
        raise mistake(SINCE_HINT.format(text)) from None


def seconds_since(text: str, now: datetime) -> float:
    """Return how many seconds ago a time was: ``5m``, ``1h30m``, ``12:00``, ``2026-11-26T12:00``.

    ``now`` has the time zone that applies to times written without one. A time of day without a
    date is the most recent one. Raises ValueError for other text, and for a time in the future.
    """
    if text.isascii() and text.isdigit():
        return float(text)
    if _SPAN.fullmatch(text):
        return float(sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)))
    if _CLOCK.fullmatch(text):
        hour, minute, second = (*map(int, text.split(":")), 0)[:3]
        moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if moment > now:
            moment -= timedelta(days=1)
    else:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo)
    if moment > now:
        raise ValueError(f"{text} is to come")
    return (now - moment).total_seconds()


def _line_prefix(names: list[str], arguments: Arguments) -> LinePrefix:
    on_terminal = sys.stdout.isatty()
    return LinePrefix(
        names,
        prefixed=len(names) > 1 and not arguments.has("no-prefix"),
        on_terminal=on_terminal,
        coloured=on_terminal and not os.environ.get("NO_COLOR"),
        raw=arguments.has("raw"),
    )


class FollowedOutput(StreamConsumer):
    """One output of a process, or the daemon's own log.

    ``source`` are the name and the channel, ``place`` is the path of the log. ``alone`` means that
    the other output was not requested. ``times`` are given if the lines have their own.
    """

    def __init__(
        self,
        session: Session,
        printer: LinePrinter,
        source: tuple[str, str],
        place: str,
        query: str,
        *,
        following: bool,
        alone: bool,
        times: OwnTimes | None = None,
    ) -> None:
        super().__init__()
        self._session = session
        self._printer = printer
        self._source = source
        self._path = place
        self._own_times = times
        self._query = query
        self._following = following
        self._alone = alone
        self._lines = LineSplitter()
        self._place = ""
        """The log and the file in which the current stream began, as the daemon names them."""
        self._offset = 0
        """The offset that has been reached in it."""
        self._broke_off = 0.0
        """The time at which the last stream ended; 0 before that."""
        self._times: LineTimes | OwnTimes = times or LineTimes("")

    def path(self) -> str:
        """The path of the request: first as the user asked, then for what was not yet shown."""
        if not self._following:
            return f"{self._path}?{self._query}"
        query = self._query
        if self._place:
            query = f"after={self._place}-{self._offset}"
        elif self._broke_off:
            query = f"since={math.ceil(time.monotonic() - self._broke_off)}"
        return f"{self._path}/follow?{query}"

    def opened(self, headers: Mapping[str, str]) -> None:
        self._times = self._own_times or LineTimes(headers.get(TIMES, ""))
        self._place, _, offset = headers.get(POSITION, "").rpartition("-")
        self._offset = int(offset or 0)

    def feed(self, data: bytes) -> None:
        self._offset += len(data)
        self._show(self._lines.feed(data))

    def ended(self) -> None:
        self._broke_off = time.monotonic()
        if not self._following:
            self.finish()

    def refused(self, status: int, body: bytes) -> None:
        try:
            error = json.loads(body)["error"]
            code, message = error["code"], error["message"]
        except (ValueError, LookupError, TypeError):
            code, message = "", f"the daemon does not offer it (status code {status}); try tail"
        # A stderr that is merged into stdout is no error if both were requested.
        if code != "NO_FILE" or self._alone:
            self._session.fail(f"{self._source[0]}: ERROR ({message})")

    def finish(self) -> None:
        """Show the last line, if it has no newline."""
        self._show(self._lines.finish())

    def _show(self, lines: list[bytes]) -> None:
        timed = [(self._times.next(line), line) for line in lines]
        since = self._times.since
        self._printer.show(self._source, [pair for pair in timed if (pair[0] or since) >= since])
