"""The program of the daemon as it was started, and its replacement by the one that is there now.

Theory of operation
-------------------
The state is written to a memory file, which the kernel keeps for whoever has its descriptor: no
other user can read it, and nothing remains of it. Its number is in the environment of the next
program, under a name that is removed at once. All descriptors that the state names are inherited;
every other one of the daemon is closed by the kernel at the exec.

Signals that arrive between the last task and the first one of the next program must not have their
default effect, which would end the daemon. So they are blocked before the exec and unblocked by the
next program when it can receive them; the kernel keeps those that come meanwhile. What Python has
received already and no task has handled is sent again.

``execve`` either replaces the program or fails without a trace. In that case everything is put
back, and the caller goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from trio_supervisor.core.handover.state import HandedState

#: Names the descriptor of the state for the next program.
VARIABLE = "TSUPERVISORD_HANDOVER"
#: Seconds in which signals that were received are delivered to the receiver.
DELIVERY = 0.001


def arguments() -> list[str]:
    """Return the command line with which the daemon was started."""
    return [sys.executable, *sys.orig_argv[1:]]


def memory_file(content: bytes) -> int:
    """Return the descriptor of a file in memory, at its beginning. Raises OSError."""
    fd = os.memfd_create("tsupervisord state")
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def descriptors(handed: HandedState) -> list[int]:
    """Return all descriptors that the next program needs."""
    found = [server.descriptor for server in handed.web.servers]
    found += [connection.descriptor for connection in handed.web.connections]
    for group in handed.groups:
        found += group.sockets.values()
        for process in group.processes:
            child = process.child
            if child is not None:
                notify = None if child.notify is None else child.notify.descriptor
                ends = (child.stdin, child.stdout, child.stderr, child.ready, child.pidfd, notify)
                found += [fd for fd in ends if fd is not None]
    program = handed.program
    if program.directory is not None:
        found.append(program.directory)
    if program.cgroups is not None:
        found.append(program.cgroups.lock)
    return found


async def execute(
    content: bytes,
    kept: Iterable[int],
    receivers: Iterable[AsyncIterator[int]],
    handled: Iterable[int],
    origin: str,
) -> OSError:
    """Replace the program; returns only if that failed, and why.

    ``kept`` are the descriptors that are inherited, ``receivers`` those of the signals ``handled``,
    and ``origin`` is the directory in which the program was started.
    """
    with ExitStack() as stack:
        try:
            state = memory_file(content)
        except OSError as error:
            return error
        stack.callback(os.close, state)
        for fd in (*kept, state):
            try:
                os.set_inheritable(fd, True)
            except OSError as error:
                return error
            stack.callback(os.set_inheritable, fd, False)
        signals = await _held_back(stack, receivers, tuple(handled))
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, here)
        stack.callback(os.fchdir, here)
        with suppress(OSError):  # the check has found out whether that matters
            os.chdir(origin)
        while signals:  # blocked, so they wait for the next program
            signal.pthread_kill(threading.main_thread().ident or 0, signals.pop())
        try:
            os.execve(sys.executable, arguments(), {**os.environ, VARIABLE: str(state)})
        except OSError as error:
            return error


async def _held_back(
    stack: ExitStack, receivers: Iterable[AsyncIterator[int]], handled: tuple[int, ...]
) -> list[int]:
    """Block signals until the stack is closed; return those that were received before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
    signals: list[int] = []
    for receiver in receivers:
        with trio.move_on_after(DELIVERY):
            while True:
                signals.append(await anext(receiver))
    for number in handled:  # another thread may still get one, until the exec
        usual = signal.signal(number, lambda number, frame: signals.append(number))
        stack.callback(signal.signal, number, usual)
    return signals
