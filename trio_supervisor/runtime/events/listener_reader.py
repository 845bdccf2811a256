"""Reads the stdout of an event listener: answers go to the pool at once, to the log a little later.

It is the reader of an output channel (``runtime/output/reader.py``) and gives no meaning to the
bytes: the pool does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.output.pipe import CHUNK, read_available

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.reader import Intake

_DEBUG = Severity.DEBUG  # looking it up takes longer than most steps of an answer


class ListenerReader:
    """``on_output`` is called with the raw bytes as they come."""

    __slots__ = ("_gathered", "_host", "_on_output")

    def __init__(self, host: Host, on_output: Callable[[bytes], None]) -> None:
        self._host = host
        self._on_output = on_output
        self._gathered = bytearray()
        """What the channel does not have yet."""

    async def drain(self, fd: int, intake: Intake) -> None:
        ended = False

        def take() -> bool:
            nonlocal ended
            data = read_available(fd, CHUNK)
            if not data:
                ended = data == b""
                return not ended
            fed = not self._gathered
            self.take(data, intake)
            # As long as bytes are only gathered, the channel has no more than at the last look.
            return not ((fed or not self._gathered) and intake.backlogged)

        while not ended:
            await self._host.poller.read(fd, take)
            await intake.room()
        intake.pipe_ended(fd)

    def take(self, data: bytes, intake: Intake) -> None:
        if self._host.daemon.loglevel <= _DEBUG:
            # The output is in the activity log as well, in front of what came of it.
            self._gathered += data
            self.finish(intake)
            self._on_output(data)
            return
        self._on_output(data)
        if not self._gathered:
            # Hundreds of listeners answer every event: with a write for each answer the thread that
            # serves all logs would be late for all others.
            self._host.poller.later(partial(self.finish, intake))
        self._gathered += data
        if len(self._gathered) >= CHUNK:
            self.finish(intake)

    def finish(self, intake: Intake) -> None:
        data, self._gathered = bytes(self._gathered), bytearray()
        if data:
            intake.feed(data)
