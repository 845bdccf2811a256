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
carries it out, and ``failure`` says what it means if the system refuses.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # it is in every CPython
import errno
import marshal
import os
import sys

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trio_supervisor.core.config.model import ProcessConfig

    Argument = Any
    Orders = list[tuple[str, Argument]]

#: Exit status of a child that could not execute its program.
NOT_SPAWNED = 127
#: Bytes to read at once.
READ_SIZE = 65536

#: Signals that the interpreter ignores; the programs that it executes inherit that.
IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)


class Step:
    """One row of the table."""

    __slots__ = ("act", "failure", "name", "setting")

    def __init__(
        self,
        name: str,
        act: Callable[[Argument], object],
        failure: Callable[[Argument, OSError], str],
        setting: Callable[[ProcessConfig], Argument] = lambda config: None,
    ) -> None:
        self.name = name
        self.act = act
        self.failure = failure
        self.setting = setting


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


#: All steps in the order in which a child takes them. The identity comes before the directory, so
#: that the directory is entered, and the program found, with the rights of the program's own user.
#: Its argument (uid, gid, groups) is looked up at each spawn, not taken from the configuration.
STEPS = (
    Step(
        "process group",
        lambda argument: os.setpgid(0, 0),
        lambda argument, error: f"couldn't setpgid: {errno_name(error)}",
        lambda config: True,
    ),
    Step(
        "signals",
        _set_signals,
        lambda argument, error: f"couldn't set signals: {errno_name(error)}",
        lambda config: config.ignore_sigpipe,
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
        parts = []
        while part := os.read(control, READ_SIZE):
            parts.append(part)
        orders: Orders = marshal.loads(b"".join(parts))
        for name, argument in orders:
            try:
                _BY_NAME[name].act(argument)
            except OSError as error:
                _report(control, name, error.errno, error.strerror)
            except Exception as error:  # a NUL byte in an argument, a number out of range
                _report(control, name, None, str(error))
    finally:
        os._exit(NOT_SPAWNED)


def _report(control: int, name: str, number: int | None, text: str | None) -> None:
    os.write(control, marshal.dumps((name, number, text)))
    os._exit(NOT_SPAWNED)


if __name__ == "__main__":
    inherited = int(sys.argv[1])
    os.set_inheritable(inherited, False)
    carry_out(inherited)
