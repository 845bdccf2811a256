"""A log as a browser follows it, and as it takes it home (server-sent events, and the file)."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.runtime.logs.logread import last_bytes
from trio_supervisor.web import sse
from trio_supervisor.web.message import PLAIN, SECURITY, Response, Stream, error_response
from trio_supervisor.web.pages.ansi import Painter
from trio_supervisor.web.tails import Look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.supervisor import Supervisor

STDOUT = "stdout"
STDERR = "stderr"
MAIN = "main"
#: Bytes of a log that a live page begins with.
HISTORY = 64 * 1024
#: Bytes behind the end of its log from which on a page that is too slow skips to the end.
TOO_FAR = 1024 * 1024
#: Seconds without output after which a sign of life is sent.
SILENCE = 15


@dataclass(frozen=True, slots=True)
class Log:
    """What can be shown: ``path`` of a file, or what is ``remembered`` of an output without one."""

    name: str
    """``stdout``, ``stderr`` or ``supervisor``."""
    path: str | None
    remembered: str = ""


def log_of(supervisor: Supervisor, fields: Mapping[str, str]) -> Log:
    """The log that fields mean: ``processname``, and ``channel`` if it is not stdout; without a
    name, ``channel=main`` is the supervisor's own. Raises BadName.
    """
    name, channel = fields.get("processname", ""), fields.get("channel", "")
    if not name and channel == MAIN:
        activity = supervisor.activity
        return Log("supervisor", None if activity is None else activity.path)
    process = supervisor.process(name)
    output = process.stderr if channel == STDERR else process.stdout
    return Log(output.name, output.logfile, output.recent.text)


def live_log(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | Stream:
    """The end of a log, painted, and what is added to it."""
    try:
        feed = LogFeed(_path(log_of(supervisor, fields)))
    except (BadName, NoFile, Failed):
        return error_response(404, "there is no log that can be read")
    return Stream(feed, sse.TYPE, (*sse.HEADERS, *SECURITY))


def download(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | Stream:
    """The whole log as it is now, as a file."""
    try:
        log = log_of(supervisor, fields)
        copy = Copy(_path(log))
    except (BadName, NoFile, Failed, FileNotFoundError):
        return error_response(404, "there is no log that can be read")
    disposition = ("Content-Disposition", f'attachment; filename="{log.name}.log"')
    return Stream(copy, PLAIN, (disposition, ("Cache-Control", "no-store"), *SECURITY))


def painted_end(log: Log, size: int) -> str:
    """The last bytes of a log as HTML; blocks. Its backups count, if it has just been rotated.

    Raises NoFile or Failed.
    """
    return Painter().feed(last_bytes(_path(log), size).data, final=True)


def _path(log: Log) -> str:
    if log.path is None:
        raise NoFile
    return log.path


class LogFeed:
    """Messages for one browser: ``start`` with the end of the log, ``more`` with what is added.

    Making one raises NoFile or Failed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._look = Look()
        self._started = False
        self._begin()

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()  # a busy log starves nobody
        if self._started and self._follower.behind > TOO_FAR:
            self._follower.close()
            self._begin()
            self._started = False
        if not self._started:
            self._started = True
            return self._message("start", self._follower.poll())
        with trio.move_on_after(SILENCE):
            while not (data := self._follower.poll()):
                await self._look.wait()
            return self._message("more", data)
        return sse.KEEP_ALIVE

    def close(self) -> None:
        self._follower.close()

    def _begin(self) -> None:
        self._follower = LogFollower(self._path, HISTORY)
        self._painter = Painter()

    def _message(self, kind: str, data: bytes) -> bytes:
        return sse.message(json.dumps(self._painter.feed(data)), event=kind)


class Copy:
    """The bytes of a log up to where it ends now. Making one raises NoFile or Failed."""

    def __init__(self, path: str) -> None:
        self._left = os.stat(path).st_size
        self._follower = LogFollower(path, sys.maxsize)

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        data = self._follower.poll()[: self._left] if self._left else b""
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._follower.close()
