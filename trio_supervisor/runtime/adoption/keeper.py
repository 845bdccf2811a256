"""The daemon's side of the keeper, which holds copies of its descriptors while it lives.

Theory of operation
-------------------
A daemon that is killed can say nothing any more. What its programs need to go on, the next one
needs too: the daemon's ends of their pipes, which the kernel would close, and pidfds, which tell
how a program has ended that nobody waits for. So another process has copies of them, which the
daemon gives to it as soon as it has them. That process, the *keeper* (``keeper_process.py``), does
nothing else, so there is little in it that could fail.

It listens at a unix socket beside the pidfile. Only root and the user of the daemon may use it;
both ends check that, because everything in it is trusted like the memory of the daemon.

Messages are put on their way in one system call, which does not wait, and the keeper receives them
also when their sender has been killed since. It does not answer. Should its queue be full, the
daemon notes that it is *behind* and gives everything anew as soon as there is room; that also
happens when a keeper was killed and another one is started.

One that is suspended when a daemon comes is told to go on: it is ours, and nobody else can give
what it has. One that does not answer for long is killed: it would hold the addresses, and the pipes
of the programs, which then wait for a reader for ever.
"""

from __future__ import annotations

import array
import errno
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.adoption import keeper_process
from trio_supervisor.runtime.adoption.keeper_process import (
    BACKLOG,
    LONGEST,
    MOST_DESCRIPTORS,
    NAME,
)
from trio_supervisor.runtime.inspect.port_owners import KEEPER_SUFFIX
from trio_supervisor.runtime.spawn.child import open_pidfd
from trio_supervisor.runtime.spawn.members import PROC, read_file, read_stat
from trio_supervisor.runtime.system.opening import entry
from trio_supervisor.runtime.system.unix_socket import OWN_DESCRIPTORS, peer_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trio_supervisor.runtime.system.opening import DirectoryEntry

#: Seconds that a keeper gets for an answer.
PATIENCE = 10.0
#: Seconds that an earlier daemon gets whose end the keeper has not noticed yet.
BUSY_TIME = 3.0
#: Seconds that a thread waits for room in the queue of the keeper before it forks.
ROOM_TIME = 1.0
PAUSE = 0.01
#: Errors of a queue without room: its own, and that of all descriptors on their way.
FULL = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS)
#: The same, and those of a keeper that has ended.
PASSING = (*FULL, errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTCONN)
#: Seconds that a killed keeper gets to be gone.
KILL_TIME = 2.0
#: State of a suspended process in ``/proc/PID/stat``.
_SUSPENDED = "T"
_COMMAND = (sys.executable, "-I", "-S", keeper_process.__file__)
_RIGHTS_SIZE = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)


class KeeperFailed(Exception):
    """There is no keeper, or it does not do what it should; the text says why."""


class KeeperHung(KeeperFailed):
    """There was one that did not answer."""


class KeeperBusy(Exception):
    """Another daemon uses the keeper."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"pid {pid}")
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Held:
    """Descriptors that a keeper has had, which are ours now, and a note about them."""

    note: str
    descriptors: tuple[int, ...]

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.descriptors:
            os.close(fd)


class Keeper:
    """A connection to the keeper."""

    def __init__(self, connection: socket.socket, pidfile: str, trouble: str = "") -> None:
        self._connection = connection
        self.pidfile = pidfile
        """That of the daemon that it belongs to."""
        self.trouble = trouble
        """What was wrong with it when it was found, and was mended; empty: nothing."""
        self.is_behind = False
        """Whether it has not got everything."""
        self.refusal = ""
        """Why the system refuses to send to it; empty if it does not."""

    def put(self, key: str, note: str, descriptors: Sequence[int]) -> None:
        """Have it hold copies of these under the key, in place of others. Does not wait."""
        self._send(f"put\0{note}\0{key}", descriptors)

    def put_before_fork(self, key: str, note: str, descriptors: Sequence[int]) -> None:
        """The same from a worker thread, which can wait for a moment."""
        end = time.monotonic() + ROOM_TIME
        while True:
            try:
                self._send_now(f"put\0{note}\0{key}", descriptors)
            except OSError as error:
                if error.errno not in FULL or self.is_behind or time.monotonic() > end:
                    self.is_behind = True  # later starts do not wait for a keeper that hangs
                    return
                time.sleep(PAUSE)
            else:
                return

    def drop(self, key: str) -> None:
        """Have it close what it holds under the key. Does not wait."""
        self._send(f"drop\0{key}")

    def begin(self) -> None:
        """What is not put or to stay between here and ``commit`` is dropped then."""
        self._send("begin")

    def stay(self, key: str) -> None:
        """See ``begin``."""
        self._send(f"stay\0{key}")

    def commit(self) -> None:
        """See ``begin``."""
        self._send("commit")

    def take(self) -> dict[str, Held]:
        """Return copies of all that it holds. Blocks for a moment. Raises KeeperFailed."""
        taken: dict[str, Held] = {}
        self._connection.settimeout(PATIENCE)
        try:
            self._send("take")
            while True:
                message, descriptors = _received(self._connection)
                note, _, key = message.partition("\0")
                if not key:
                    return taken
                taken[key] = Held(note, descriptors)
        except OSError as error:
            for held in taken.values():
                held.close()
            raise KeeperFailed(f"it does not answer: {error.strerror or error}") from error
        finally:
            self._connection.setblocking(False)

    def drop_and_wait(self, keys: Iterable[str]) -> None:
        """Have it close what it holds under these, and return when it has. Blocks for a moment.

        Raises KeeperFailed.
        """
        for key in keys:
            self.drop(key)
        for held in self.take().values():  # what it answers comes after that
            held.close()

    def end(self) -> None:
        """Have it end: nothing is left to keep."""
        self._send("end")
        self.close()

    def end_and_wait(self) -> None:
        """Have it end, and return when it has closed everything. Blocks. Raises KeeperFailed."""
        self._connection.settimeout(PATIENCE)
        try:
            self._send("end")
            while self._connection.recv(1):  # what it has said before
                continue
        except ConnectionError:
            return
        except OSError as error:
            raise KeeperFailed(f"it does not end: {error.strerror or error}") from error
        finally:
            self._connection.close()

    def close(self) -> None:
        """Let go of it; it keeps what it has."""
        with suppress(RuntimeError):  # outside of trio nothing waits for it
            trio.lowlevel.notify_closing(self._connection)
        self._connection.close()

    def become(self, other: Keeper) -> None:
        """Use the connection of another one, which is not used any more."""
        self.close()
        self._connection = other._connection

    async def gone(self) -> None:
        """Return when the keeper has ended: it says nothing unless it is asked."""
        await trio.lowlevel.wait_readable(self._connection)

    async def until_sent(self, send: Callable[[], object]) -> None:
        """Send by one of the methods above as soon as there is room, which may take long.

        Raises KeeperFailed if the system refuses it.
        """
        while True:
            self.is_behind = False
            send()
            if not self.is_behind:
                return
            if self.refusal:
                raise KeeperFailed(self.refusal)
            await trio.sleep(PAUSE)  # the limit of all descriptors on their way is not waited for
            await trio.lowlevel.wait_writable(self._connection)

    def _send(self, text: str, descriptors: Sequence[int] = ()) -> None:
        if self.is_behind:
            return
        try:
            self._send_now(text, descriptors)
        except OSError as error:  # no room; or it has ended, which ``gone`` finds
            self.is_behind = True
            self.refusal = "" if error.errno in PASSING else error.strerror or str(error)

    def _send_now(self, text: str, descriptors: Sequence[int] = ()) -> None:
        """Send a message without waiting. Raises OSError."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        self._connection.sendmsg([os.fsencode(text)], [rights], flags)


def keeper_path(pidfile: str) -> str:
    """Return the path of the socket of the keeper."""
    return pidfile + KEEPER_SUFFIX


def connect(pidfile: str) -> Keeper:
    """Return the connection to the keeper of the daemon with this pidfile.

    Blocks for a moment. Raises KeeperFailed if there is none, KeeperBusy if another daemon has it.
    """
    end = time.monotonic() + BUSY_TIME
    while True:
        try:
            return _connected(pidfile)
        except KeeperBusy:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)  # it has yet to notice that the earlier daemon was killed


def start(pidfile: str) -> Keeper:
    """Start a keeper. Blocks for a moment, for an interpreter to start. Raises KeeperFailed."""
    path = keeper_path(pidfile)
    try:
        with entry(path, follow=False) as found, _listening(found, path) as listener:
            # Its own fork makes it a child of no daemon, so that none has to reap it.
            done = subprocess.run(
                [*_COMMAND, path, str(found.directory)],
                stdin=listener.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[found.directory],
                timeout=PATIENCE,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise KeeperFailed(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode > 0:
        raise KeeperFailed(f"{path}: its interpreter has ended with exit status {done.returncode}")
    return connect(pidfile)


def _connected(pidfile: str) -> Keeper:
    path = keeper_path(pidfile)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(PATIENCE)
        with entry(path, follow=False) as found:
            connection.connect(f"{OWN_DESCRIPTORS}/{found.directory}/{found.name}")
        own, uid, _ = peer_credentials(connection)
        if uid not in (os.geteuid(), 0):
            raise KeeperFailed(f"{path} belongs to another user (uid {uid})")
        trouble = _awakened(own)
        try:
            answer = connection.recv(LONGEST).decode()
        except TimeoutError:
            raise KeeperHung(_ended_by_force(own)) from None
        word, _, pid = answer.partition("\0")
        if word == "busy":
            raise KeeperBusy(int(pid))
        if word != "ok":
            raise KeeperFailed(f"{path}: it does not answer")
        connection.setblocking(False)
    except OSError as error:
        connection.close()
        raise KeeperFailed(f"{path}: {error.strerror or error}") from error
    except BaseException:
        connection.close()
        raise
    return Keeper(connection, pidfile, trouble)


def _awakened(pid: int) -> str:
    """Let a keeper go on that is suspended, and tell of it; empty if it is not.

    Raises KeeperHung if that is refused.
    """
    status = read_stat(pid)
    if status is None or status.state != _SUSPENDED or not _is_keeper(pid):
        return ""
    try:
        os.kill(pid, signal.SIGCONT)
    except OSError as error:
        raise KeeperHung(
            f"the keeper (pid {pid}) is suspended, and may not be told to go on: {error.strerror}. "
            f"`kill -CONT {pid}` does that"
        ) from None
    return f"the keeper (pid {pid}) was suspended, and was sent SIGCONT to go on"


def _ended_by_force(pid: int) -> str:
    """Kill a keeper that does not answer, and tell of it. Blocks for a moment."""
    what = f"the keeper (pid {pid}) has not answered for {PATIENCE:.0f} s"
    pidfd = open_pidfd(pid)
    if pidfd is None or not _is_keeper(pid):
        return what
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(KILL_TIME * 1000):
            return f"{what}, and does not end although it was killed"
    except OSError as error:
        return f"{what}, and may not be killed: {error.strerror}"
    finally:
        os.close(pidfd)
    return f"{what} and was killed"


def _is_keeper(pid: int) -> bool:
    """Whether that is what a process is called: another one may be killed by nobody."""
    try:
        return read_file(f"{PROC}/{pid}/comm").strip() == NAME.encode()
    except OSError:
        return False


def _listening(wanted: DirectoryEntry, path: str) -> socket.socket:
    """Return a listening socket with a file that only we can use. Raises OSError."""
    if wanted.status is not None and not stat.S_ISSOCK(wanted.status.st_mode):
        raise FileExistsError(errno.EEXIST, "a file that is not a socket is there", path)
    new = f".{wanted.name}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        os.fchmod(listener.fileno(), 0o600)  # ``bind`` gives this mode to the file
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=wanted.directory)
        listener.bind(f"{OWN_DESCRIPTORS}/{wanted.directory}/{new}")
        listener.listen(BACKLOG)
        wanted.rename(new, wanted.name)
    except BaseException:
        listener.close()
        raise
    return listener


def _received(connection: socket.socket) -> tuple[str, tuple[int, ...]]:
    """Receive one message. Raises OSError."""
    message, ancillary, flags, _ = connection.recvmsg(
        LONGEST, _RIGHTS_SIZE, socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not message:
        raise ConnectionError("it has ended")
    if flags & socket.MSG_CTRUNC:
        for fd in descriptors:
            os.close(fd)
        raise OSError(errno.EMFILE, "no descriptor is left")
    return os.fsdecode(message), tuple(descriptors)
