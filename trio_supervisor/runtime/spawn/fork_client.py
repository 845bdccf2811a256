"""The daemon's side of the fork server: starts it, sends it requests, and ends it.

Theory of operation
-------------------
Some steps, such as becoming another user, must happen between fork and exec. ``subprocess`` would
fork the daemon itself for that, which takes longer the larger the daemon is; an interpreter started
for each child takes longer still. The fork server is an interpreter that is started once. It has a
few megabytes, one thread and no descriptor of the daemon, so that a fork of it is cheap and safe.

It forks with ``CLONE_PARENT``: the child is a child of the *daemon*, which waits for it, signals it
and reaps it as any other. The server holds no state and reaps nothing. Several requests may be
under way; it forks in the order in which they were sent.

What a child inherits and no step changes (working directory, umask, limits, user, cgroup) comes
from the server, which has it from the daemon at its own start. The daemon, or the program that
embeds it, may change these later. So they are compared before each fork, once for all children that
have been asked for by then, and a server that is out of date is replaced. The server stays in the
daemon's session, as its children do, but in a process group of its own.

The server is started from the event loop's thread: for the kernel the parent of its children is
the thread that started it, and other threads end. The comparison is made in the thread that makes
the children, which asks the event loop to replace the server.

The server can fail: a sandbox may refuse the clone, the machine may be unknown, the server may be
killed. The launcher then makes the child with an exec helper. A server that had made a child is
replaced at the next need; if it never made one, no other is started.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.spawn import fork_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds within which the server must answer; a stopped one is killed then.
ANSWER_TIMEOUT = 30
#: Error numbers by which a sandbox, or the server itself, says that it cannot clone at all.
REFUSALS = (errno.ENOSYS, errno.EPERM, errno.EINVAL)

_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
#: Lines of /proc/self/status that tell what is inherited.
_INHERITED = (
    *(b"Umask:", b"Uid:", b"Gid:", b"Groups:", b"SigIgn:", b"Cap", b"NoNewPrivs:", b"Seccomp"),
    *(b"Cpus_allowed:", b"Mems_allowed:"),
)


class ForkServerFailed(Exception):
    """The server could not make a child; ``str()`` says why."""


class ForkServer:
    """One running server."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        self._thread = threading.get_native_id()
        self._surroundings = _surroundings(self._thread)
        self.has_served = False
        """Whether it has made a child."""
        self.failure: str | None = None
        """Why it cannot be used any more."""
        self._lock = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", fork_server.__file__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                    restore_signals=False,
                )
        except BaseException:
            self._requests.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_surroundings(self) -> bool:
        """Whether its children inherit what they would from this process; for any thread."""
        return self._surroundings == _surroundings(self._thread)

    def is_alive(self) -> bool:
        """Whether it has not ended; reaps it if it has."""
        return self._process.poll() is None

    def fork(self, standard: Sequence[int]) -> tuple[int, socket.socket]:
        """Make a child with these descriptors as stdin, stdout and stderr; for any thread.

        Returns its pid and the control socket on which it waits for its orders. Raises
        ForkServerFailed, or the OSError of the fork.
        """
        control, theirs = socket.socketpair()
        try:
            with theirs:
                self._request([theirs.fileno(), *standard])
            answer = self._answer(control)
            if answer < 0:
                raise OSError(-answer, os.strerror(-answer))
        except BaseException:
            control.close()
            raise
        self.has_served = True
        return answer, control

    def end(self) -> None:
        """End it; children that it has made live on. A second call does nothing."""
        with self._lock:
            self._requests.close()
        # Without the socket it ends by itself, unless it is stopped. A sandbox may refuse to kill.
        with suppress(OSError):
            self._process.kill()
        self._process.wait()

    def _request(self, descriptors: list[int]) -> None:
        # The lock keeps ``end`` from closing the socket, whose number may then be another file's,
        # during the call. That does not wait: a full queue means that the server is stopped.
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        try:
            with self._lock:
                socket.send_fds(self._requests, [b"f"], descriptors, flags)
        except OSError as error:
            raise self._failed(f"takes no requests ({error.strerror})") from error

    def _answer(self, control: socket.socket) -> int:
        """The pid, or a negative error number."""
        answers = select.poll()
        answers.register(control, select.POLLIN)
        if not answers.poll(ANSWER_TIMEOUT * 1000):
            with suppress(OSError):
                self._process.kill()  # else it could fork for this request later
            raise self._failed(f"has not answered for {ANSWER_TIMEOUT} s")
        answer = control.recv(fork_server.NUMBER_SIZE, socket.MSG_WAITALL)
        if len(answer) < fork_server.NUMBER_SIZE:
            raise self._failed("has ended")
        number = int.from_bytes(answer, sys.byteorder, signed=True)
        if -number in REFUSALS:
            raise self._failed(f"cannot fork ({os.strerror(-number)})")
        return number

    def _failed(self, why: str) -> ForkServerFailed:
        self.failure = why
        return ForkServerFailed(why)


class ForkServerSlot:
    """The fork server of one launcher: started when needed, replaced when out of date.

    Methods are for the event loop's thread, if nothing else is said.
    """

    def __init__(self, log: Callable[[Severity, str], None]) -> None:
        self._log = log
        self.server: ForkServer | None = None
        """The present one; None: there is none now."""
        self._given_up = False

    @property
    def works(self) -> bool:
        """Whether there is a server that has not failed at a request; for any thread."""
        server = self.server
        return server is not None and server.failure is None

    def is_current(self) -> bool:
        """Whether the server has what the next child must inherit, or there can be none.

        For any thread.
        """
        server = self.server
        if server is None:
            return self._given_up
        return server.failure is None and server.is_alive() and server.has_surroundings

    def renew(self) -> None:
        """Replace a server that is not current; start one if there is none."""
        server = self.server
        if server is not None and server.failure is None and not server.is_alive():
            server.failure = "has ended"
        if server is not None and server.failure is not None:
            self.review(server)
        elif server is not None and not server.has_surroundings:
            self.close()
        if self.server is None and not self._given_up:
            with suppress(OSError):  # no descriptor or process is left now
                self.server = ForkServer()

    def review(self, server: ForkServer | None) -> None:
        """End a server that has failed at a request, and say so once."""
        if server is None or server is not self.server or server.failure is None:
            return
        self.close()
        self._given_up = not server.has_served
        then = "is not used any more" if self._given_up else "is started again when it is needed"
        self._log(
            Severity.WARN,
            f"the fork server {server.failure}; it {then}. Without it each program that runs as "
            "another user needs more time to start",
        )

    def owns(self, pid: int) -> bool:
        """Whether this is the server, which is waited for here."""
        return self.server is not None and self.server.pid == pid

    def reap(self) -> None:
        """Reap the server if it has ended."""
        if self.server is not None:
            self.server.is_alive()

    def close(self) -> None:
        """End the server, if there is one; the next ``renew`` starts another."""
        if self.server is not None:
            self.server.end()
            self.server = None


def _surroundings(thread: int) -> tuple[object, ...]:
    """What a child inherits from this process; never waits for a file system but /proc.

    ``thread`` is the one that starts servers: Linux has a priority for each thread.
    """
    return (
        _read("status", only=_INHERITED),
        _read("cgroup"),
        _read("oom_score_adj"),
        _working_directory(),
        os.getpriority(os.PRIO_PROCESS, thread),
        *(resource.getrlimit(limit) for limit in _LIMITS),
    )


def _working_directory() -> str | None:
    try:
        return os.readlink("/proc/self/cwd")
    except OSError:
        return None


def _read(name: str, only: tuple[bytes, ...] = (b"",)) -> list[bytes]:
    """Read lines of a file of /proc/self that begin like one of ``only``; no such file has none."""
    try:
        fd = os.open(f"/proc/self/{name}", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [line for line in os.read(fd, 65536).splitlines() if line.startswith(only)]
    finally:
        os.close(fd)
