"""Limits of a child: what it has when its program begins, made by both kinds of helpers."""

from __future__ import annotations

import os
import pwd
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.kit.children import output, spec
from tests.kit.root import needs_root
from trio_supervisor.core.config.limits import RLIMITS, Limits, Rlimit
from trio_supervisor.runtime.spawn.fork_client import ForkServerSlot
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

#: Deadline of what happens at once unless something is broken, in seconds.
SOON = 60
#: How /proc/PID/limits calls what setrlimit(2) knows.
NAMES = {
    "as": "Max address space",
    "core": "Max core file size",
    "cpu": "Max cpu time",
    "data": "Max data size",
    "fsize": "Max file size",
    "memlock": "Max locked memory",
    "msgqueue": "Max msgqueue size",
    "nice": "Max nice priority",
    "nofile": "Max open files",
    "nproc": "Max processes",
    "rss": "Max resident set",
    "rtprio": "Max realtime priority",
    "rttime": "Max realtime timeout",
    "sigpending": "Max pending signals",
    "stack": "Max stack size",
}


@pytest.fixture(params=["fork server", "exec helper"])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    if request.param == "exec helper":
        monkeypatch.setattr(ForkServerSlot, "renew", lambda slot: None)
    with closing(ProcessLauncher()) as launcher:
        yield launcher


def lowered(name: str) -> tuple[int, int]:
    """Return a soft and a hard value that this process may give to a child."""
    _, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    most = 2**40 if hard == resource.RLIM_INFINITY else hard
    return most // 2, most


@pytest.mark.behaviour("policies.md#limits-of-resources")
async def test_every_limit_is_in_force_when_the_program_begins(launcher: ProcessLauncher) -> None:
    wanted = {name: lowered(name) for name in RLIMITS}
    scale = {"rttime": 1_000_000}
    rlimits: Any = {
        f"rlimit_{name}": Rlimit(soft / scale.get(name, 1), hard / scale.get(name, 1))
        for name, (soft, hard) in wanted.items()
    }
    limits = Limits(
        **rlimits,
        nice=os.getpriority(os.PRIO_PROCESS, 0) + 1,
        oom_score_adj=500,
        no_new_privs=True,
    )
    shown = "/proc/self/limits /proc/self/oom_score_adj /proc/self/status"
    out, err, ended = await output(
        await launcher(spec("/bin/sh", "-c", f"nice && exec cat {shown}", limits=limits))
    )
    assert (err, ended.code) == (b"", 0)
    nice, *lines = out.decode().splitlines()
    assert int(nice) == limits.nice
    assert "500" in lines
    assert "NoNewPrivs:\t1" in lines
    for name, (soft, hard) in wanted.items():
        [line] = [line for line in lines if line.startswith(NAMES[name])]
        assert line.removeprefix(NAMES[name]).split()[:2] == [str(soft), str(hard)], name


@pytest.mark.behaviour("policies.md#limits-of-resources")
async def test_unlimited_is_what_the_daemon_may_give(launcher: ProcessLauncher) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip("the tests themselves run with a limit of file sizes")
    limits = Limits(rlimit_fsize=Rlimit(1024, -1))
    out, _, _ = await output(await launcher(spec("/bin/cat", "/proc/self/limits", limits=limits)))
    [line] = [line for line in out.decode().splitlines() if line.startswith("Max file size")]
    assert line.split()[3:5] == ["1024", "unlimited"]


@needs_root
@pytest.mark.behaviour("policies.md#steps-of-a-start")
async def test_a_limit_that_a_user_may_not_give_itself_is_set_before_the_child_becomes_that_user(
    launcher: ProcessLauncher,
) -> None:
    uid = pwd.getpwnam("nobody").pw_uid
    nice = os.getpriority(os.PRIO_PROCESS, 0) - 1
    limits = Limits(nice=nice, rlimit_nofile=Rlimit(64, 64), rlimit_nproc=Rlimit(1000, 1000))
    child = await launcher(spec("/bin/sh", "-c", "nice; id -un", uid=uid, limits=limits))
    out, _, _ = await output(child)
    assert out.decode().split() == [str(nice), "nobody"]


@pytest.mark.behaviour("policies.md#steps-of-a-start")
@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(rlimit_nofile=Rlimit(2**62, 2**62)), "couldn't set rlimit_nofile: EPERM"),
        (Limits(nice=5, rlimit_nofile=Rlimit(2**62, 2**62)), "couldn't set rlimit_nofile: EPERM"),
    ],
)
async def test_a_step_that_fails_names_the_option(
    launcher: ProcessLauncher, limits: Limits, text: str
) -> None:
    with pytest.raises(SpawnError) as caught:
        await launcher(spec("/bin/true", limits=limits))
    assert str(caught.value) == text
    assert caught.value.stderr_note == (
        f"supervisor: {text}\nsupervisor: child process was not spawned\n"
    )


async def test_a_child_with_little_memory_still_begins(launcher: ProcessLauncher) -> None:
    limits = Limits(rlimit_as=Rlimit(32 * 1024**2, 32 * 1024**2), no_new_privs=True)
    _, _, ended = await output(await launcher(spec("/bin/true", limits=limits)))
    assert ended.code == 0


@pytest.mark.behaviour("policies.md#die_with_supervisor")
async def test_without_a_fork_server_no_child_can_die_with_the_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ForkServerSlot, "renew", lambda slot: None)
    with pytest.raises(SpawnError) as caught:
        await ProcessLauncher()(spec("/bin/true", limits=Limits(die_with_supervisor=True)))
    assert str(caught.value) == "couldn't set die_with_supervisor: there is no fork server"


SUPERVISOR = """
import sys, trio
from tests.kit.children import spec
from trio_supervisor.core.config.limits import Limits
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

async def main():
    launcher = ProcessLauncher()
    for uid in {users}:
        limits = Limits(die_with_supervisor=True)
        child = await launcher(spec("/bin/sleep", "1000", uid=uid, limits=limits))
        print(child.pid, flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.behaviour("policies.md#die_with_supervisor")
def test_a_child_dies_with_the_daemon_however_that_dies() -> None:
    users = [None, pwd.getpwnam("nobody").pw_uid] if os.getuid() == 0 else [None]
    daemon = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR.format(users=users)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert daemon.stdout is not None
    with daemon.stdout:
        pids = [int(daemon.stdout.readline()) for _ in users]
        pidfds = [os.pidfd_open(pid) for pid in pids]
        try:
            names = [Path(f"/proc/{pid}/comm").read_text() for pid in pids]
            assert names == ["sleep\n"] * len(pids)
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait(SOON)
            for pidfd in pidfds:
                assert select.select([pidfd], [], [], SOON)[0]
        finally:
            for pidfd in pidfds:
                os.close(pidfd)
