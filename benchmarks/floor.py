"""``python -m benchmarks.floor``: what bare trio needs for the tasks that the daemon has.

Programs with pipes and pidfds are started and stopped by as many tasks and nurseries as ours has
for them, and nothing else is done: no states, no logs, no journal. A daemon on trio in which an
error of one program stays in that program cannot need less.

With ``--without-pipes`` no task waits for a pipe: all of them are in one epoll instance, for which
one task waits. So little would be left if a pipe had a task only while there is output.

With ``--with-records`` each program has two logs, which are closed by a thread, and for each stop
are written what clients and operators are to find afterwards: the two lines of Supervisor's
activity log, and three entries of a journal in memory (the request and two states). SIGCHLD is
received, as it is for orphans, and SIGCONT sent after SIGTERM, as to a program that is paused. A
daemon of our features on trio cannot need less.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from trio_supervisor.cli.postponed import import_dependencies

import_dependencies()  # of trio and h11, whose memory is part of the floor: as the daemon does
import trio  # noqa: E402  # see above

from trio_supervisor.runtime.spawn.child_signals import ChildSignals  # noqa: E402  # see above

PROGRAMS = 300
COMMAND = ("/bin/sleep", "1000")
#: Open files that the programs need: three pipes, a pidfd and two logs each, with room for those
#: that threads start at the same time.
DESCRIPTORS = 6 * PROGRAMS + 1000
#: Seconds after which all tasks wait for their programs.
SETTLE = 0.5
#: Bytes of one read.
CHUNK = 128 * 1024


class Records:
    """What is recorded of stops, and the logs of the programs in this directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._activity = os.open(f"{directory}/activity", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lines: list[str] = []
        self._journal: list[tuple[object, ...]] = []
        self._closing: list[int] = []

    def open_logs(self) -> list[int]:
        """Open the two logs of a program."""
        return [tempfile.mkstemp(dir=self._directory)[0] for _ in range(2)]

    def requested(self, pid: int) -> None:
        """Record that a program is told to stop."""
        self._enter(pid, "", "stop")
        self._enter(pid, "RUNNING", "STOPPING")
        self._log(f"waiting for {pid} to stop")

    def ended(self, pid: int, status: int, logs: list[int]) -> None:
        """Record that a program has ended, and have its logs closed."""
        self._enter(pid, "STOPPING", "STOPPED", os.waitstatus_to_exitcode(status))
        self._log(f"stopped: {pid} (terminated by signal {os.WTERMSIG(status)})")
        if not self._closing:  # those of all that end at once are closed together
            trio.lowlevel.current_trio_token().run_sync_soon(self._write)
        self._closing += logs

    def _enter(self, pid: int, old: str, new: str, *evidence: object) -> None:
        number = len(self._journal)
        self._journal.append((number, time.time(), time.monotonic(), pid, old, new, evidence))

    def _log(self, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        self._lines.append(f"{stamp},{int(now % 1 * 1000):03d} INFO {text}\n")

    def _write(self) -> None:
        lines, closing = "".join(self._lines).encode(), self._closing
        self._lines, self._closing = [], []

        def work() -> None:
            os.write(self._activity, lines)
            for fd in closing:
                os.close(fd)

        trio.lowlevel.start_thread_soon(work, lambda result: None)


@dataclass
class Programs:
    """The programs that run, and when all of them have been started."""

    pids: dict[int, int]
    """With their pidfds."""
    started: trio.Event
    resting: select.epoll | None
    """Where pipes are that have no task; None: each has one."""
    records: Records | None
    """None: nothing is recorded."""


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
    programs.pids[pid] = pidfd
    logs = [] if programs.records is None else programs.records.open_logs()
    if len(programs.pids) == PROGRAMS:
        programs.started.set()
    async with trio.open_nursery() as nursery:
        for pipe in pipes[1:]:
            if programs.resting is None:
                nursery.start_soon(drain, pipe)
            else:
                programs.resting.register(pipe, select.EPOLLIN)
        await trio.lowlevel.wait_readable(pidfd)
        status = os.wait4(pid, os.WNOHANG)[1]  # noqa: ASYNC222  # with WNOHANG it does not wait
        if nursery.child_tasks:  # most are about to read the end of their pipes
            await trio.lowlevel.cancel_shielded_checkpoint()
        if nursery.child_tasks:
            nursery.cancel_scope.cancel()
    for fd in (*pipes, pidfd):  # whose waits are over
        os.close(fd)
    if programs.records is not None:
        programs.records.ended(pid, status, logs)


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


def stop(pid: int, pidfd: int, records: Records | None) -> None:
    """Tell a program to stop."""
    if records is not None:
        records.requested(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    if records is not None:
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)


async def receive_child_signals() -> None:
    """Receive SIGCHLD, one of many that come at once, until cancelled."""
    with ChildSignals() as signals:
        while True:
            await signals.ended(lambda: False)


async def main(resting: select.epoll | None, records: Records | None) -> None:
    """Start all, stop all, and print what that has taken."""
    programs = Programs({}, trio.Event(), resting, records)
    empty, began = memory(), time.process_time()
    async with trio.open_nursery() as all_the_time:
        if records is not None:
            all_the_time.start_soon(receive_child_signals)
        async with trio.open_nursery() as nursery:
            for _ in range(PROGRAMS):
                nursery.start_soon(group, programs)
            await programs.started.wait()
            await trio.sleep(SETTLE)
            started, used = time.process_time(), memory()
            for pid, pidfd in programs.pids.items():
                stop(pid, pidfd, records)
        await trio.sleep(SETTLE)  # the logs are closed
        all_the_time.cancel_scope.cancel()
    stopped = time.process_time()
    print(f"memory of interpreter, trio and h11: {empty / 1024:.1f} MiB")
    print(f"memory of each program: {(used - empty) / PROGRAMS:.1f} KiB")
    print(f"processor time to load them: {began:.2f} s")
    print(f"processor time of each start: {(started - began) / PROGRAMS * 1000:.2f} ms")
    print(f"processor time of each stop: {(stopped - started) / PROGRAMS * 1000:.3f} ms")


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, DESCRIPTORS), most))
    with ExitStack() as stack:
        kept: Records | None = None
        if "--with-records" in sys.argv:
            kept = Records(stack.enter_context(tempfile.TemporaryDirectory()))
        trio.run(main, select.epoll() if "--without-pipes" in sys.argv else None, kept)
