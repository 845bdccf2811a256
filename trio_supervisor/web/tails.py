"""Streams of logs as they grow: ``/logtail`` and ``/mainlogtail`` (interfaces.md 3.4).

Knows which log an address means and when to look at it again; how is known to
``runtime/logs/logfollow.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.web.message import SECURITY, Response, Stream, error_response, http_date

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.generations import Place
    from trio_supervisor.runtime.supervisor import Supervisor

#: For streams of text: no proxy on the way may hold anything back.
HEADERS = (("X-Accel-Buffering", "no"), *SECURITY)
#: The header with the place where a stream begins, for who wants to go on after it broke off.
POSITION = "X-Log-Position"
#: Seconds between two looks at a log that did not grow.
LOOK = 0.1


def tail_process(supervisor: Supervisor, address: str) -> Response | Stream:
    """``address`` is ``name`` or ``name/channel``."""
    name, _, channel_name = address.partition("/")
    try:
        process = supervisor.process(name)
    except BadName:
        return error_response(404, f"no process {name}")
    channels = {"": process.stdout, "stdout": process.stdout, "stderr": process.stderr}
    channel = channels.get(channel_name)
    if channel is None:
        return error_response(404, f"no channel {channel_name}")
    return _tail(channel.logfile)


def tail_main(supervisor: Supervisor) -> Response | Stream:
    return _tail(supervisor.activity.path if supervisor.activity is not None else None)


def _tail(path: str | None) -> Response | Stream:
    if path is None:
        return error_response(404, "there is no log")
    try:
        return following(path)
    except (NoFile, Failed):
        return error_response(404, "there is no log that can be read")


def following(path: str, place: Place | None = None) -> Stream:
    """A log from a place on, or its end, and what is added to it. Raises NoFile or Failed."""
    tail = Tail(path, place)
    position = () if place is None else ((POSITION, str(tail.start)),)
    headers = (("Last-Modified", http_date(tail.modified)), *HEADERS, *position)
    return Stream(tail, headers=headers)


class Look:
    """When to look at a log again: for now, every so often."""

    async def wait(self) -> None:
        await trio.sleep(LOOK)


class Tail:
    """The bytes of one stream. Making one raises NoFile or Failed."""

    def __init__(self, path: str, place: Place | None = None) -> None:
        self._follower = LogFollower(path, place=place)
        self._look = Look()
        self.modified = self._follower.modified
        self.start = self._follower.start

    async def read(self) -> bytes:
        """The next bytes, as soon as there are some."""
        await trio.lowlevel.checkpoint()  # a busy log starves nobody
        while not (data := self._follower.poll()):
            await self._look.wait()
        return data

    def close(self) -> None:
        self._follower.close()
