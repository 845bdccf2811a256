"""Programs with ``user=``: identity first, then directory, umask and exec."""

from __future__ import annotations

import marshal
import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.probe import children as child_pids
from tests.kit.children import output, spec
from tests.kit.root import needs_root
from trio_supervisor.runtime.spawn.fork_client import ForkServerSlot
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.spec import SpawnSpec

NOBODY = pwd.getpwnam("nobody")

pytestmark = needs_root


@pytest.fixture(params=["fork server", "exec helper"])
def launcher(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ProcessLauncher]:
    """Both ways to a child with a user of its own; the second where there is no fork server."""
    if request.param == "exec helper":
        monkeypatch.setattr(ForkServerSlot, "renew", lambda slot: None)
    with closing(ProcessLauncher()) as launcher:
        yield launcher


def as_nobody(script: str, **changes: object) -> SpawnSpec:
    return spec("/bin/sh", "-c", script, uid=NOBODY.pw_uid, **changes)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory everybody may enter; those of pytest are for one user only."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.behaviour("process.md#identity-directory-and-umask-of-a-child")
async def test_running_as_another_user(launcher: ProcessLauncher, public: Path) -> None:
    """Four ids, groups, umask, directory; the environment is not touched."""
    script = (
        "grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn):' /proc/self/status; umask; pwd; echo $HOME $0;"
        " ls /proc/self/fd"
    )
    environment = {"HOME": "/somewhere", "PATH": os.environ["PATH"]}
    child = await launcher(
        as_nobody(script, umask=0o077, directory=str(public), environment=environment)
    )
    assert os.getpgid(child.pid) == child.pid
    out, err, ended = await output(child)
    ids = "\t".join([str(NOBODY.pw_uid)] * 4)
    gids = "\t".join([str(NOBODY.pw_gid)] * 4)
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)
    ignored = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
    assert out.decode().splitlines() == [
        f"Uid:\t{ids}",
        f"Gid:\t{gids}",
        f"Groups:\t{' '.join(map(str, groups))} ",
        f"SigBlk:\t{0:016x}",
        f"SigIgn:\t{ignored:016x}",
        "0077",
        str(public),
        "/somewhere /bin/sh",
        *("0", "1", "2", "3"),  # the last is the listing itself
    ]
    assert (err, ended.code) == (b"", 0)


async def test_sigpipe_can_have_its_default_effect(launcher: ProcessLauncher, public: Path) -> None:
    script = "grep SigIgn /proc/self/status"
    child = await launcher(as_nobody(script, directory=str(public), ignore_sigpipe=False))
    out, _, _ = await output(child)
    assert out == b"SigIgn:\t0000000000000000\n"


@pytest.mark.behaviour(
    "process.md#spawn-failures-between-fork-and-exec",
    "process.md#identity-directory-and-umask-of-a-child",
)
async def test_directory_forbidden_for_the_user(launcher: ProcessLauncher, public: Path) -> None:
    """Root could enter it."""
    private = public / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(SpawnError) as caught:
        await launcher(as_nobody("true", directory=str(private)))
    assert caught.value.stderr_note == (
        f"supervisor: couldn't chdir to {private}: EACCES\n"
        "supervisor: child process was not spawned\n"
    )


@pytest.mark.behaviour(
    "process.md#spawn-failures-between-fork-and-exec", "process.md#commands-that-cannot-be-executed"
)
@pytest.mark.parametrize(
    ("content", "mode", "name"),
    [
        ("#!/nonexistent/interpreter\n", 0o755, "ENOENT"),
        ("just text\n", 0o755, "ENOEXEC"),
        ("#!/bin/sh\n", 0o700, "EACCES"),
    ],
)
async def test_failures_of_exec_are_reported(
    launcher: ProcessLauncher, public: Path, content: str, mode: int, name: str
) -> None:
    """What only the target user cannot execute fails at exec."""
    script = public / "script"
    script.write_text(content)
    script.chmod(mode)
    with pytest.raises(SpawnError) as caught:
        await launcher(spec(str(script), uid=NOBODY.pw_uid))
    assert str(caught.value) == f"couldn't exec {script}: {name}"


@pytest.mark.behaviour("process.md#commands-that-cannot-be-executed")
async def test_a_program_only_the_user_can_reach_is_executed(
    launcher: ProcessLauncher, public: Path
) -> None:
    """A command relative to a directory of the user's own; odd bytes arrive unchanged."""
    home = public / "home"
    home.mkdir()
    program = home / "run.sh"
    program.write_text('#!/bin/sh\necho "$0" "$1" "$ODD"\n')
    for path in (program, home):
        path.chmod(0o700)
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    odd = b"\xff\xe9".decode(errors="surrogateescape")
    child = await launcher(
        spec(
            *("./run.sh", odd),
            uid=NOBODY.pw_uid,
            directory=str(home),
            environment={"ODD": odd, "BIG": "x" * 100_000},
        )
    )
    out, err, _ = await output(child)
    assert (out, err) == (b"./run.sh \xff\xe9 \xff\xe9\n", b"")


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
async def test_failures_leak_neither_descriptors_nor_children(
    launcher: ProcessLauncher, public: Path
) -> None:
    missing = as_nobody("true", directory=f"{public}/none")
    with pytest.raises(SpawnError, match="ENOENT"):
        await launcher(missing)
    before = len(os.listdir("/proc/self/fd")), children()
    for _ in range(10):
        with pytest.raises(SpawnError, match="ENOENT"):
            await launcher(missing)
    assert (len(os.listdir("/proc/self/fd")), children()) == before


def children() -> set[int]:
    """Also those that other tests keep, such as a browser."""
    return child_pids(os.getpid())


async def test_a_failure_while_the_step_is_told_kills_and_reaps_it(
    launcher: ProcessLauncher, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(orders: object) -> bytes:
        raise MemoryError

    await output(await launcher(as_nobody("true", directory=str(public))))
    before = len(os.listdir("/proc/self/fd")), children()
    monkeypatch.setattr(marshal, "dumps", fail)
    with pytest.raises(MemoryError):
        await launcher(as_nobody("exec sleep 1000", directory=str(public)))
    assert (len(os.listdir("/proc/self/fd")), children()) == before


@pytest.mark.behaviour("process.md#identity-directory-and-umask-of-a-child")
async def test_the_present_user_changes_nothing(launcher: ProcessLauncher) -> None:
    child = await launcher(spec("/bin/sh", "-c", "id -G", uid=os.getuid()))
    out, _, _ = await output(child)
    assert out.decode().split() == [
        str(group) for group in dict.fromkeys([os.getgid(), *os.getgroups()])
    ]
