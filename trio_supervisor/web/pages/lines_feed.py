"""The lines of logs as they are written, for a browser: server-sent events with rows of HTML.

Messages are ``rows``, to be appended, and ``start``, which replaces what the page shows: at the
beginning, if its place is gone, and for a page that is too far behind. Their id is the place after
the last line, with which the browser goes on after a break.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName, Failed
from trio_supervisor.core.logs.place import cursor_text
from trio_supervisor.runtime.logs.readers import readers
from trio_supervisor.runtime.output.log_lines import LogLines, bytes_in, line_sources
from trio_supervisor.web import sse
from trio_supervisor.web.message import SECURITY, Response, StreamResponse, error_response
from trio_supervisor.web.pages.lines_view import LinesView
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_supervisor.core.logs.lines import LoggedLine
    from trio_supervisor.runtime.logs.growth import Growth
    from trio_supervisor.runtime.output.log_lines import Cursor, LinePage, LineSource
    from trio_supervisor.runtime.supervisor import Supervisor

#: Lines of one message.
LINES = 500
#: Bytes by which a page may be behind before it skips to the end.
TOO_FAR = 1024 * 1024
#: Seconds without a line after which a keep-alive is sent.
SILENCE = 15


def live_lines(
    supervisor: Supervisor, process: str | None, streams: Sequence[str], after: Cursor | None
) -> Response | StreamResponse:
    """Stream the lines after a place, or the last ones and those that follow."""
    try:
        sources = line_sources(supervisor, process, streams)
    except BadName:
        return error_response(404, f"no process {process}")
    if not sources:
        return error_response(404, "there is no log that can be read")
    feed = LinesFeed(supervisor, process, streams, after)
    return StreamResponse(feed, sse.TYPE, (*sse.HEADERS, *SECURITY))


class LinesFeed:
    """The messages for one browser."""

    def __init__(
        self,
        supervisor: Supervisor,
        process: str | None,
        streams: Sequence[str],
        after: Cursor | None,
    ) -> None:
        self._supervisor = supervisor
        self._process = process
        self._streams = streams
        self._place = after
        self._view = LinesView()
        self._unfinished: set[object] = set()
        """What ``_state`` returned for the lines without an end that the page shows."""
        self._growths: dict[str, Growth] = {}

    async def read(self) -> bytes:
        deadline = trio.current_time() + SILENCE
        while True:
            try:
                sources = line_sources(self._supervisor, self._process, self._streams)
                self._watch(sources)
                message = await self._message(sources)
            except (BadName, Failed):  # it was removed, or its disk fails
                return b""
            if message:
                return message
            left = deadline - trio.current_time()
            if left <= 0:
                return sse.KEEP_ALIVE
            await self._grown(left)

    def close(self) -> None:
        self._watch(())

    async def _message(self, sources: Sequence[LineSource]) -> bytes:
        """Return the next message; empty if there is no new line."""
        logs = LogLines(sources)
        if self._place is not None:
            page = await logs.after(self._place, LINES)
            left_out = 0 if page.is_last else await self._behind(sources, page.end)
            if not page.is_gone and left_out <= TOO_FAR:
                return await self._rows(sources, page)
        page = await logs.last(LINES)
        self._view, self._unfinished = LinesView(), set()
        self._place = page.end
        start = {"before": cursor_text(page.start), "first": page.is_first}
        return self._encoded("start", start | {"html": await self._painted(page.lines)})

    async def _rows(self, sources: Sequence[LineSource], page: LinePage) -> bytes:
        unfinished = {_state(line) for line in page.lines if not line.is_whole}
        lines = [line for line in page.lines if _state(line) not in self._unfinished]
        self._place = page.end
        if not lines:
            return b""
        self._unfinished = unfinished
        for source in sources:
            if any(line.stream == source.stream for line in lines):
                self._growths[source.path].found()
        return self._encoded("rows", {"html": await self._painted(lines)})

    async def _behind(self, sources: Sequence[LineSource], place: Cursor) -> int:
        def measure(key: str) -> int:
            return bytes_in(sources) - bytes_in(sources, place)

        return await readers.run(measure, sources[0].path)

    async def _painted(self, lines: Iterable[LoggedLine]) -> str:
        lines = tuple(lines)
        return await work(sum(len(line.data) for line in lines), self._view.rows, lines)

    def _encoded(self, event: str, data: dict[str, object]) -> bytes:
        assert self._place is not None
        return sse.message(json.dumps(data), event=event, id=cursor_text(self._place))

    def _watch(self, sources: Iterable[LineSource]) -> None:
        """Be woken when one of these logs grows, and no other."""
        paths = {source.path for source in sources}
        for path in paths - self._growths.keys():
            self._growths[path] = self._supervisor.log_writes.follow(path)
        for path in self._growths.keys() - paths:
            self._growths.pop(path).close()

    async def _grown(self, seconds: float) -> None:
        """Wait until one of the logs may have grown, at most some seconds."""

        async def wait(growth: Growth) -> None:
            await growth.wait(at_most=seconds)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for growth in self._growths.values():
                nursery.start_soon(wait, growth)


def _state(line: LoggedLine) -> object:
    """Return what tells whether a line that is shown has got longer, or its end."""
    return line.stream, line.start.spot, len(line.data), line.is_whole
