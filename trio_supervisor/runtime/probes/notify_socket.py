"""The sockets on which programs send messages by the protocol of sd_notify(3).

Theory of operation
-------------------
Each process with ``notify`` has a socket of its own, and each of its children a new one, so that a
message of a dead child is never taken for one of the next. A socket is a file, not an abstract
name: files have an owner, and are reached from another network namespace. All of them are in one
directory of the supervisor that anybody may enter, but nobody may list; their names cannot be
guessed. A socket belongs to the program's user, so only that user, root and we can send to it.

The kernel tells with each message the uid of its sender (``SCM_CREDENTIALS``); others are ignored.
The pid is not looked at: ``systemd-notify`` has ended when its message is read. Descriptors that
come with a message are closed when it has been handled, which is the answer to ``BARRIER=1``.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.process.notification import (
    LONGEST_MESSAGE,
    MESSAGES_PER_SECOND,
    parse_notification,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.process.notification import Notification

#: Linux's MSG_CMSG_CLOEXEC: no child may inherit what a message brings.
MSG_CMSG_CLOEXEC = 0x40000000
#: pid, uid and gid of the sender of a message.
_CREDENTIALS = struct.Struct("3i")
#: Descriptors that the kernel lets one message have.
_MOST_DESCRIPTORS = 253
_DESCRIPTOR = struct.Struct("i")
#: Bytes of the longest path of a socket.
LONGEST_PATH = 107


class NotifySocket:
    """The socket of one child."""

    def __init__(
        self,
        path: str,
        uid: int | None,
        report: Callable[[str], None],
        descriptor: int | None = None,
    ) -> None:
        """Bind it, or go on with the socket of this descriptor, which is bound already.

        ``uid`` is the program's user; None means our own. Raises OSError.
        """
        self.path = path
        self._report = report
        self._reported: set[str] = set()
        self._senders = {0, os.getuid(), os.getuid() if uid is None else uid}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=descriptor)
        if descriptor is not None:
            return
        try:
            if len(os.fsencode(path)) > LONGEST_PATH:
                raise OSError(0, f"{os.path.dirname(path)}: its name is too long for sockets")
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind(path)
            os.chmod(path, 0o600)
            if uid is not None and uid != os.getuid():
                os.chown(path, uid, -1)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    async def messages(self, take: Callable[[Notification], None]) -> None:
        """Call ``take`` with each message, until cancelled.

        Of a program that sends more than MESSAGES_PER_SECOND, the others wait in the socket.
        """
        while True:
            began = trio.current_time()
            for _ in range(MESSAGES_PER_SECOND):
                await trio.lowlevel.wait_readable(self._socket)
                self.read_one(take)
                if trio.current_time() >= began + 1:
                    break
            else:
                await trio.sleep_until(began + 1)

    def read_waiting(self, take: Callable[[Notification], None]) -> None:
        """Handle what is in the socket now, at most MESSAGES_PER_SECOND messages."""
        for _ in range(MESSAGES_PER_SECOND):
            if not self.read_one(take):
                return

    def read_one(self, take: Callable[[Notification], None]) -> bool:
        """Handle one message if there is one; return whether there was."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        space += socket.CMSG_SPACE(_MOST_DESCRIPTORS * _DESCRIPTOR.size)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                LONGEST_MESSAGE, space, MSG_CMSG_CLOEXEC
            )
        except OSError:  # nothing is there, or no memory for it
            return False
        sender = -1
        descriptors: list[int] = []
        for _, kind, content in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                _, sender, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
            elif kind == socket.SCM_RIGHTS:
                whole = len(content) - len(content) % _DESCRIPTOR.size
                descriptors += [number for (number,) in _DESCRIPTOR.iter_unpack(content[:whole])]
        try:
            if sender not in self._senders:
                self._report_once(f"a message of uid {sender} is ignored")
            elif flags & socket.MSG_TRUNC:
                self._report_once(f"a message of more than {LONGEST_MESSAGE} bytes is ignored")
            else:
                take(parse_notification(data))
        finally:
            for descriptor in descriptors:
                with suppress(OSError):
                    os.close(descriptor)
        return True

    def detach(self) -> None:
        """Forget the socket, which stays open."""
        self._socket.detach()

    def close(self) -> None:
        """Close it and remove its file. A second call does nothing."""
        if self._socket.fileno() >= 0:
            with suppress(RuntimeError):  # outside of a trio program
                trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            with suppress(OSError):
                os.unlink(self.path)

    def _report_once(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._report(text)
