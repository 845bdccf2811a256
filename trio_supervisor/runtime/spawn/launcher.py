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

The identity is looked up at each spawn, because the user database can change; children that have
been asked for by the time of the look-up share it (``Burst``). Groups and group are set before the
user, because only root may set them. From then on the child has only the rights of its user: it
enters the directory and executes the program as that user.

All of this happens in a thread, so that a slow user database or a slow exec (network file system,
cold disk) never stalls the event loop. A start is two jobs of that thread (``logs/worker.py``):

* *fork*: open the logs (without its logs there is no child), make the pipes, fork, and send the
  orders. The jobs are done in the order of the calls, and each ends with a pid that the daemon
  owns. So children are forked in the order of the calls, whichever of the three ways they take,
  and a start need not wait for the one before it to keep that order.
* *exec*: wait until the child executes its program. This job is queued when the first one is done:
  children take their steps while the next ones are forked. ``Popen`` has waited already. It is done
  in the same order, so the tasks learn of their children in the order of the calls too. No more
  than ``AT_ONCE`` children are between fork and exec, because each takes a descriptor: if there are
  more, the oldest is waited for before the next fork.

A job that takes longer than ``STUCK_AFTER`` holds up no other: another thread goes on with the
queue. ``trio.Process`` is not used because reading its return code reaps the child.
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
    Identity = tuple[int, int, list[int]]
    """User, group, and all groups."""

#: Seconds that one job for a child may take before another thread does the next: the order is kept
#: on a healthy machine.
STUCK_AFTER = 0.1
#: Children that take their steps at the same time.
AT_ONCE = 8
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


class Burst:
    """What is looked up once for several children: for all that have been asked for by then.

    So nothing that a child gets is older than the call that asked for the child.
    """

    __slots__ = ("has_looked", "identities", "last")

    def __init__(self, last: int) -> None:
        self.last = last
        """Number of the last of these children."""
        self.has_looked = False
        """Whether the fork server was compared with this process."""
        self.identities: dict[tuple[int | None, int | None], Identity] = {}
        """By user and group of the configuration."""


class Making:
    """A child that is being made in a thread, after its logs have been opened."""

    def __init__(
        self, spec: SpawnSpec, number: int, in_loop: Callable[[Callable[[], object]], None]
    ) -> None:
        """``number``: how many children have been asked for, this one included."""
        self.done = trio.Event()
        self.number = number
        self.server: ForkServer | None = None
        """What was to fork it; None: another way was taken."""
        self._spec = spec
        self._logs = spec.logs
        self._in_loop = in_loop
        self._forked: ForkedChild | None = None
        self._child: RealChild | None = None
        self._error: BaseException | None = None

    def fork(
        self, registry: ChildRegistry, burst: Burst, server: Callable[[Burst], ForkServer | None]
    ) -> None:
        """Open the logs and fork it; called in the thread."""
        try:
            if self._logs is not None:
                self._logs.open()
                if not self._logs.are_files:
                    self._in_loop(self._logs.take)
            if _needs_helper(self._spec):
                self.server = server(burst)
            self._forked = fork_child(self._spec, registry, burst, self.server)
        except BaseException as error:
            self._error = error

    @property
    def waits_for_exec(self) -> bool:
        """Whether ``finish`` may have to wait, after ``fork``."""
        return self._forked is not None and self._forked.waits_for_exec

    def finish(self) -> None:
        """Wait until it executes its program; called in the thread."""
        if self._forked is not None:
            try:
                self._child = self._forked.executed()
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
        self._asked = 0
        """How many children have been asked for."""
        self._burst = Burst(0)
        self._executing: deque[Making] = deque()
        """Those that are forked, and not waited for yet."""
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
        self._token = trio.lowlevel.current_trio_token()
        self._asked += 1
        making = Making(spec, self._asked, self._in_loop)
        self._worker.submit(partial(self._fork, making))
        return self._wait(making)

    def _fork(self, making: Making) -> None:
        """The first job for a child."""
        if making.number > self._burst.last:
            self._burst = Burst(self._asked)
        making.fork(self._registry, self._burst, self._server)
        is_next = not self._executing
        self._executing.append(making)
        if is_next and not making.waits_for_exec:
            self._finish_oldest()
            return
        self._worker.submit(self._finish_oldest)
        if len(self._executing) > AT_ONCE:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        """The second job for a child; the first job of a later child may have done it already."""
        try:
            making = self._executing.popleft()
        except IndexError:
            return
        making.finish()
        self._made.append(making)
        assert self._token is not None
        self._token.run_sync_soon(self._deliver, idempotent=True)

    def _server(self, burst: Burst) -> ForkServer | None:
        """Return a server that has what children inherit; None: there can be none now."""
        slot = self._fork_server
        if not (burst.has_looked and slot.works):
            if not slot.is_current():
                self._in_loop(slot.renew)
            burst.has_looked = True
        return slot.server

    def _in_loop(self, function: Callable[[], object]) -> None:
        """Have a function called by the event loop, and wait for that."""
        assert self._token is not None
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            trio.from_thread.run_sync(function, trio_token=self._token)
        else:  # there was no thread for the job
            function()

    async def _wait(self, making: Making) -> Child:
        await making.wait()
        self._fork_server.review(making.server)
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


class Pipes:
    """The pipes of one child: our ends of them, and what becomes its stdin, stdout and stderr."""

    __slots__ = ("_theirs", "standard", "stderr", "stdin", "stdout")

    def __init__(self, spec: SpawnSpec) -> None:
        """Make them. Raises OSError."""
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        self._theirs: list[int] = []
        try:
            child_stdin = spec.stdin
            if child_stdin is None:
                child_stdin, self.stdin = os.pipe()
                self._theirs.append(child_stdin)
            self.stdout, child_stdout = os.pipe()
            self._theirs.append(child_stdout)
            child_stderr = child_stdout
            if not spec.redirect_stderr:
                self.stderr, child_stderr = os.pipe()
                self._theirs.append(child_stderr)
        except OSError:
            self.close()
            self.close_theirs()
            raise
        for fd in self.ours.values():
            os.set_blocking(fd, False)
        self.standard: Standard = child_stdin, child_stdout, child_stderr

    @property
    def ours(self) -> dict[str, int]:
        """Our ends, by name."""
        ends = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}
        return {name: fd for name, fd in ends.items() if fd is not None}

    def close_theirs(self) -> None:
        """Close what the child has been given."""
        for fd in self._theirs:
            os.close(fd)

    def close(self) -> None:
        """Close our ends, if there is no child to use them."""
        for fd in self.ours.values():
            os.close(fd)


class ForkedChild:
    """A child on its way from fork to exec. The registry owns it."""

    __slots__ = ("_control", "_orders", "_pid", "_pipes", "_registry", "_spec")

    def __init__(
        self,
        spec: SpawnSpec,
        pid: int,
        pipes: Pipes,
        registry: ChildRegistry,
        orders: Orders,
        control: socket.socket | None,
    ) -> None:
        """``control``: where it reports; None means that it has reached exec."""
        self._spec = spec
        self._pid = pid
        self._pipes = pipes
        self._registry = registry
        self._orders = orders
        self._control = control

    @property
    def waits_for_exec(self) -> bool:
        """Whether it has yet to execute its program, as far as is known."""
        return self._control is not None

    def executed(self) -> RealChild:
        """Return the child when it executes its program.

        Raises SpawnError if a step has failed; the child is killed and reaped then.
        """
        pipes = self._pipes
        try:
            if self._control is not None:
                with self._control:
                    _await_exec(self._spec, self._orders, self._control)
            child = RealChild(self._pid, pipes.stdin, pipes.stdout, pipes.stderr, self._registry)
        except BaseException:
            self._registry.kill(self._pid)
            pipes.close()
            raise
        self._registry.met(self._pid)
        return child


def fork_child(
    spec: SpawnSpec,
    registry: ChildRegistry,
    burst: Burst,
    server: ForkServer | None = None,
) -> ForkedChild:
    """Make the pipes, fork a child, and send it its orders. Raises SpawnError.

    Blocks, possibly for long: runs in a worker thread. ``server``: None means that a child which
    needs a helper gets an interpreter of its own.
    """
    try:
        pipes = Pipes(spec)
    except OSError as error:
        raise _pipe_error(spec, error) from error
    try:
        if spec.before_fork is not None:
            spec.before_fork(pipes.ours)
        orders: Orders = []
        control = None
        try:
            if server is not None or _needs_helper(spec):
                orders = _orders(spec, burst)
                pid, control = _fork(spec, server, pipes.standard)
            else:
                pid = _popen(spec, pipes.standard)
        except OSError as error:
            raise _fork_error(spec, error) from error
        except (ValueError, subprocess.SubprocessError) as error:  # a NUL byte, an odd failure
            raise _odd_fork_error(spec, str(error)) from error
        registry.expect(pid)
        if control is not None:
            try:
                _instruct(spec, orders, control)
            except BaseException:
                control.close()
                registry.kill(pid)
                raise
        return ForkedChild(spec, pid, pipes, registry, orders, control)
    except BaseException:
        pipes.close()
        raise
    finally:
        pipes.close_theirs()


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


def _orders(spec: SpawnSpec, burst: Burst) -> Orders:
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
        wanted = spec.uid, spec.gid
        identity = burst.identities.get(wanted)
        if identity is None:
            identity = burst.identities[wanted] = _identity(spec)
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


def _identity(spec: SpawnSpec) -> Identity:
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
    """Send a child its orders. Raises SpawnError.

    A child that was killed before has ended as any other does.
    """
    try:
        data, sent = marshal.dumps(orders), 0
        if spec.descriptor is not None:
            sent = socket.send_fds(control, [data], [spec.descriptor], socket.MSG_NOSIGNAL)
        control.sendall(data[sent:], socket.MSG_NOSIGNAL)
        control.shutdown(socket.SHUT_WR)
    except ConnectionError:
        return
    except OSError as error:  # a sandbox refuses to send or to shut down
        raise _odd_fork_error(spec, f"cannot send the orders: {error.strerror}") from error


def _await_exec(spec: SpawnSpec, orders: Orders, control: socket.socket) -> None:
    """Wait until a child executes its program. Raises SpawnError.

    A child that is killed before it reports has ended as any other does.
    """
    report = b""
    try:
        report = control.recv(REPORT_SIZE)  # empty: the exec has closed the other end
    except ConnectionError:
        return
    except OSError as error:  # a sandbox refuses it
        raise _odd_fork_error(spec, f"cannot receive the report: {error.strerror}") from error
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
        return _not_spawned(steps.explain(_orders(spec, Burst(0)), failed, error))
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SpawnError(f"too many open files to spawn '{spec.label}'")
    if error.errno == errno.EAGAIN:
        return _process_table_full(spec)
    return _odd_fork_error(spec, errno_name(error))


def _odd_fork_error(spec: SpawnSpec, text: str) -> SpawnError:
    return SpawnError(f"unknown error during fork for '{spec.label}': {text}")


def _process_table_full(spec: SpawnSpec) -> SpawnError:
    return SpawnError(f"Too many processes in process table to spawn '{spec.label}'")
