"""Makes children: one call for each child, from a description to a process that has reached exec.

Theory of operation: spawning and identity
------------------------------------------
A child gets its pipes, is forked, takes the *steps* of its description, and executes its program.
There are three ways to do that, with the same result for the child:

* ``subprocess.Popen``, where it can take all steps itself (process group, directory, umask). It
  forks with vfork, which does not depend on the size of the daemon.
* The fork server, for every other step: becoming another user above all. ``Popen(user=)`` would
  fork the daemon with all its memory, and would enter the directory with root's rights.
* The exec helper, an interpreter of its own for each child, where there is no fork server.

The last two share ``steps.py``: the child is forked, sends its pid if the daemon does not know it,
and waits for its orders. So the daemon owns the pid before the child can end by itself: no child is
lost, and the reaper of orphans cannot take the exit status. Then the daemon sends the orders and
reads the name of the step that failed, or an end of file, because the exec has closed the socket. A
child in which a step fails is killed and reaped at once, and ``SpawnError`` is raised.

The identity is looked up at each spawn, because the user database can change. Groups and group are
set before the user, because only root may set them. From then on the child has only the rights of
its user: it enters the directory and executes the program as that user.

All of this happens in a thread, so that a slow user database or a slow exec (network file system,
cold disk) never stalls the event loop. The same job opens the logs of the child first: without its
logs there is no child. It makes one child after the other, in the order of the
calls, so that a start need not wait for the one before it to keep their order; one that takes
longer than ``STUCK_AFTER`` holds up no other (``logs/worker.py``). ``trio.Process`` is not used
because reading its return code reaps the child.
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
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.spawn import steps
from trio_supervisor.runtime.spawn.child import ChildRegistry, RealChild
from trio_supervisor.runtime.spawn.fork_client import ForkServerFailed, ForkServerSlot
from trio_supervisor.runtime.spawn.steps import errno_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.fork_client import ForkServer
    from trio_supervisor.runtime.spawn.spec import SpawnSpec
    from trio_supervisor.runtime.spawn.steps import Orders

    Launcher = Callable[[SpawnSpec], Awaitable[Child]]
    Standard = tuple[int, int, int]
    """Descriptors of the child's stdin, stdout and stderr."""

#: Seconds that making one child may take before another thread makes the next: the order is kept
#: on a healthy machine.
STUCK_AFTER = 0.1
#: Seconds for opening the logs of a child, from the moment when its turn has come.
LOG_TIMEOUT = 2
#: Seconds between two polls of a child without a pidfd.
POLL_INTERVAL = 0.2
#: More bytes than any report of a step that failed.
REPORT_SIZE = 4096
#: The steps that ``subprocess.Popen`` can take without a fork of the whole daemon.
POPEN_STEPS = frozenset({"process group", "session", "signals", "directory", "umask", "exec"})


class SpawnError(Exception):
    """A child could not be made; ``str()`` is the spawn error that operators see.

    ``stderr_note`` is what Supervisor's child writes to its stderr when it cannot execute its
    program; the process writes it to the stderr log. None means that no child was forked.
    ``file`` is the one that could not be opened; empty: that was not the error.
    """

    def __init__(self, text: str, stderr_note: str | None = None, file: str = "") -> None:
        super().__init__(text)
        self.stderr_note = stderr_note
        self.file = file


def _not_logged(severity: Severity, text: str) -> None:
    """Default log: discards the line."""


class Making:
    """A child that is being made in a thread, after its logs have been opened."""

    def __init__(
        self,
        spec: SpawnSpec,
        registry: ChildRegistry,
        server: ForkServer | None,
        token: trio.lowlevel.TrioToken,
    ) -> None:
        self.done = trio.Event()
        self._make = partial(make_child, spec, registry, server)
        self._logs = spec.logs
        self._token = token
        self._child: RealChild | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make it; called in the thread."""
        try:
            if self._logs is not None:
                self._logs.open()
                if not self._logs.are_files:
                    trio.from_thread.run_sync(self._logs.take, trio_token=self._token)
            self._child = self._make()
        except BaseException as error:
            self._error = error

    async def wait(self) -> None:
        """Return when it is done.

        It is given up if the task is cancelled, or a disk does not answer, before the logs are
        open. Raises SpawnError for a disk.
        """
        logs = self._logs
        while logs is not None and not self.done.is_set():
            try:
                with trio.move_on_after(logs.left(LOG_TIMEOUT)) as scope:
                    await self.done.wait()
            except trio.Cancelled:
                if logs.give_up():
                    raise
                break  # there is a child, or will be one
            if scope.cancelled_caught and not logs.left(LOG_TIMEOUT):
                if logs.give_up():
                    raise logs.unanswered()
                break
        if not self.done.is_set():
            with trio.CancelScope(shield=True):
                await self.done.wait()

    def child(self) -> RealChild:
        """Return the child, when that is done. Raises SpawnError."""
        if self._child is None:
            assert self._error is not None
            raise self._error
        return self._child


class ProcessLauncher:
    """Callable that makes children in a thread, with a fork server where one is needed.

    Each supervisor has its own, so that supervisors in one program do not starve each other.
    """

    def __init__(
        self,
        poll_interval: float = POLL_INTERVAL,
        log: Callable[[Severity, str], None] = _not_logged,
    ) -> None:
        """``poll_interval``: seconds between two polls of children without a pidfd.

        It can be long if ``child_ended`` is called for each SIGCHLD.
        """
        self._registry = ChildRegistry(poll_interval)
        self._fork_server = ForkServerSlot(log)
        self._worker = DiskWorker(STUCK_AFTER)
        self._made: deque[Making] = deque()
        """Those that are done, and whose tasks are not woken yet."""
        self._token: trio.lowlevel.TrioToken | None = None

    @property
    def registry(self) -> ChildRegistry:
        """The children that were made here."""
        return self._registry

    def owns(self, pid: int) -> bool:
        """Whether this is a child that was made here, is not reaped and was not given up."""
        return self._registry.owns(pid) or self._fork_server.owns(pid)

    def needs_child_signals(self) -> bool:
        """Whether there are children whose end only SIGCHLD tells of, or a poll."""
        return self._registry.needs_child_signals

    def child_ended(self) -> None:
        """Look which children have ended. Called for each SIGCHLD, if the program receives it."""
        self._fork_server.reap()
        self._registry.child_ended()

    def __call__(self, spec: SpawnSpec) -> Awaitable[Child]:
        """Have a child made, after those of earlier calls; return what waits for it.

        That raises SpawnError. Once the logs are open it is not cancelled: whoever waits is to have
        the child.
        """
        server = self._fork_server.get() if _needs_helper(spec) else None
        self._token = token = trio.lowlevel.current_trio_token()
        making = Making(spec, self._registry, server, token)

        def run() -> None:
            making.run()
            self._made.append(making)
            token.run_sync_soon(self._deliver, idempotent=True)

        self._worker.submit(run)
        return self._wait(making, server)

    async def _wait(self, making: Making, server: ForkServer | None) -> Child:
        await making.wait()
        self._fork_server.review(server)
        return making.child()

    def _deliver(self) -> None:
        """Wake the task of the child made first; the next one later, so that order is kept."""
        if self._made:
            self._made.popleft().done.set()
        if self._made and self._token is not None:
            self._token.run_sync_soon(self._deliver, idempotent=True)

    def close(self) -> None:
        """Stop the fork server. Living children keep running."""
        self._fork_server.close()


def make_child(
    spec: SpawnSpec, registry: ChildRegistry, server: ForkServer | None = None
) -> RealChild:
    """Make the pipes, fork a child, and return it when it has reached exec. Raises SpawnError.

    Blocks, possibly for long: runs in a worker thread. ``server``: None means that a child which
    needs a helper gets an interpreter of its own.
    """
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
        if spec.before_fork is not None:
            ends = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            spec.before_fork({name: fd for name, fd in ends.items() if fd is not None})
        standard = (child_stdin, child_stdout, child_stderr)
        orders, control = None, None
        try:
            if _needs_helper(spec):
                orders = _orders(spec)
                pid, control = _fork(spec, server, standard)
            else:
                pid = _popen(spec, standard)
        except OSError as error:
            raise _fork_error(spec, error) from error
        except (ValueError, subprocess.SubprocessError) as error:  # a NUL byte, an odd failure
            raise _odd_fork_error(spec, str(error)) from error
        with registry.expecting(pid):
            if orders is not None and control is not None:
                with control:
                    try:
                        _instruct(spec, orders, control)
                    except OSError as error:  # a sandbox refuses to send or to shut down
                        text = f"cannot send the orders: {error.strerror}"
                        raise _odd_fork_error(spec, text) from error
            child = RealChild(pid, stdin, stdout, stderr, registry)
        ours.pop_all()
        return child


def _needs_helper(spec: SpawnSpec) -> bool:
    """Whether there are steps that ``subprocess.Popen`` cannot take."""
    return not (_is_ours(spec) and spec.steps.keys() <= POPEN_STEPS) or _blocks_signals()


def _is_ours(spec: SpawnSpec) -> bool:
    """Whether the child has our user and group."""
    is_our_user = spec.uid is None or spec.uid == os.getuid()
    return is_our_user and (spec.gid is None or spec.gid == os.getgid())


def _blocks_signals() -> bool:
    """Whether this thread blocks signals, which the child would inherit.

    The daemon never does, but an embedding program may. They cannot be unblocked here for the
    moment of the fork: that program may rely on them being blocked in every thread.
    """
    return bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _orders(spec: SpawnSpec) -> Orders:
    """Return all steps of the child, in order.

    Text becomes bytes as this interpreter's file names do: another one may be set up differently.
    Raises SpawnError, OSError or ValueError.
    """
    encode = _encoder()
    arguments = {
        name: encode(argument) if isinstance(argument, str) else argument
        for name, argument in spec.steps.items()
    }
    if not _is_ours(spec):
        identity = _identity(spec)
        arguments.update(groups=identity, group=identity, user=identity)
    arguments["exec"] = (
        encode(spec.command.executable),
        [encode(word) for word in spec.command.argv],
        {encode(key): encode(value) for key, value in spec.environment.items()},
    )
    return steps.ordered(arguments)


def _encoder() -> Callable[[str], bytes]:
    """Return ``os.fsencode`` for text only, which is faster: an environment has many words."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    return lambda text: text.encode(encoding, errors)


def _identity(spec: SpawnSpec) -> tuple[int, int, list[int]]:
    """Look up uid, gid and groups to change to. Raises SpawnError.

    A user without an entry has no groups but the one that the configuration gives to it.
    """
    uid = os.getuid() if spec.uid is None else spec.uid
    if os.getuid() != 0:
        raise _not_spawned(f"couldn't setuid to {uid}: Can't drop privilege as nonroot user")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        if spec.gid is not None:
            return uid, spec.gid, [spec.gid]
        raise _not_spawned(f"couldn't setuid to {uid}: Can't find uid {uid}") from None
    gid = entry.pw_gid if spec.gid is None else spec.gid
    return uid, gid, os.getgrouplist(entry.pw_name, gid)


def _popen(spec: SpawnSpec, standard: Standard) -> int:
    """Make the child by vfork and return its pid; it has reached exec."""
    stdin, stdout, stderr = standard
    arguments = spec.steps
    return _detach(
        subprocess.Popen(
            spec.command.argv,
            executable=spec.command.executable,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=spec.environment,
            cwd=arguments.get("directory"),
            umask=arguments.get("umask", -1),
            process_group=0 if "process group" in arguments else None,
            start_new_session="session" in arguments,
            restore_signals=not arguments["signals"],  # else inherited as ignored
        )
    )


def _fork(
    spec: SpawnSpec, server: ForkServer | None, standard: Standard
) -> tuple[int, socket.socket]:
    """Make a child that waits for its orders; return its pid and the socket to send them to.

    Raises SpawnError if the exec helper cannot take one of the steps.
    """
    if server is not None:
        with contextlib.suppress(ForkServerFailed):  # reviewed by the launcher afterwards
            return server.fork(standard)
    if "die_with_supervisor" in spec.steps:
        # The kernel would kill the child as soon as the worker thread ends that is its parent.
        raise _not_spawned("couldn't set die_with_supervisor: there is no fork server")
    return _start_exec_helper(standard)


def _start_exec_helper(standard: Standard) -> tuple[int, socket.socket]:
    """Start an interpreter for one child, with the daemon's own rights and signals."""
    stdin, stdout, stderr = standard
    control, theirs = socket.socketpair()
    try:
        with theirs:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", steps.__file__, str(theirs.fileno())],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
                restore_signals=False,
            )
    except BaseException:
        control.close()
        raise
    return _detach(popen), control


def _detach(popen: subprocess.Popen[bytes]) -> int:
    """Return the pid, and keep ``Popen`` from reaping it or warning: the registry reaps it."""
    popen.returncode = 0
    return popen.pid


def _instruct(spec: SpawnSpec, orders: Orders, control: socket.socket) -> None:
    """Send a child its orders and wait until it executes its program. Raises SpawnError.

    A child that is killed before it reports has ended as any other does.
    """
    report = b""
    with contextlib.suppress(ConnectionError):
        data, sent = marshal.dumps(orders), 0
        if spec.descriptor is not None:
            sent = socket.send_fds(control, [data], [spec.descriptor], socket.MSG_NOSIGNAL)
        control.sendall(data[sent:], socket.MSG_NOSIGNAL)
        control.shutdown(socket.SHUT_WR)
        report = control.recv(REPORT_SIZE)  # empty: the exec has closed the other end
    if report:
        name, number, text = marshal.loads(report)
        if number is None:
            raise _odd_fork_error(spec, text)
        raise _not_spawned(steps.explain(orders, name, OSError(number, text)))


def _not_spawned(text: str) -> SpawnError:
    stderr_note = f"supervisor: {text}\nsupervisor: child process was not spawned\n"
    return SpawnError(text, stderr_note)


def _pipe_error(spec: SpawnSpec, error: OSError) -> SpawnError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SpawnError(f"too many open files to spawn '{spec.label}'")
    return SpawnError(f"unknown error making dispatchers for '{spec.label}': {errno_name(error)}")


def _fork_error(spec: SpawnSpec, error: OSError) -> SpawnError:
    """Popen names the file for a failed chdir or exec and none for everything before."""
    if error.filename is not None:
        failed = "directory" if error.filename == spec.steps.get("directory") else "exec"
        return _not_spawned(steps.explain(_orders(spec), failed, error))
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SpawnError(f"too many open files to spawn '{spec.label}'")
    if error.errno == errno.EAGAIN:
        return _process_table_full(spec)
    return _odd_fork_error(spec, errno_name(error))


def _odd_fork_error(spec: SpawnSpec, text: str) -> SpawnError:
    return SpawnError(f"unknown error during fork for '{spec.label}': {text}")


def _process_table_full(spec: SpawnSpec) -> SpawnError:
    return SpawnError(f"Too many processes in process table to spawn '{spec.label}'")
