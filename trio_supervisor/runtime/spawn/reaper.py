"""Reap orphans: processes that became the daemon's children without being made by it.

A daemon has such children if it is PID 1 or a subreaper, or if the process that executed it had
children. A wildcard wait would steal the exit status of children that other code of this program
waits for by pid (managed processes, plugins). So a child is reaped only if it is a zombie, is not
owned, and has not been waited for within a grace period. Only a daemon does this, never an embedded
supervisor.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NoReturn

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.spawn.child import exit_of
from trio_supervisor.runtime.spawn.child_signals import has_zombie

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

#: Seconds that a zombie is left to other code that may be about to wait for it.
GRACE = 0.2
#: Seconds between two looks while children end in quick succession: each look lists all children.
PAUSE = 0.05
#: Seconds until the next search after one that failed for lack of descriptors.
RETRY_PAUSE = 1

_TASKS = "/proc/self/task"


async def reap_orphans(
    quits: AsyncIterator[int],
    owned: Callable[[int], bool],
    log: Callable[[Severity, str], None],
) -> NoReturn:
    """Look for orphans now and after each SIGCHLD that ``quits`` delivers, until cancelled.

    ``owned`` tells the pids that are waited for elsewhere; those are never touched.
    """
    since: dict[int, float] = {}
    while True:
        now = trio.current_time()
        try:
            ended = []
            if has_zombie():  # usually all are reaped by then, and none need be listed
                ended = [pid for pid in _children() if not owned(pid) and _ended(pid)]
        except OSError:  # no descriptor or memory is left; zombies can wait
            again: float = RETRY_PAUSE
        else:
            since = {pid: since.get(pid, now) for pid in ended}
            for pid in [pid for pid, first in since.items() if now - first >= GRACE]:
                del since[pid]
                _reap(pid, log)
            again = GRACE if since else math.inf
        with trio.move_on_after(again):
            await anext(quits)
            log(Severity.DEBUG, "received SIGCHLD indicating a child quit")
        await trio.sleep(PAUSE)


def _children() -> Iterator[int]:
    """List the pids of all children; the kernel lists them by the thread that made them.

    Raises OSError.
    """
    for thread in os.listdir(_TASKS):
        try:
            with open(f"{_TASKS}/{thread}/children") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended meanwhile; its children were passed on
        yield from map(int, text.split())


def _ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has been reaped by its owner
        return False


def _reap(pid: int, log: Callable[[Severity, str], None]) -> None:
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return
    if result is not None:
        log(Severity.INFO, f"reaped unknown pid {pid} ({exit_of(result)})")
