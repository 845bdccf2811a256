"""Streams of logs as they grow: ``/logtail`` and ``/mainlogtail`` (interfaces.md 3.4).

Follows a path, not a file: through rotation, truncation and absence. Knows nothing of HTTP but the
values it answers with.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName
from trio_supervisor.web.message import SECURITY, Response, Stream, error_response, http_date

if TYPE_CHECKING:
    from trio_supervisor.runtime.supervisor import Supervisor

#: Bytes of what is there already that a stream begins with.
HISTORY = 1024
#: Most bytes of one piece; a backlog comes in several, and other connections have their turn.
CHUNK = 64 * 1024
#: Seconds between two looks at a log that did not grow.
LOOK = 0.1
TRUNCATED = b"==> File truncated <==\n"
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


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
        tail = Tail(path)
    except OSError as error:
        return error_response(404, f"{path}: {error.strerror}")
    headers = (
        ("Last-Modified", http_date(tail.modified)),
        ("X-Accel-Buffering", "no"),
        *SECURITY,
    )
    return Stream(tail, headers=headers)


class Look:
    """When to look at a log again: for now, every so often."""

    async def wait(self) -> None:
        await trio.sleep(LOOK)


class Tail:
    """Reads a log from shortly before its end on, for ever. Making one raises OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._look = Look()
        self._fd = _open(path)
        found = os.fstat(self._fd)
        self.modified = found.st_mtime
        self._position = max(0, found.st_size - HISTORY)

    async def read(self) -> bytes:
        """The next bytes, as soon as there are some."""
        await trio.lowlevel.checkpoint()
        while not (data := self._next()):
            await self._look.wait()
        return data

    def close(self) -> None:
        os.close(self._fd)

    def _next(self) -> bytes:
        """What there is now. A file that was renamed is read to its end before its successor."""
        replaced = self._is_replaced()
        size = os.fstat(self._fd).st_size
        if size < self._position:
            self._position = 0
            return TRUNCATED
        data = os.pread(self._fd, CHUNK, self._position)
        self._position += len(data)
        if not data and replaced:
            self._open_successor()
            data = os.pread(self._fd, CHUNK, self._position)
            self._position += len(data)
        return data

    def _is_replaced(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:  # deleted: what is open is all there is, until somebody makes a new one
            return False

    def _open_successor(self) -> None:
        try:
            fd = _open(self._path)
        except OSError:  # gone again, or no file: stay with the old one
            return
        os.close(self._fd)
        self._fd = fd
        self._position = 0


def _open(path: str) -> int:
    """Only regular files can be followed."""
    fd = os.open(path, OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "not a regular file", path)
    return fd
