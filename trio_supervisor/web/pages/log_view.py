"""Logs for browsers: their ends, and as files to download."""

from __future__ import annotations

import sys
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

    from trio_supervisor.runtime.output.log_source import LogSource
    from trio_supervisor.runtime.supervisor import Supervisor

MAIN = "main"
#: Bytes of a log that are converted to HTML at once, in a few milliseconds.
PAINTED = 128 * 1024


def log_of(supervisor: Supervisor, fields: Mapping[str, str]) -> LogSource:
    """Return the log that fields mean: ``processname``, and ``channel`` if it is not stdout.

    Without a name ``channel=main`` is the supervisor's own log. Raises BadName.
    """
    name, channel = fields.get("processname", ""), fields.get("channel", "")
    if not name and channel == MAIN:
        return find_log(supervisor, ACTIVITY_LOG)
    return find_log(supervisor, LogAddress(name, STDERR if channel == STDERR else STDOUT))


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
