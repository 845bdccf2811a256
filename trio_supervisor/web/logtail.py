"""Streams of logs as they grow: ``/logtail`` and ``/mainlogtail`` (interfaces.md 3.4).

Knows which log an address means and when to look at it again; how is known to
``runtime/logs/logfollow.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.logs.logfollow import LogFollower
from trio_supervisor.runtime.logs.readers import InThreads, readers
from trio_supervisor.web.message import (
    NO_STORE,
    SECURITY,
    Response,
    StreamResponse,
    error_response,
    http_date,
)

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.rotated import Place
    from trio_supervisor.runtime.supervisor import Supervisor

#: For streams of text: no proxy on the way may hold anything back.
HEADERS = (("X-Accel-Buffering", "no"), *NO_STORE, *SECURITY)
#: The header with the place where a stream begins, for who wants to go on after it broke off.
POSITION = "X-Log-Position"
#: Seconds between two looks at a log that did not grow. A power of two, for which the time left to
#: the next look is exact and never too small to make a difference.
LOOK = 0.125


async def tail_process(supervisor: Supervisor, address: str) -> Response | StreamResponse:
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
    return await _tail(channel.logfile)


async def tail_main(supervisor: Supervisor) -> Response | StreamResponse:
    return await _tail(supervisor.activity.path if supervisor.activity is not None else None)


async def _tail(path: str | None) -> Response | StreamResponse:
    if path is None:
        return error_response(404, "there is no log")
    try:
        return await following(path)
    except (NoFile, Failed):
        return error_response(404, "there is no log that can be read")


async def following(path: str, place: Place | None = None) -> StreamResponse:
    """A log from a place on, or its end, and what is added to it. Raises NoFile or Failed."""
    tail = await readers.run(Tail, path, place, undo=Tail.close)
    position = () if place is None else ((POSITION, str(tail.start)),)
    headers = (("Last-Modified", http_date(tail.modified)), *HEADERS, *position)
    return StreamResponse(tail, headers=headers, descriptors=1)


class Look:
    """When to look at a log again: for now, every so often, and at the same time as all others, so
    that one thread does it for all."""

    async def wait(self) -> None:
        now = trio.current_time()
        await trio.sleep(LOOK - now % LOOK)


class Tail:
    """The bytes of one stream. Making one blocks, and raises NoFile or Failed."""

    def __init__(self, path: str, place: Place | None = None) -> None:
        follower = LogFollower(path, place=place)
        self._follower = InThreads(follower)
        self._look = Look()
        self.modified = follower.modified
        self.start = follower.start

    async def read(self) -> bytes:
        """The next bytes, as soon as there are some."""
        while not (data := await self._follower.use(LogFollower.poll)):
            await self._look.wait()
        return data

    def close(self) -> None:
        self._follower.close()
