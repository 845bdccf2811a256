"""Forks one child, which takes the steps of its description and executes its program.

Theory of operation: spawning and identity
------------------------------------------
A child gets its pipes, is forked, takes the *steps* of its description, and executes its program.
There are three ways to do that, with the same result for the child:

* ``subprocess.Popen``, where it can take all steps itself (process group, directory, umask). It
  forks with vfork, which does not depend on the size of the daemon, but on the number of its
  descriptors if the child has to close them: 1.2 ms beside 1,000 programs. In the daemon all of
  them are closed by the exec (``close_fds`` is false).
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

Everything here blocks, possibly for long; ``launcher.py`` calls it in a thread.
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
from typing import TYPE_CHECKING

from trio_supervisor.runtime.spawn import steps
from trio_supervisor.runtime.spawn.child import RealChild
from trio_supervisor.runtime.spawn.fork_client import ForkServerFailed
from trio_supervisor.runtime.spawn.steps import errno_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.spawn.child import ChildRegistry
    from trio_supervisor.runtime.spawn.fork_client import ForkServer
    from trio_supervisor.runtime.spawn.spec import SpawnSpec
    from trio_supervisor.runtime.spawn.steps import Orders

    Standard = tuple[int, int, int]
    """Descriptors of the child's stdin, stdout and stderr."""
    Identity = tuple[int, int, list[int]]
    """User, group, and all groups."""

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
    *,
    close_fds: bool = True,
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
            if server is not None or needs_helper(spec):
                orders = _orders(spec, burst)
                pid, control = _fork(spec, server, pipes.standard)
            else:
                pid = _popen(spec, pipes.standard, close_fds=close_fds)
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


def needs_helper(spec: SpawnSpec) -> bool:
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


def _popen(spec: SpawnSpec, standard: Standard, *, close_fds: bool) -> int:
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
            close_fds=close_fds,
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
