"""The stage of a log format: between the output of a channel and its log targets.

Only channels with a format have one. It is imported where the first such channel is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.line_records import RENDERERS, LineRecords

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.config.model import LogFormat
    from trio_supervisor.core.line_records import Origin
    from trio_supervisor.runtime.output.targets import ChannelTargets

#: Seconds after which a line that has no end, such as a prompt, is written nevertheless.
LATE = 2.0


class RecordStage:
    """Writes the output of one channel to its targets, as records of whole lines.

    ``wall_clock`` returns seconds since the epoch.
    """

    def __init__(
        self,
        format: LogFormat,
        origin: Origin,
        targets: ChannelTargets,
        wall_clock: Callable[[], float],
    ) -> None:
        self._records = LineRecords(RENDERERS[format](origin))
        self._targets = targets
        self._wall_clock = wall_clock
        self._held_since: float | None = None
        self._is_holding = trio.Event()

    def write(self, data: bytes, pid: int) -> None:
        """Take output of the child with this pid."""
        records = self._records.feed(data, self._wall_clock(), pid)
        if records:
            self._targets.write(records)
        if not self._records.is_holding:
            self._held_since = None
        elif records or self._held_since is None:
            self._held_since = trio.current_time()
            self._is_holding.set()

    def finish(self, pid: int) -> None:
        """Write what is held back: the output of the child has ended."""
        self._write_held(pid, whole=True)

    async def during(self, drain: Awaitable[None], pid: int) -> None:
        """Await what takes the output; meanwhile write lines without an end when they are late."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_late_lines, pid)
            await drain
            nursery.cancel_scope.cancel()

    async def _write_late_lines(self, pid: int) -> None:
        while True:
            if self._held_since is None:
                self._is_holding = trio.Event()
                await self._is_holding.wait()
                continue
            since = self._held_since
            await trio.sleep_until(since + LATE)
            if self._held_since == since:
                self._write_held(pid, whole=False)

    def _write_held(self, pid: int, *, whole: bool) -> None:
        self._held_since = None
        records = self._records.finish(self._wall_clock(), pid, whole=whole)
        if records:
            self._targets.write(records)
