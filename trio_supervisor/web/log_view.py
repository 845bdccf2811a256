"""A log as a browser follows it, and as it takes it home (server-sent events, and the file)."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.logfollow import LogFollower
from trio_supervisor.web import sse
from trio_supervisor.web.ansi import Painter
from trio_supervisor.web.message import PLAIN, SECURITY, Response, Stream, error_response
from trio_supervisor.web.tails import Look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.channels import Channel
    from trio_supervisor.runtime.supervisor import Supervisor

STDOUT = "stdout"
STDERR = "stderr"
#: Bytes of a log that a live page begins with.
HISTORY = 64 * 1024
#: Bytes behind the end of its log from which on a page that is too slow skips to the end.
TOO_FAR = 1024 * 1024
#: Seconds without output after which a sign of life is sent.
SILENCE = 15


def channel_of(supervisor: Supervisor, fields: Mapping[str, str]) -> Channel:
    """The output that fields mean: ``processname``, and ``channel`` if it is not stdout.

    Raises BadName.
    """
    process = supervisor.process(fields.get("processname", ""))
    return process.stderr if fields.get("channel") == STDERR else process.stdout


def live_log(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | Stream:
    """The end of a log, painted, and what is added to it."""
    try:
        path = channel_of(supervisor, fields).logfile
        if path is None:
            raise NoFile
        feed = LogFeed(path)
    except (BadName, NoFile, Failed):
        return error_response(404, "there is no log that can be read")
    return Stream(feed, sse.TYPE, (*sse.HEADERS, *SECURITY))


def download(supervisor: Supervisor, fields: Mapping[str, str]) -> Response | Stream:
    """The whole log as it is now, as a file."""
    try:
        channel = channel_of(supervisor, fields)
        if channel.logfile is None:
            raise NoFile
        copy = Copy(channel.logfile)
    except (BadName, NoFile, Failed, FileNotFoundError):
        return error_response(404, "there is no log that can be read")
    disposition = ("Content-Disposition", f'attachment; filename="{channel.name}.log"')
    return Stream(copy, PLAIN, (disposition, ("Cache-Control", "no-store"), *SECURITY))


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
