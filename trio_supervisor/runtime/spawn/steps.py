"""What a new child does between fork and exec: a table of steps, and the loop that runs them.

Theory of operation
-------------------
The daemon writes the child's *orders* to a socket, as one ``marshal`` value: a list of pairs (name
of a step, argument), of which the last is the step ``exec``. The child reads them to their end,
carries them out in that order, and either becomes the program, which closes the socket, or writes
``(step, errno, text)`` to it and exits. So the daemon reads an end of file or the name of the step
that failed, and the table has the words for it.

Two interpreters run this file: the fork server (``fork_server.py``), which imports it once and then
forks, and, where that server cannot be used, one interpreter for each child, which runs it as a
script: ``python -I -S steps.py FD``. Both see only the standard library. Each loaded module makes
every fork, and the start of such an interpreter, slower; so only modules that are loaded anyway are
imported, and ``_signal`` instead of ``signal``, which makes enumerations of all numbers. The daemon
imports this module too, for the names and the texts of the table.

A new step is a row of ``STEPS`` at the place where it belongs in the order: ``setting`` takes its
argument from the configuration of a process (None: this child does without the step), ``act``
carries it out, and ``failure`` says what it means if the system refuses. ``prepare`` loads the
modules that only this step needs. All are loaded before the first step: later the child may be a
user who cannot read them, or have no memory left for them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it is in every CPython
import _socket
import errno
import marshal
import os
import sys

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from trio_supervisor.core.config.model import ProcessConfig

    Argument = Any
    Orders = list[tuple[str, Argument]]

#: Exit status of a child that could not execute its program.
NOT_SPAWNED = 127
#: Bytes to read at once.
READ_SIZE = 65536
#: Bytes of a descriptor in an ancillary message.
DESCRIPTOR_SIZE = 4
#: Linux's MSG_CMSG_CLOEXEC: no child may inherit what was sent for another one.
MSG_CMSG_CLOEXEC = 0x40000000

#: Options of prctl(2).
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

#: Signals that the interpreter ignores; the programs that it executes inherit that.
IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)


class Step:
    """One row of the table."""

    __slots__ = ("act", "failure", "name", "prepare", "setting")

    def __init__(
        self,
        name: str,
        act: Callable[[Argument], object],
        failure: Callable[[Argument, OSError], str],
        setting: Callable[[ProcessConfig], Argument] | None = None,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.act = act
        self.failure = failure
        self.setting = setting
        self.prepare = prepare


def errno_name(error: OSError) -> str:
    """Return ``ENOENT`` and the like, or the number of an unknown error."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def _set_signals(ignore_sigpipe: bool) -> None:
    """Unblock all signals, and give those that the interpreter ignores their default effect."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if not ignore_sigpipe:
        for number in IGNORED_BY_PYTHON:
            _signal.signal(number, _signal.SIG_DFL)


def _setuid_failed(identity: tuple[int, int, list[int]], why: str | None) -> str:
    return f"couldn't setuid to {identity[0]}: {why}"


def _enter_cgroup(entrance: bytes) -> None:
    """Move to a cgroup: ``entrance`` is its file ``cgroup.procs``."""
    fd = os.open(entrance, os.O_WRONLY)
    os.write(fd, b"0")
    os.close(fd)


def _set_oom_score_adj(value: int) -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(value))


def _load_resource() -> Any:
    import resource

    return resource


def _set_limits(limits: list[tuple[str, int, int]]) -> None:
    """Raise OSError with the option, in place of its text, of the limit that is refused."""
    resource = _load_resource()
    for name, soft, hard in limits:
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        except AttributeError:
            raise OSError(errno.ENOSYS, f"rlimit_{name}") from None
        except (OSError, ValueError) as error:  # ValueError: above the hard limit of the daemon
            raise OSError(getattr(error, "errno", errno.EPERM), f"rlimit_{name}") from None


def _load_prctl() -> Callable[..., None]:
    import ctypes

    function = ctypes.CDLL(None, use_errno=True).prctl

    def prctl(option: int, value: int) -> None:
        if function(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return prctl


def _die_with(supervisor: int) -> None:
    """Let the kernel kill the child when the thread ends that is its parent.

    The daemon may have died before: then nothing else would end the child.
    """
    _load_prctl()(PR_SET_PDEATHSIG, _signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(NOT_SPAWNED)


def _refused(option: str) -> Callable[[Argument, OSError], str]:
    return lambda argument, error: f"couldn't set {option}: {errno_name(error)}"


#: Descriptors that came with the orders: at most one, for the step "descriptor".
_received: list[int] = []


def _place_descriptor(number: int) -> None:
    """Give the descriptor that came with the orders this number, and let the program inherit it."""
    (received,) = _received
    if received == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(received, number)


#: All steps in the order in which a child takes them. What may need the daemon's rights comes
#: before the identity. The identity comes before the directory, so
#: that the directory is entered, and the program found, with the rights of the program's own user.
#: The signal that tells of the daemon's death comes after it, because a change of user cancels it.
#: Its argument (uid, gid, groups) is looked up at each spawn, not taken from the configuration.
STEPS = (
    Step(
        "process group",
        lambda argument: os.setpgid(0, 0),
        lambda argument, error: f"couldn't setpgid: {errno_name(error)}",
        lambda config: True if config.stopping.kill_mode.value == "process" else None,
    ),
    Step(
        "session",
        lambda argument: os.setsid(),
        lambda argument, error: f"couldn't setsid: {errno_name(error)}",
        lambda config: True if config.stopping.kill_mode.value != "process" else None,
    ),
    Step(
        "cgroup",
        _enter_cgroup,
        lambda entrance, error: (
            f"couldn't enter cgroup {os.path.dirname(os.fsdecode(entrance))}: {errno_name(error)}"
        ),
    ),
    Step(
        "oom_score_adj",
        _set_oom_score_adj,
        _refused("oom_score_adj"),
        lambda config: config.limits.oom_score_adj,
    ),
    Step(
        "nice",
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
        _refused("nice"),
        lambda config: config.limits.nice,
    ),
    Step(
        "limits",
        _set_limits,
        lambda argument, error: f"couldn't set {error.strerror}: {errno_name(error)}",
        lambda config: config.limits.rlimits() or None,
        _load_resource,
    ),
    Step(
        "groups",
        lambda identity: os.setgroups(identity[2]),
        lambda identity, error: _setuid_failed(identity, "Could not set groups of effective user"),
    ),
    Step(
        "group",
        lambda identity: os.setgid(identity[1]),
        lambda identity, error: _setuid_failed(
            identity, "Could not set group id of effective user"
        ),
    ),
    Step(
        "user",
        lambda identity: os.setuid(identity[0]),
        lambda identity, error: _setuid_failed(identity, error.strerror),
    ),
    Step(
        "die_with_supervisor",
        _die_with,
        _refused("die_with_supervisor"),
        lambda config: os.getpid() if config.limits.die_with_supervisor else None,
        _load_prctl,
    ),
    Step(
        "directory",
        os.chdir,
        lambda directory, error: f"couldn't chdir to {os.fsdecode(directory)}: {errno_name(error)}",
        lambda config: config.directory,
    ),
    Step(
        "umask",
        os.umask,
        lambda umask, error: f"couldn't set umask: {errno_name(error)}",
        lambda config: config.umask,
    ),
    Step(
        "no_new_privs",
        lambda argument: _load_prctl()(PR_SET_NO_NEW_PRIVS, 1),
        _refused("no_new_privs"),
        lambda config: config.limits.no_new_privs or None,
        _load_prctl,
    ),
    Step(
        "descriptor",
        _place_descriptor,
        lambda number, error: f"couldn't pass descriptor {number}: {errno_name(error)}",
    ),
    Step(
        "signals",
        _set_signals,
        _refused("signals"),
        lambda config: config.ignore_sigpipe,
    ),
    Step(
        "exec",
        lambda argument: os.execve(*argument),
        lambda argument, error: f"couldn't exec {os.fsdecode(argument[1][0])}: {errno_name(error)}",
    ),
)

_BY_NAME = {step.name: step for step in STEPS}


def ordered(arguments: dict[str, Argument]) -> Orders:
    """Return the steps of one child as orders: names with arguments, in the table's order."""
    return [(step.name, arguments[step.name]) for step in STEPS if step.name in arguments]


def explain(orders: Orders, name: str, error: OSError) -> str:
    """Return what it means that a step of these orders has failed."""
    return _BY_NAME[name].failure(dict(orders)[name], error)


def carry_out(control: int) -> None:
    """Read orders from a socket and obey them; does not return.

    If a step fails, its name, error number (None: no error of the system) and text are written to
    the socket. Without complete orders (the daemon is gone) the child just exits.
    """
    try:
        try:
            data = _read(control)
        except OSError as error:  # a sandbox refuses it
            _report(control, "", None, f"cannot receive the orders: {error.strerror}")
        orders: Orders = marshal.loads(data)
        if control == dict(orders).get("descriptor"):  # the program's descriptor gets this number
            control = os.dup(control)
        for name, _ in orders:
            _try(control, name, _BY_NAME[name].prepare)
        for name, argument in orders:
            _try(control, name, _BY_NAME[name].act, argument)
    finally:
        os._exit(NOT_SPAWNED)


def _read(control: int) -> bytes:
    """Read to the end what comes on the socket; keep the descriptor that may come with it."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, control)
    parts: list[bytes] = []
    while True:
        part, ancillary, _, _ = connection.recvmsg(
            READ_SIZE, _socket.CMSG_SPACE(DESCRIPTOR_SIZE), MSG_CMSG_CLOEXEC
        )
        _received.extend(int.from_bytes(data, sys.byteorder) for _, _, data in ancillary)
        if not part:
            connection.detach()  # else it would be closed, which means success to the daemon
            return b"".join(parts)
        parts.append(part)


def _try(control: int, name: str, act: Callable[..., object], *arguments: Argument) -> None:
    try:
        act(*arguments)
    except OSError as error:
        _report(control, name, error.errno, error.strerror)
    except Exception as error:  # a NUL byte in an argument, a number out of range
        _report(control, name, None, str(error))


def _report(control: int, name: str, number: int | None, text: str | None) -> NoReturn:
    os.write(control, marshal.dumps((name, number, text)))
    os._exit(NOT_SPAWNED)


if __name__ == "__main__":
    inherited = int(sys.argv[1])
    os.set_inheritable(inherited, False)
    carry_out(inherited)
