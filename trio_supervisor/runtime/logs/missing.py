"""What stands in for the log of a living child until it can be opened.

The supervisor that goes on with the children of another one opens their logs again, and a log is no
reason to stop a child. If the reason passes by itself, such as a lack of descriptors, the output
waits: some is kept here, the rest stays in the child's pipe. Otherwise it is dropped and counted,
because the child would be held up for as long as nobody repairs that. Opening is tried again until
it succeeds.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.guards import EXHAUSTED
from trio_supervisor.runtime.logs.drops import DropCounter, reason
from trio_supervisor.runtime.logs.writer import BACKLOG_LIMIT, QUEUE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.runtime.logs.sinks import Sink

#: Seconds between two attempts.
RETRY = 1.0
#: Seconds for which the record of the end of a child waits for its log, and between two attempts
#: then.
AT_END = 5.0
RETRY_AT_END = 0.05
#: Errors that pass without anybody who repairs something; a disk that does not answer is one.
_PASSING = (*EXHAUSTED, errno.ETIMEDOUT)


class MissingLog:
    """Sink in place of one that could not be opened.

    ``open_again`` opens it or raises OSError; ``opened`` is called with the one that takes the
    place of this.
    """

    broken = False

    def __init__(
        self,
        name: str,
        error: OSError,
        *,
        open_again: Callable[[], Awaitable[Sink]],
        opened: Callable[[Sink], object],
        report: Callable[[Severity, str], None],
    ) -> None:
        self.name = name
        self._error = error
        self._open_again = open_again
        self._opened = opened
        self._report = report
        self._drops = DropCounter(name, report)
        self._kept = bytearray()
        self._sink: Sink | None = None
        self._is_closed = False
        self._changed = trio.Event()
        if self._passes:
            text = f"cannot open log {name}: {reason(error)}; output waits until it works"
            report(Severity.ERROR, text)
        else:
            self._drops.lost(0, reason(error))

    @property
    def _passes(self) -> bool:
        return self._error.errno in _PASSING

    @property
    def kept(self) -> int:
        """Bytes that wait here."""
        return len(self._kept)

    @property
    def backlog(self) -> int:
        """As of a log whose disk is slow: the child is read no further."""
        return BACKLOG_LIMIT if self._passes else 0

    def write(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.write(data)
        elif self._passes and len(self._kept) + len(data) <= QUEUE_LIMIT:
            self._kept += data
        else:
            self._drops.lost(len(data), reason(self._error))

    async def search(self) -> None:
        """Try to open the log until that succeeds."""
        while self._sink is None:
            await trio.sleep(RETRY)
            await self._try()

    async def room(self) -> None:
        while self._sink is None and self._passes:
            await self._changed.wait()
        if self._sink is not None:
            await self._sink.room()

    async def settled(self) -> None:
        """Return when what a dead child has written is in the log, or is lost."""
        if self._kept and self._is_closed:
            with trio.move_on_after(AT_END):
                while self._kept and self._passes:
                    await self._try()
                    await trio.sleep(RETRY_AT_END)
            self._drop_kept()
            self._drops.closed()
        if self._sink is not None:
            await self._sink.settled()

    async def reopen(self) -> None:
        """Does nothing: that is tried all the time."""

    async def clear(self) -> None:
        """Does nothing: nothing is open."""

    def close(self) -> None:
        self._is_closed = True
        if not self._kept:
            self._drops.closed()

    async def _try(self) -> None:
        try:
            sink = await self._open_again()
        except OSError as error:
            self._error = error
            if not self._passes:
                self._drop_kept()
        else:
            self._take_place(sink)
        self._changed.set()
        self._changed = trio.Event()

    def _take_place(self, sink: Sink) -> None:
        self._sink = sink
        if self._kept:
            sink.write(bytes(self._kept))
            self._kept.clear()
        if self._drops.failing:
            self._drops.recovered()
        else:
            self._report(Severity.INFO, f"log {self.name} works again; no bytes were dropped")
        self._opened(sink)
        if self._is_closed:
            sink.close()

    def _drop_kept(self) -> None:
        if self._kept:
            self._drops.lost(len(self._kept), reason(self._error))
            self._kept.clear()
