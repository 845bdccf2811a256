"""Logs for browsers: live, as server-sent events, and as a file to download."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.runtime.logs.logread import last_bytes
from trio_supervisor.runtime.logs.readers import InThreads
from trio_supervisor.runtime.output.log_source import (
    ACTIVITY_LOG,
    STDERR,
    STDOUT,
    LogAddress,
    find_log,
)
from trio_supervisor.web import sse
from trio_supervisor.web.message import (
    NO_STORE,
    PLAIN,
    SECURITY,
    Response,
    StreamResponse,
    error_response,
)
from trio_supervisor.web.pages.ansi import Painter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.output.log_source import LogSource, Watched
    from trio_supervisor.runtime.supervisor import Supervisor

MAIN = "main"
#: Bytes of a log at the start of a live page.
HISTORY = 64 * 1024
#: Bytes by which a slow page may be behind the end of its log before it skips to the end.
TOO_FAR = 1024 * 1024
#: Bytes of a log that are converted to HTML at once, in a few milliseconds.
PAINTED = 128 * 1024
#: Seconds without output after which a keep-alive is sent.
SILENCE = 15


def log_of(supervisor: Supervisor, fields: Mapping[str, str]) -> LogSource:
    """Return the log that fields mean: ``processname``, and ``channel`` if it is not stdout.

    Without a name ``channel=main`` is the supervisor's own log. Raises BadName.
    """
    name, channel = fields.get("processname", ""), fields.get("channel", "")
    if not name and channel == MAIN:
        return find_log(supervisor, ACTIVITY_LOG)
    return find_log(supervisor, LogAddress(name, STDERR if channel == STDERR else STDOUT))


async def live_log(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | StreamResponse:
    """Stream the end of a log and what is added to it, as HTML."""
    try:
        log = log_of(supervisor, fields)
        reader = await log.run(FeedReader, undo=FeedReader.close)
    except (BadName, NoFile, Failed):
        return error_response(404, "there is no log that can be read")
    feed = LogFeed(log.watch(reader))
    return StreamResponse(feed, sse.TYPE, (*sse.HEADERS, *SECURITY), descriptors=1)


async def download(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | StreamResponse:
    """Send the complete log, up to its present end, as a file."""
    try:
        log = log_of(supervisor, fields)
        copy = await log.run(Copy, undo=Copy.close)
    except (BadName, NoFile, Failed):
        return error_response(404, "there is no log that can be read")
    disposition = ("Content-Disposition", f'attachment; filename="{log.name}.log"')
    headers = (disposition, *NO_STORE, *SECURITY)
    return StreamResponse(copy, PLAIN, headers, descriptors=1)


def painted_end(path: str, size: int) -> bytes:
    """Convert the last bytes of a log to HTML; blocks. Rotated files are included.

    Raises NoFile or Failed.
    """
    data = last_bytes(path, size).data
    painter = Painter()
    starts = range(0, len(data), PAINTED) or [0]
    # Other threads run between two pieces.
    return b"".join(
        painter.feed(data[start : start + PAINTED], final=start == starts[-1]).encode(
            errors="replace"
        )
        for start in starts
    )


class LogFeed:
    """Messages for one browser: ``start`` with the end of the log, ``more`` with what is added."""

    def __init__(self, watched: Watched[FeedReader]) -> None:
        self._watched = watched

    async def read(self) -> bytes:
        return await self._watched.next(FeedReader.next, seconds=SILENCE) or sse.KEEP_ALIVE

    def close(self) -> None:
        self._watched.close()


class FeedReader:
    """Reads a log for a LogFeed and converts it; blocks. Raises NoFile or Failed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._started = False
        self._painter = Painter()
        self._follower = LogFollower(path, HISTORY)

    def next(self) -> bytes:
        """Return the next message; empty if there is no new output."""
        if self._started and self._follower.behind > TOO_FAR:
            with suppress(NoFile, Failed):
                self._skip()
        if not self._started:
            self._started = True
            return self._message("start", self._follower.poll())
        data = self._follower.poll()
        return self._message("more", data) if data else b""

    def close(self) -> None:
        self._follower.close()

    def _skip(self) -> None:
        """Start again at the end of the log. Raises NoFile or Failed."""
        follower = LogFollower(self._path, HISTORY)
        self._follower.close()
        self._follower, self._painter, self._started = follower, Painter(), False

    def _message(self, kind: str, data: bytes) -> bytes:
        return sse.message(json.dumps(self._painter.feed(data)), event=kind)


class Copy:
    """The bytes of a log up to its present end.

    Making one blocks, and raises NoFile or Failed.
    """

    def __init__(self, path: str) -> None:
        follower = LogFollower(path, sys.maxsize)
        self._left = follower.size
        self._follower = InThreads(follower)

    async def read(self) -> bytes:
        if not self._left:
            return b""
        data = (await self._follower.use(LogFollower.poll))[: self._left]
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._follower.close()
