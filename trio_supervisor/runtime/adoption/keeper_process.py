"""The keeper: holds copies of the daemon's descriptors, for the next daemon if this one is killed.

Run as a script, ``python -I -S keeper_process.py PATH FD``, with a listening SEQPACKET socket as
stdin, whose file is PATH in the open directory FD; ``keeper.py`` has the daemon's side and the
reasons. It knows nothing of programs. Each message has parts that are separated by zero bytes,
and may bring descriptors:

=======================  ========================================================================
``put`` NOTE KEY         hold these descriptors under the key, in place of those that it had
``drop`` KEY             close those of the key
``begin``, ``commit``    what was not put or named between the two is dropped
``stay`` KEY             name a key
``take``                 answer with a message NOTE KEY and the descriptors for each key, one of
                         TIME ``ended`` KEY for each end that was seen, then one of a zero byte
``end``                  end
=======================  ========================================================================

There is one connection at a time: the first message on it is ``ok``, or ``busy`` and the pid of the
daemon that has it. While there is none, the keeper notes when processes end of which it holds
pidfds, by the monotonic clock. It ends by itself when no daemon has come for long and all of these
have ended.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the modules around these two need more memory
import _socket
import array
import errno
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds after which a keeper without a daemon looks whether there is anything to wait for.
IDLE = 3600.0
#: Seconds that a daemon gets to receive an answer.
PATIENCE = 10.0
#: Seconds between two attempts to send while the kernel has no room.
PAUSE = 0.01
#: Daemons that may wait for being accepted.
BACKLOG = 16
#: More bytes than any message.
LONGEST = 65536
#: The most descriptors that the kernel passes with one message.
MOST_DESCRIPTORS = 253
#: Size of a descriptor in a control message.
_INT = array.array("i").itemsize
#: Name in lists of processes.
NAME = "tsuperv-keeper"
#: Priority for the kernel when memory is short: the keeper is of use when the daemon was killed.
OOM_SCORES = ("-1000", "-500")


class Store:
    """Holds descriptors by key."""

    def __init__(self, listener: _socket.socket) -> None:
        self._listener = listener
        self._connection: _socket.socket | None = None
        self._daemon = 0
        """Pid of the daemon that is connected."""
        self._held: dict[bytes, tuple[bytes, list[int]]] = {}
        self._old: set[bytes] = set()
        """Keys that were not put again or named since ``begin``."""
        self._watched: dict[int, bytes] = {}
        """Pidfds of what lived when the daemon was gone, until its end, and their keys."""
        self._ended: dict[bytes, float] = {}
        """When a process has ended while there was no daemon, by key."""
        self._is_over = False

    def run(self) -> None:
        """Serve daemons, one after another, until one says that it is over."""
        deadline = time.monotonic() + IDLE
        while not self._is_over:
            waiting = select.poll()
            waiting.register(self._listener.fileno(), select.POLLIN)
            timeout = max(0.0, deadline - time.monotonic()) * 1000
            if self._connection is not None:
                waiting.register(self._connection.fileno(), select.POLLIN)
                deadline, timeout = time.monotonic() + IDLE, -1
            for fd in self._watched:
                waiting.register(fd, select.POLLIN)
            ready = [fd for fd, _ in waiting.poll(timeout)]
            if not ready:
                if not self._any_lives():
                    return
                deadline = time.monotonic() + IDLE
            for fd in self._watched.keys() & ready:
                self._ended[self._watched.pop(fd)] = time.monotonic()
            # First, because a daemon may come just after the end of the one before.
            if self._connection is not None:
                self._receive(self._connection)
            if self._listener.fileno() in ready:
                self._accept()

    def close(self) -> None:
        """Close what is held, before the end of the connection tells the daemon of it."""
        for key in list(self._held):
            self._drop(key)

    def _accept(self) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # without ``socket``
        except OSError:
            return
        connection = _socket.socket(fileno=fd)
        credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(credentials[at : at + 4], sys.byteorder) for at in (0, 4))
        if uid not in (os.geteuid(), 0):
            connection.close()
            return
        connection.setblocking(False)
        busy = self._connection is not None
        try:
            connection.send(b"busy\0%d" % self._daemon if busy else b"ok", _socket.MSG_NOSIGNAL)
        except OSError:
            busy = True
        if busy:
            connection.close()
        else:
            self._connection, self._daemon = connection, pid
            self._watched = {}

    def _receive(self, connection: _socket.socket) -> None:
        """Carry out all messages that have come."""
        flags = _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
        while not self._is_over:
            try:
                message, ancillary, received, _ = connection.recvmsg(
                    LONGEST, _socket.CMSG_SPACE(MOST_DESCRIPTORS * _INT), flags
                )
            except BlockingIOError:
                return
            except ConnectionResetError:  # told once; what it has sent before can be read then
                continue
            except OSError:
                message, ancillary, received = b"", [], 0
            descriptors = array.array("i")
            for _, _, data in ancillary:
                descriptors.frombytes(data[: len(data) - len(data) % _INT])
            if not message:
                self._disconnect()
                return
            # Without a free descriptor here, some are missing: they are of no use then.
            is_whole = not received & (_socket.MSG_CTRUNC | _socket.MSG_TRUNC)
            self._carry_out(message, descriptors.tolist(), is_whole)

    def _carry_out(self, message: bytes, descriptors: list[int], is_whole: bool) -> None:
        verb, _, rest = message.partition(b"\0")
        if verb == b"put":
            note, _, key = rest.partition(b"\0")
            self._drop(key)
            self._old.discard(key)
            if is_whole:
                self._held[key] = note, descriptors
                return
        elif verb == b"drop":
            self._drop(rest)
        elif verb == b"begin":
            self._old = set(self._held)
        elif verb == b"stay":
            self._old.discard(rest)
        elif verb == b"commit":
            for key in self._old:
                self._drop(key)
            self._old = set()
        elif verb == b"take":
            self._answer()
        elif verb == b"end":
            self._is_over = True
        for fd in descriptors:
            os.close(fd)

    def _answer(self) -> None:
        assert self._connection is not None
        try:
            for key, (note, descriptors) in self._held.items():
                self._send(self._connection, note + b"\0" + key, descriptors)
            for key, at in self._ended.items():
                self._send(self._connection, b"%r\0ended\0%b" % (at, key), [])
            self._send(self._connection, b"\0", [])
        except OSError:  # its daemon was killed; what it has sent after this is still to be read
            return

    def _send(self, connection: _socket.socket, message: bytes, descriptors: list[int]) -> None:
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", descriptors))
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connection.sendmsg([message], [rights], _socket.MSG_NOSIGNAL)
            except OSError as error:  # the kernel limits what is under way in all sockets of a user
                passes = error.errno in (errno.EAGAIN, errno.ETOOMANYREFS)
                if not passes or time.monotonic() > end:
                    raise
                time.sleep(PAUSE)
            else:
                return

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._daemon = None, 0
        self._old = set()  # a daemon that was killed on the way may have left some of these
        pidfds = {fd: key for key, (_, fds) in self._held.items() for fd in fds if _is_pidfd(fd)}
        ended = _readable(pidfds)  # nobody knows when: the daemon may have been suspended for long
        self._watched = {fd: key for fd, key in pidfds.items() if fd not in ended}

    def _drop(self, key: bytes) -> None:
        _, descriptors = self._held.pop(key, (b"", []))
        self._ended.pop(key, None)
        for fd in descriptors:
            os.close(fd)

    def _any_lives(self) -> bool:
        """Whether a process has not ended of which a pidfd is held."""
        found = [fd for _, fds in self._held.values() for fd in fds if _is_pidfd(fd)]
        return len(_readable(found)) < len(found)


def _is_pidfd(fd: int) -> bool:
    try:
        return "pidfd" in os.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # no /proc: wait for good rather than end too early
        return False


def _readable(descriptors: Iterable[int]) -> set[int]:
    looked_at = select.poll()
    for fd in descriptors:
        looked_at.register(fd, select.POLLIN)
    return {fd for fd, _ in looked_at.poll(0)}


def _make_ready() -> None:
    """Survive what ends the daemon, and hold nothing but what is given."""
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, _signal.SIG_IGN)
    os.chdir("/")
    for path, contents in (("comm", (NAME,)), ("oom_score_adj", OOM_SCORES)):
        for content in contents:
            try:
                with open(f"/proc/self/{path}", "wb", buffering=0) as file:
                    file.write(content.encode())
                break
            except OSError:  # not allowed, or no /proc
                continue
    try:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        return


def main(path: str, directory: int) -> None:
    """Detach from the daemon, then keep what it gives; remove the file of the socket at the end."""
    if os.fork():
        os._exit(0)
    _make_ready()
    name = os.path.basename(path)
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    listener = _socket.socket(fileno=0)
    listener.listen(BACKLOG)  # again, so that a daemon that connects is told our pid
    store = Store(listener)
    store.run()
    store.close()
    try:
        if os.path.samestat(status, os.stat(name, dir_fd=directory, follow_symlinks=False)):
            os.unlink(name, dir_fd=directory)
    except OSError:  # removed, or in the way of nobody
        return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
