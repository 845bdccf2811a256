"""``python -m benchmarks.floor``: what bare trio needs for the tasks that the daemon has.

Programs with pipes and pidfds are started and stopped by as many tasks and nurseries as ours has
for them, and nothing else is done: no states, no logs, no journal. A daemon on trio in which an
error of one program stays in that program cannot need less.

With ``--without-pipes`` no task waits for a pipe: all of them are in one epoll instance, for which
one task waits. So little would be left if a pipe had a task only while there is output.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from trio_supervisor.cli.postponed import import_dependencies

import_dependencies()  # of trio and h11, whose memory is part of the floor: as the daemon does
import trio  # noqa: E402  # see above

PROGRAMS = 300
COMMAND = ("/bin/sleep", "1000")
#: Open files that the programs need: three pipes and a pidfd each, with room for those that threads
#: start at the same time.
DESCRIPTORS = 4 * PROGRAMS + 1000
#: Seconds after which all tasks wait for their programs.
SETTLE = 0.5
#: Bytes of one read.
CHUNK = 128 * 1024


@dataclass
class Programs:
    """The programs that run, and when all of them have been started."""

    pids: list[int]
    started: trio.Event
    resting: select.epoll | None
    """Where pipes are that have no task; None: each has one."""


def memory() -> int:
    """KiB that belong to this process alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


async def group(programs: Programs) -> None:
    """A group has a nursery with a task for each of its processes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process, programs)


async def process(programs: Programs) -> None:
    """A process has a nursery with a task for each of its pipes, and waits for its end."""
    pid, pipes, pidfd = await trio.to_thread.run_sync(spawn)
    programs.pids.append(pid)
    if len(programs.pids) == PROGRAMS:
        programs.started.set()
    async with trio.open_nursery() as nursery:
        for pipe in pipes[1:]:
            if programs.resting is None:
                nursery.start_soon(drain, pipe)
            else:
                programs.resting.register(pipe, select.EPOLLIN)
        with trio.CancelScope():  # of the deadline for the next step of a stop
            await trio.lowlevel.wait_readable(pidfd)
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  # with WNOHANG it does not wait
        nursery.cancel_scope.cancel()
    for fd in (*pipes, pidfd):
        trio.lowlevel.notify_closing(fd)
        os.close(fd)


def spawn() -> tuple[int, list[int], int]:
    """Start a program; return its pid, our ends of stdin, stdout and stderr, and a pidfd."""
    stdin, stdout, stderr = (os.pipe() for _ in range(3))
    popen = subprocess.Popen(
        COMMAND, stdin=stdin[0], stdout=stdout[1], stderr=stderr[1], process_group=0
    )
    popen.returncode = 0  # it is reaped by its task
    for fd in (stdin[0], stdout[1], stderr[1]):
        os.close(fd)
    ours = [stdin[1], stdout[0], stderr[0]]
    for fd in ours:
        os.set_blocking(fd, False)
    return popen.pid, ours, os.pidfd_open(popen.pid)


async def drain(fd: int) -> None:
    """Read a pipe to its end."""
    while True:
        await trio.lowlevel.wait_readable(fd)
        if not os.read(fd, CHUNK):
            return


async def main(resting: select.epoll | None) -> None:
    """Start all, stop all, and print what that has taken."""
    programs = Programs([], trio.Event(), resting)
    empty, began = memory(), time.process_time()
    async with trio.open_nursery() as nursery:
        for _ in range(PROGRAMS):
            nursery.start_soon(group, programs)
        await programs.started.wait()
        await trio.sleep(SETTLE)
        started, used = time.process_time(), memory()
        for pid in programs.pids:
            os.kill(pid, signal.SIGTERM)
    stopped = time.process_time()
    print(f"memory of interpreter, trio and h11: {empty / 1024:.1f} MiB")
    print(f"memory of each program: {(used - empty) / PROGRAMS:.1f} KiB")
    print(f"processor time to load them: {began:.2f} s")
    print(f"processor time of each start: {(started - began) / PROGRAMS * 1000:.2f} ms")
    print(f"processor time of each stop: {(stopped - started) / PROGRAMS * 1000:.2f} ms")


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    trio.run(main, select.epoll() if "--without-pipes" in sys.argv else None)
