"""The output of a process that has no log file to be followed, from memory, as it is written.

A channel remembers little of its past (``runtime/output/tail_buffer.py``); who is slow loses the
oldest.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES

if TYPE_CHECKING:
    from trio_supervisor.runtime.output.channel import OutputChannel


class OutputTail:
    """The bytes of one stream; ``first`` are those to begin with."""

    def __init__(self, channel: OutputChannel, first: bytes) -> None:
        self._first = first
        self._open = ExitStack()
        self._stream = self._open.enter_context(channel.subscriptions.open(BUFFER_BYTES))

    async def read(self) -> bytes:
        """The next bytes, as soon as there are some; empty when the process is removed."""
        if self._first:
            first, self._first = self._first, b""
            return first
        return await anext(self._stream, b"")

    def close(self) -> None:
        self._open.close()
