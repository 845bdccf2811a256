"""Makes children: one call per child, from a description to a process that has reached exec.

Spawning goes through ``subprocess.Popen`` in a worker thread, so that a slow exec (network file
system, cold disk) never stalls the event loop; ``trio.Process`` is not used because reading its
return code reaps.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import pwd
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.spawn import exec_helper
from trio_supervisor.runtime.spawn.child import Family, RealChild, errno_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.command import Command

    Launcher = Callable[["SpawnSpec"], Awaitable[Child]]

#: Seconds between two looks at a child that is watched without a pidfd.
LOOK_INTERVAL = 0.2
#: More than any report of ``exec_step``, which is a word and a number.
REPORT_SIZE = 1024


class SpawnError(Exception):
    """A child could not be made; ``str()`` is the spawn error text of process.md 2.2.

    ``epitaph`` is what goes to the child's stderr log when the failure came after the fork, where
    the reference's own child would have written it (P-070 to P-074; architecture decision 10).
    """

    def __init__(self, text: str, epitaph: str | None = None) -> None:
        super().__init__(text)
        self.epitaph = epitaph


@dataclass(frozen=True, slots=True)
class SpawnSpec:
    """All that is needed to make one child."""

    label: str
    """The process's name, for error texts."""
    command: Command
    environment: Mapping[str, str]
    directory: str | None
    umask: int | None
    uid: int | None
    """User to run as; None: the supervisor's own."""
    redirect_stderr: bool
    ignore_sigpipe: bool = True
    """Whether SIGPIPE and SIGXFSZ are ignored in the child; else they have their default effect."""
    stdin: int | None = None
    """A descriptor to give as fd 0 instead of a pipe (FastCGI)."""


class ProcessLauncher:
    """Makes children. One per supervisor, so that several never starve each other of threads."""

    def __init__(self, look_interval: float = LOOK_INTERVAL) -> None:
        """``look_interval``: seconds between two looks at children without a pidfd.

        It can be long if ``child_ended`` is called for each SIGCHLD.
        """
        # Twice the cores hides the latency of exec; more only lengthens the event loop's gaps.
        self._limiter = trio.CapacityLimiter(2 * (os.cpu_count() or 1))
        self._family = Family(look_interval)

    def owns(self, pid: int) -> bool:
        """Whether this is a child that was made here, is not reaped and was not let go."""
        return pid in self._family.living

    def child_ended(self) -> None:
        """Notice which child has ended: to be called for each SIGCHLD, where one is received."""
        self._family.child_ended()

    async def __call__(self, spec: SpawnSpec) -> Child:
        """Spawn; the child has reached exec when this returns (P-078). Raises SpawnError."""
        try:
            return await trio.to_thread.run_sync(
                make_child, spec, self._family, limiter=self._limiter
            )
        except RuntimeError as error:  # no thread to spawn from: the same limit counts them
            raise _process_table_full(spec) from error


def make_child(spec: SpawnSpec, family: Family) -> RealChild:
    """Make a child in the thread at hand, which may block for long. Raises SpawnError."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:

        def owned(fd: int, by: contextlib.ExitStack) -> int:
            by.callback(os.close, fd)
            return fd

        try:
            child_stdin, stdin = spec.stdin, None
            if child_stdin is None:
                read, write = os.pipe()
                child_stdin, stdin = owned(read, theirs), owned(write, ours)
            read, write = os.pipe()
            stdout, child_stdout = owned(read, ours), owned(write, theirs)
            child_stderr, stderr = child_stdout, None
            if not spec.redirect_stderr:
                read, write = os.pipe()
                stderr, child_stderr = owned(read, ours), owned(write, theirs)
        except OSError as error:
            raise _pipe_error(spec, error) from error
        for fd in (stdin, stdout, stderr):
            if fd is not None:
                os.set_blocking(fd, False)
        popen = _popen(spec, child_stdin, child_stdout, child_stderr)
        with _killed_on_error(popen):
            child = RealChild(popen, stdin, stdout, stderr, family)
        ours.pop_all()
        return child


@contextlib.contextmanager
def _killed_on_error(popen: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill and reap the new child if the block fails: nobody would know of it."""
    try:
        yield
    except BaseException:
        popen.kill()
        popen.wait()
        raise


def _popen(spec: SpawnSpec, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    user = _identity(spec)
    try:
        if user is not None or _blocks_signals():
            return _popen_by_step(user, spec, stdin, stdout, stderr)
        return subprocess.Popen(
            spec.command.argv,
            executable=spec.command.executable,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=spec.environment,
            cwd=spec.directory,
            umask=-1 if spec.umask is None else spec.umask,
            process_group=0,  # P-052
            restore_signals=not spec.ignore_sigpipe,  # else inherited as ignored (P-055, Q-32)
        )
    except OSError as error:
        raise _fork_error(spec, error) from error
    except (ValueError, subprocess.SubprocessError) as error:  # NUL byte, odd failure before exec
        raise SpawnError(f"unknown error during fork for '{spec.label}': {error}") from error


def _blocks_signals() -> bool:
    """Whether this thread blocks signals, which the child would inherit.

    The daemon never does, but an embedding program may. They cannot be unblocked here for the
    moment of the fork: that program may rely on them being blocked in every thread.
    """
    return bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _popen_by_step(
    user: _Identity | None, spec: SpawnSpec, stdin: int, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Spawn by way of ``exec_step``, which is started with our own rights and signals."""
    orders = (
        None if user is None else (user.uid, user.gid, user.groups),
        (_blocks_signals(), not spec.ignore_sigpipe),
        None if spec.directory is None else os.fsencode(spec.directory),
        spec.umask,
        os.fsencode(spec.command.executable),
        [os.fsencode(word) for word in spec.command.argv],
        {os.fsencode(key): os.fsencode(value) for key, value in spec.environment.items()},
    )
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            control = theirs.fileno()
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", exec_helper.__file__, str(control)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[control],
                process_group=0,
                restore_signals=False,
            )
        # Should the step be killed before it reports, its end is that of any child.
        report = b""
        with _killed_on_error(popen):
            with contextlib.suppress(ConnectionError):
                ours.sendall(marshal.dumps(orders))
                ours.shutdown(socket.SHUT_WR)
                report = ours.recv(REPORT_SIZE)  # nothing: the exec has closed the other end
            if report:
                raise _step_error(spec, *marshal.loads(report))
    return popen


def _step_error(spec: SpawnSpec, stage: str, number: int) -> SpawnError:
    error = OSError(number, os.strerror(number))
    texts = {
        "groups": f"couldn't setuid to {spec.uid}: Could not set groups of effective user",
        "group": f"couldn't setuid to {spec.uid}: Could not set group id of effective user",
        "user": f"couldn't setuid to {spec.uid}: {error.strerror}",
        "directory": f"couldn't chdir to {spec.directory}: {errno_name(error)}",
        "exec": f"couldn't exec {spec.command.argv[0]}: {errno_name(error)}",
    }
    return _not_spawned(texts[stage])


@dataclass(frozen=True, slots=True)
class _Identity:
    uid: int
    gid: int
    groups: list[int]


def _identity(spec: SpawnSpec) -> _Identity | None:
    """User and groups to change to (P-057); None: nothing is changed (P-058).

    Runs in the worker thread because the user database may be far away (LDAP).
    """
    if spec.uid is None or spec.uid == os.getuid():
        return None
    if os.getuid() != 0:
        raise _not_spawned(f"couldn't setuid to {spec.uid}: Can't drop privilege as nonroot user")
    try:
        entry = pwd.getpwuid(spec.uid)
    except KeyError:
        raise _not_spawned(f"couldn't setuid to {spec.uid}: Can't find uid {spec.uid}") from None
    return _Identity(spec.uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid))


def _not_spawned(text: str) -> SpawnError:
    epitaph = f"supervisor: {text}\nsupervisor: child process was not spawned\n"
    return SpawnError(text, epitaph)


def _pipe_error(spec: SpawnSpec, error: OSError) -> SpawnError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SpawnError(f"too many open files to spawn '{spec.label}'")
    return SpawnError(f"unknown error making dispatchers for '{spec.label}': {errno_name(error)}")


def _fork_error(spec: SpawnSpec, error: OSError) -> SpawnError:
    """Popen names the file for a failed chdir or exec and none for everything before."""
    if error.filename is not None and error.filename == spec.directory:
        return _not_spawned(f"couldn't chdir to {spec.directory}: {errno_name(error)}")
    if error.filename is not None:
        return _not_spawned(f"couldn't exec {spec.command.argv[0]}: {errno_name(error)}")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SpawnError(f"too many open files to spawn '{spec.label}'")
    if error.errno == errno.EAGAIN:
        return _process_table_full(spec)
    return SpawnError(f"unknown error during fork for '{spec.label}': {errno_name(error)}")


def _process_table_full(spec: SpawnSpec) -> SpawnError:
    return SpawnError(f"Too many processes in process table to spawn '{spec.label}'")
