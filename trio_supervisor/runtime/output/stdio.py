"""The stdin, stdout and stderr of a process: the pipes of its children, one child after another.

Theory of operation
-------------------
``Stdio`` owns the daemon's ends of the pipes from the moment a child exists until it is gone. It
knows no process states; the life of a process calls it in this order::

    logs      the log targets are opened first: without its log there is no child
    attach    the pipes of the new child are taken over
    carry     a task for each pipe: output channels drain stdout and stderr, stdin is fed
    -- the child dies; ``carry`` is cancelled, wherever it was --
    drain_rest, close, settled

Nothing that a child wrote before its death may be lost, and the end of its pipe is no help: a
descendant may have inherited the other end and keep it open, or write to it, for ever. So the death
of the child decides, not the end of file:

1. ``carry`` is cancelled. No output is lost by that, because there is no checkpoint between reading
   bytes and handling them.
2. ``drain_rest`` asks the kernel how many bytes are in each pipe (``FIONREAD``) and takes exactly
   these, without waiting and even if a log target is slow. The child wrote its bytes before it
   died, so they are among them; bytes that a descendant adds meanwhile are not waited for.
3. ``close`` closes the pipes and ends the output of the channels: the reader hands over what it has
   gathered, the filters what could have been the beginning of a token, and the targets are closed.
   The kernel refuses further output of a descendant (SIGPIPE, EPIPE).
4. ``settled`` waits until the disk worker has written everything, so that a client that is told of
   the exit finds the last lines in the log. A disk that hangs is waited for only for a moment.

Only then is the exit recorded. Steps 2 and 3 are synchronous: a cancellation cannot come between.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.output.channel import begin_channels, log_requests, open_channels
from trio_supervisor.runtime.output.child_logs import ChildLogs, unopened

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.logs.sinks import Sinks
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.spawn.child import Child

#: Bytes that may wait for a child that does not read its stdin.
STDIN_LIMIT = 1024 * 1024


class Stdio:
    """stdin, stdout and stderr of one process. ``merged`` means stderr goes to stdout."""

    __slots__ = (
        "_are_in_files",
        "_before",
        "_channels",
        "_label",
        "_sinks",
        "_stderr",
        "_stderr_pipe",
        "_stdin_taken",
        "_stdout",
        "_stdout_pipe",
        "stdin",
    )

    def __init__(
        self,
        label: str,
        stdout: OutputChannel,
        stderr: OutputChannel,
        *,
        merged: bool,
        sinks: Sinks,
        stdin_taken: Callable[[], object],
    ) -> None:
        """``stdin_taken`` is called when the child's pipe has taken all that was sent."""
        self.stdin = Stdin(None, stdin_taken)
        self._stdin_taken = stdin_taken
        self._label = label
        self._sinks = sinks
        self._stdout = stdout
        self._stderr = stdout if merged else stderr
        self._channels = (stdout,) if merged else (stdout, stderr)
        self._are_in_files = all(channel.is_in_files for channel in self._channels)
        self._stdout_pipe: int | None = None
        self._stderr_pipe: int | None = None
        """None without a child, and for stderr if it goes to the pipe of stdout."""
        self._before = (0, 0)
        """Bytes of stdout and stderr that earlier children wrote."""

    async def open(self) -> None:
        """Open the logs for a new child. Raises SpawnError; nothing is open then."""
        try:
            await open_channels(self._channels, self._sinks)
        except OSError as error:
            self._close_logs()
            raise unopened(self._label, error) from error

    async def logs(self) -> ChildLogs | None:
        """Return the logs that are to be opened before a new child is made.

        None: they are open, or there are none. Raises SpawnError; nothing is open then.
        """
        if not self._are_in_files:
            await self.open()
            return None
        try:
            requests = await log_requests(self._channels)
        except OSError as error:
            raise unopened(self._label, error) from error
        if not requests:
            begin_channels(self._channels, ())
            return None
        return ChildLogs(self._label, self._channels, self._sinks.opening(requests), self._sinks)

    async def reopen(self) -> None:
        """Open the logs for a child that is already alive; ``carry`` looks for what is missing."""
        for channel in self._channels:
            await channel.targets.resume()
            channel.begin(must=False)

    def attach(self, child: Child) -> None:
        """Take over the pipes of a new child."""
        if child.stdin is None or self.stdin.fd != child.stdin:  # else ``take_stdin`` was first
            self.take_stdin(child.stdin)
        self._stdout_pipe, self._stderr_pipe = child.stdout, child.stderr
        self._before = self._stdout.tail.count, self._stderr.tail.count

    @property
    def _pipes(self) -> list[tuple[OutputChannel, int]]:
        """The pipes of output that we have, each with its channel."""
        pipes = (self._stdout, self._stdout_pipe), (self._stderr, self._stderr_pipe)
        return [(channel, fd) for channel, fd in pipes if fd is not None]

    def take_stdin(self, fd: int | None) -> None:
        """Take over the stdin of a child; what is sent from now on is queued for it."""
        self.stdin = Stdin(fd, self._stdin_taken)

    def carry(self, nursery: trio.Nursery, pid: int) -> None:
        """Start the tasks that move bytes both ways, until the nursery is cancelled."""
        for channel in self._channels:
            for missing in channel.targets.missing:
                nursery.start_soon(missing.search)
        for channel, fd in self._pipes:
            nursery.start_soon(channel.drain, fd, pid, name=channel.name)
        self.stdin.deliver(nursery)

    def drain_rest(self) -> None:
        """Take what a dead child has left in its pipes."""
        for channel, fd in self._pipes:
            channel.drain_rest(fd)

    def close(self) -> None:
        """Close our ends of the pipes and the logs."""
        self.stdin.close()
        for _, fd in self._pipes:  # whose tasks have ended
            os.close(fd)
        self._stdout_pipe = self._stderr_pipe = None
        self._close_logs()

    def _close_logs(self) -> None:
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

    @property
    def last_lines(self) -> tuple[str, str]:
        """The last lines of stdout and stderr of the present or last child."""
        stdout, stderr = self._before
        if self._stderr is self._stdout:
            return self._stdout.tail.text_since(stdout), ""
        return self._stdout.tail.text_since(stdout), self._stderr.tail.text_since(stderr)

    def write_note(self, text: str) -> None:
        """Append a message of the daemon to the log of the child's stderr."""
        self._stderr.deliver(text.encode())

    def write_to_log(self, data: bytes) -> None:
        """Append to the log of stdout what a command beside the child has written."""
        self._stdout.write_to_log(data)


class Stdin:
    """The stdin of one child: bytes are queued in order and delivered as the child reads.

    ``fd`` is the daemon's end of the pipe, None without a child. ``taken`` is called when the pipe
    has taken all that was queued.
    """

    __slots__ = ("_closing", "_delivering", "_fd", "_nursery", "_queue", "_taken")

    def __init__(self, fd: int | None, taken: Callable[[], object]) -> None:
        self._fd = fd
        self._taken = taken
        self._queue = bytearray()
        self._nursery: trio.Nursery | None = None
        """Where the task that delivers runs; it exists only while bytes are queued."""
        self._delivering = False
        self._closing = False

    def send(self, data: bytes, label: str, *, limited: bool = True) -> None:
        """Queue bytes. Raises NoFile if the child has no open stdin, Failed if too much waits."""
        if self._fd is None or self._closing:
            raise NoFile(label)
        if limited and len(self._queue) + len(data) > STDIN_LIMIT:
            raise Failed("stdin buffer full")
        if not self._queue:  # what the pipe takes at once is not copied to the queue
            data = data[self._write(data) :]
        if data and self._fd is not None:
            self._queue += data
            self._flush()
            self._deliver_rest()
        if self._fd is None:
            raise NoFile(label)

    @property
    def fd(self) -> int | None:
        """Our end of the pipe; None without a child, and when it is closed."""
        return self._fd

    @property
    def pending(self) -> int:
        """Bytes not yet taken by the child's pipe."""
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """Whether the child gets no more: it has closed its stdin, or is to get an end of file."""
        return self._fd is None or self._closing

    def finish(self) -> None:
        """Give the child an end of file when it has got all that is queued."""
        self._closing = True
        if not self._queue:
            self.close()

    def deliver(self, nursery: trio.Nursery) -> None:
        """Deliver what is queued, now and later, in a task of this nursery."""
        self._nursery = nursery
        self._deliver_rest()

    def stop_delivery(self) -> None:
        """Start no task any more: the nursery is about to close."""
        self._nursery = None

    def close(self) -> None:
        if self._fd is not None:
            if self._delivering:
                trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = None
        self._queue.clear()

    def _deliver_rest(self) -> None:
        if self._queue and self._nursery is not None and not self._delivering:
            self._delivering = True
            self._nursery.start_soon(self._feed)

    async def _feed(self) -> None:
        """Write as the child reads, until nothing is queued."""
        try:
            while self._fd is not None and self._queue:
                await trio.lowlevel.wait_writable(self._fd)
                self._flush()
        except trio.ClosedResourceError:
            return
        finally:
            self._delivering = False
        if self._closing:
            self.close()
        self._taken()

    def _flush(self) -> None:
        while self._fd is not None and self._queue:
            written = self._write(self._queue)
            if not written:
                return
            del self._queue[:written]

    def _write(self, data: bytes | bytearray) -> int:
        """Write to the open pipe; return how many bytes it took, 0 if it is full or broken."""
        assert self._fd is not None
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:  # the child closed its stdin
            self.close()
            return 0
