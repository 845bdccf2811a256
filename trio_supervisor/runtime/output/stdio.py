"""The three streams between a process and us, for each of its children after one another.

Owns our ends of the pipes from the moment a child exists until it is gone; knows no states.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.spawn.child import errno_name
from trio_supervisor.runtime.spawn.launcher import SpawnError
from trio_supervisor.runtime.system.opening import explanation

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.output.channel import Channel
    from trio_supervisor.runtime.spawn.child import Child

#: Bytes that may wait for a child that does not read its stdin (P-201).
STDIN_LIMIT = 1024 * 1024


class Streams:
    """stdin, stdout and stderr of one process; ``merged``: stderr goes to stdout (P-206)."""

    def __init__(
        self,
        label: str,
        stdout: Channel,
        stderr: Channel,
        *,
        merged: bool,
        stdin_taken: Callable[[], object],
    ) -> None:
        """``stdin_taken`` is called when the child's pipe has taken all that was sent."""
        self.stdin = Stdin(None, stdin_taken)
        self._stdin_taken = stdin_taken
        self._label = label
        self._stdout = stdout
        self._stderr = stdout if merged else stderr
        self._channels = (stdout,) if merged else (stdout, stderr)
        self._pipes: list[tuple[Channel, int]] = []

    async def open(self) -> None:
        """Open the logs for a new child. Raises SpawnError; nothing is open then (P-041, P-045)."""
        try:
            for channel in self._channels:
                await channel.open()
        except OSError as error:
            self.close()
            text = f"unknown error making dispatchers for '{self._label}': {errno_name(error)}"
            if (why := explanation(error)) is not None:
                text = f"{text}: {error.filename}: {why}"
            raise SpawnError(text) from error

    def attach(self, child: Child) -> None:
        """Take over the pipes of a new child."""
        self.stdin = Stdin(child.stdin, self._stdin_taken)
        pipes = (self._stdout, child.stdout), (self._stderr, child.stderr)
        self._pipes = [(channel, fd) for channel, fd in pipes if fd is not None]

    async def carry(self, pid: int) -> None:
        """Move bytes both ways until cancelled, or until the child has closed everything."""
        async with trio.open_nursery() as nursery:
            for channel, fd in self._pipes:
                nursery.start_soon(channel.drain, fd, pid)
            nursery.start_soon(self.stdin.feed)

    def drain_rest(self) -> None:
        """Take what a child that is gone has left in its pipes (P-208)."""
        for channel, fd in self._pipes:
            channel.drain_rest(fd)

    def close(self) -> None:
        """Close our ends of the pipes and the logs."""
        self.stdin.close()
        for _, fd in self._pipes:
            trio.lowlevel.notify_closing(fd)
            os.close(fd)
        self._pipes = []
        for channel in self._channels:
            channel.finish()

    async def settled(self) -> None:
        """Return when all that was written is in the logs, or when their disk hangs."""
        for channel in self._channels:
            await channel.settled()

    async def finish(self) -> None:
        """``close``, and return when all that was written is in the logs."""
        self.close()
        await self.settled()

    def write_note(self, text: str) -> None:
        """Append words of ours where the child's stderr goes."""
        self._stderr.write_note(text)


class Stdin:
    """What is sent to one child's stdin: queued in order, delivered as the child reads (P-200)."""

    def __init__(self, fd: int | None, taken: Callable[[], object]) -> None:
        self._fd = fd
        self._taken = taken
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._more = trio.Event()

    def send(self, data: bytes, label: str, *, limited: bool = True) -> None:
        """Queue bytes. Raises NoFile if nobody reads (P-199), Failed if too much waits (P-201)."""
        if self._fd is None:
            raise NoFile(label)
        if limited and self._queued + len(data) > STDIN_LIMIT:
            raise Failed("stdin buffer full")
        self._queue.append(data)
        self._queued += len(data)
        self._flush()
        if self._fd is None:
            raise NoFile(label)
        if self._queue:
            self._more.set()

    @property
    def pending(self) -> int:
        """Bytes not yet taken by the child's pipe."""
        return self._queued

    async def feed(self) -> None:
        """Deliver what is queued, for as long as the child lives."""
        while self._fd is not None:
            if not self._queue:
                self._more = trio.Event()
                await self._more.wait()
                continue
            try:
                await trio.lowlevel.wait_writable(self._fd)
            except trio.ClosedResourceError:
                return
            self._flush()
            if not self._queue:
                self._taken()

    def close(self) -> None:
        if self._fd is not None:
            trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = None
        self._queue.clear()
        self._queued = 0

    def _flush(self) -> None:
        while self._fd is not None and self._queue:
            data = self._queue[0]
            try:
                written = os.write(self._fd, data) if data else 0
            except BlockingIOError:
                return
            except OSError:  # the child closed its stdin (P-202)
                self.close()
                return
            self._queued -= written
            if written == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = data[written:]
