"""The stdout of an event listener: its answers go to its pool at once, to its log a little later.

Otherwise an output channel like any other; what the bytes mean is none of its business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT
from trio_supervisor.runtime.output.channel import CHUNK, Channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import ChannelConfig
    from trio_supervisor.runtime.host import Host


class ListenerChannel(Channel):
    """``on_output`` receives the raw bytes as they come.

    They are neither captured nor made events.
    """

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        *,
        process: str,
        group: str,
        host: Host,
        logfile: str | None,
        on_output: Callable[[bytes], None],
    ) -> None:
        super().__init__(name, config, process=process, group=group, host=host, logfile=logfile)
        self._capture_maxbytes = 0
        self._publishes = False
        self._on_output = on_output
        self._unlogged = bytearray()

    def finish(self) -> None:
        self._log_gathered()
        super().finish()

    async def _drain(self, fd: int) -> None:
        ended = False

        def take() -> bool:
            nonlocal ended
            ended = self._read(fd, CHUNK) is None
            return not (ended or any(sink.backlog >= BACKLOG_LIMIT for sink in self._sinks))

        while not ended:
            await self._host.poller.read(fd, take)
            await self._room()

    def _take(self, data: bytes) -> None:
        if self._host.daemon.loglevel <= Severity.DEBUG:
            # The output is in the activity log as well, in front of what came of it.
            self._unlogged += data
            self._log_gathered()
            self._on_output(data)
            return
        self._on_output(data)
        if not self._unlogged:
            # Hundreds of listeners answer every event: with a write for each answer the thread that
            # serves all logs would be late for all others.
            self._host.poller.later(self._log_gathered)
        self._unlogged += data
        if len(self._unlogged) >= CHUNK:
            self._log_gathered()

    def _log_gathered(self) -> None:
        data, self._unlogged = bytes(self._unlogged), bytearray()
        if data:
            super()._take(data)
