"""Orphans are reaped and nobody else's child is: this process as a subreaper."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.kit.children import spec
from tests.kit.fakes import log_lines
from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.spawn import reaper as orphans
from trio_supervisor.runtime.spawn.child import Child
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.reaper import reap_orphans
from trio_supervisor.runtime.spawn.spec import SpawnSpec

PR_SET_CHILD_SUBREAPER = 36
#: Makes a grandchild that ends as told once its stdin does, and says its pid; then ends itself.
PARENT = """\
import os
import resource
if pid := os.fork():
    os.write(1, str(pid).encode())
    os._exit(0)
os.close(1)
os.read(0, 1)
{end}
"""


@pytest.fixture(autouse=True)
def _subreaper() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


class Orphan:
    """A grandchild of ours that has become our child and lives until ``end``."""

    def __init__(self, end: str) -> None:
        read, self._stdin = os.pipe()
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", PARENT.format(end=end)],
            stdin=read,
            stdout=subprocess.PIPE,
            check=True,
        )
        os.close(read)
        self.pid = int(done.stdout)

    def end(self) -> None:
        os.close(self._stdin)


def wait_for_zombie(pid: int) -> None:
    """Without reaping it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def zombie(code: int) -> int:
    """The pid of a child that has exited and that nobody has waited for."""
    pid = os.spawnv(os.P_NOWAIT, "/bin/sh", ["sh", "-c", f"exit {code}"])
    wait_for_zombie(pid)
    return pid


def about(pid: int, lines: list[str]) -> list[str]:
    """Those of this process: other tests may have left orphans too, which become ours."""
    return [line for line in lines if f"pid {pid} " in line]


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1])


def short_life(code: int) -> SpawnSpec:
    argv = ("/bin/sh", "-c", f"exit {code}")
    return spec(*argv, environment={}, redirect_stderr=True)


def close(child: Child) -> None:
    child.close()
    for fd in (child.stdin, child.stdout):
        assert fd is not None
        os.close(fd)


class Reaper:
    """``reap_orphans`` at work, and what it says."""

    def __init__(self, launcher: ProcessLauncher) -> None:
        self.launcher = launcher
        self.lines: list[str] = []
        self._spoke = trio.lowlevel.ParkingLot()

    def log(self, severity: Severity, text: str) -> None:
        log_lines(self.lines)(severity, text)
        self._spoke.unpark_all()

    async def said(self, *lines: str) -> None:
        with trio.fail_after(30):
            while not set(lines) <= set(self.lines):
                await self._spoke.park()
        assert [line for line in self.lines if "reaped" in line].count(lines[0]) == 1


@asynccontextmanager
async def reaping() -> AsyncIterator[Reaper]:
    reaper = Reaper(ProcessLauncher())
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGCHLD) as quits:
            nursery.start_soon(reap_orphans, quits, reaper.launcher.owns, reaper.log)
            yield reaper
            nursery.cancel_scope.cancel()


@pytest.mark.behaviour("process.md#reaping")
async def test_orphans_are_reaped_and_named() -> None:
    async with reaping() as reaper:
        exits, dies = Orphan("os._exit(5)"), Orphan("os.kill(os.getpid(), 9)")
        exits.end()
        dies.end()
        await reaper.said(
            f"INFO reaped unknown pid {exits.pid} (exit status 5)",
            f"INFO reaped unknown pid {dies.pid} (terminated by SIGKILL)",
        )
        assert "DEBG received SIGCHLD indicating a child quit" in reaper.lines


async def test_a_zombie_from_before_the_start_is_reaped_too() -> None:
    pid = zombie(3)
    async with reaping() as reaper:
        await reaper.said(f"INFO reaped unknown pid {pid} (exit status 3)")


@pytest.mark.behaviour("process.md#reaping")
async def test_no_status_of_anybodys_child_is_stolen() -> None:
    """Managed children, an application's own and orphans, ending all at once."""
    async with reaping() as reaper:
        many = [Orphan(f"os._exit({code})") for code in range(1, 11)]
        managed: list[int] = []
        foreign: list[int] = []

        async def manage(code: int) -> None:
            child = await reaper.launcher(short_life(code))
            assert reaper.launcher.owns(child.pid)
            managed.append((await child.wait()).status)
            assert not reaper.launcher.owns(child.pid)
            close(child)

        async def run(code: int) -> None:
            done = await trio.run_process(["/bin/sh", "-c", f"exit {code}"], check=False)
            foreign.append(done.returncode)

        async with trio.open_nursery() as nursery:
            for code in range(1, 31):
                nursery.start_soon(manage, code)
                nursery.start_soon(run, code)
            for orphan in many:
                orphan.end()
        await reaper.said(
            *(
                f"INFO reaped unknown pid {orphan.pid} (exit status {code})"
                for code, orphan in enumerate(many, start=1)
            )
        )
    assert sorted(managed) == list(range(1, 31))
    assert sorted(foreign) == list(range(1, 31))


@pytest.mark.behaviour("process.md#reaping")
async def test_an_owned_zombie_is_never_touched() -> None:
    """However late its owner looks; an orphan beside it shows that the reaper was there."""
    async with reaping() as reaper:
        child = await reaper.launcher(short_life(7))
        wait_for_zombie(child.pid)
        orphan = Orphan("os._exit(5)")
        orphan.end()
        await reaper.said(f"INFO reaped unknown pid {orphan.pid} (exit status 5)")
        assert (await child.wait()).status == 7
        close(child)


async def test_a_zombie_gets_its_grace(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever waits for it by pid within that time has its status."""
    pid = zombie(3)
    send, quits = trio.open_memory_channel[int](1)
    lines: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reap_orphans, quits, lambda pid: False, log_lines(lines))
        await trio.sleep(orphans.GRACE - 0.01)
        assert exit_code(pid) == 3
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    send.close()
    quits.close()
    assert about(pid, lines) == []


async def test_zombies_wait_while_no_descriptor_is_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pid = zombie(3)
    send, quits = trio.open_memory_channel[int](1)
    lines: list[str] = []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with trio.open_nursery() as nursery:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            nursery.start_soon(reap_orphans, quits, lambda pid: False, log_lines(lines))
            await trio.sleep(orphans.RETRY_PAUSE * 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert about(pid, lines) == []
        await trio.sleep(orphans.RETRY_PAUSE + orphans.GRACE + 1)
        nursery.cancel_scope.cancel()
    send.close()
    quits.close()
    assert about(pid, lines) == [f"INFO reaped unknown pid {pid} (exit status 3)"]
