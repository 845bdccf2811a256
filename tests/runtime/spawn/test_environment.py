"""Variables that are looked up when a child is made, and who wins if several places have one."""

from __future__ import annotations

import os
import pwd
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.children import output, spec
from tests.kit.fakes import program
from tests.kit.root import needs_root
from trio_supervisor.core.config.identity import EnvironmentFile, Identity, UserEnv
from trio_supervisor.runtime.spawn.environment import LARGEST_FILE, looked_up
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher

NOBODY = pwd.getpwnam("nobody")
INHERITED = {"HOME": "/inherited", "PATH": "/bin"}


async def variables(
    *files: EnvironmentFile,
    own: dict[str, str] | None = None,
    common: dict[str, str] | None = None,
    user_env: UserEnv = UserEnv.NONE,
    uid: int | None = None,
) -> dict[str, str]:
    """Look up the environment of a program; ``common`` is that of all programs."""
    own = own or {}
    environment = {**(common or {}), **own}
    identity = Identity(user_env=user_env, environment_files=files, own=own if files else {})
    config = program("x", uid=uid, environment=environment, identity=identity)
    return dict(await looked_up(config, {**INHERITED, **environment}, INHERITED))


@pytest.mark.behaviour("policies.md#environment-files")
async def test_files_win_over_what_is_common_and_the_program_over_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text("A=first\nB=first\nC=first\nD=first\nHOME=/first\n")
    second.write_text("B=second\n")
    found = await variables(
        EnvironmentFile(str(first)),
        EnvironmentFile(str(second)),
        own={"C": "own"},
        common={"D": "common", "E": "common"},
    )
    assert found == {
        **INHERITED,
        "A": "first",
        "B": "second",
        "C": "own",
        "D": "first",
        "E": "common",
        "HOME": "/first",
    }


@pytest.mark.behaviour("policies.md#environment-files")
async def test_a_file_that_cannot_be_read_is_a_spawn_error(tmp_path: Path) -> None:
    missing, fifo, large = tmp_path / "missing", tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.write_bytes(b"A=1\n" * LARGEST_FILE)
    wrong = tmp_path / "wrong"
    wrong.write_text("A=1\nsome secret\n")
    assert await variables(EnvironmentFile(str(missing), optional=True)) == INHERITED
    for path, text in (
        (missing, f"couldn't read environment file {missing}: ENOENT"),
        (fifo, f"couldn't read environment file {fifo}: "),
        (tmp_path, f"couldn't read environment file {tmp_path}: "),
        (large, f"environment file {large} is larger than 2097152 bytes"),
        (wrong, f"environment file {wrong}, line 2: there is a blank in the name, or no ="),
    ):
        with pytest.raises(SpawnError) as caught:
            await variables(EnvironmentFile(str(path), optional=path != missing))
        assert str(caught.value).startswith(text)
        assert "secret" not in str(caught.value)


@pytest.mark.behaviour("policies.md#variables-of-the-user")
async def test_the_variables_of_the_user_are_weaker_than_all_that_is_written() -> None:
    basic = UserEnv.BASIC
    found = await variables(uid=NOBODY.pw_uid, user_env=basic, common={"SHELL": "/common"})
    assert found == {
        **INHERITED,
        "HOME": NOBODY.pw_dir,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "SHELL": "/common",
    }
    found = await variables(user_env=basic)
    assert found["USER"] == pwd.getpwuid(os.getuid()).pw_name
    found = await variables(uid=4_000_000, user_env=basic)
    assert [found[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")] == [
        *("/", "4000000", "4000000", "/bin/sh")
    ]


@needs_root
@pytest.mark.behaviour("policies.md#user-and-group")
async def test_the_group_of_a_child() -> None:
    show = ("/bin/sh", "-c", "grep -E '^(Uid|Gid|Groups):' /proc/self/status")
    own = os.getgrouplist("nobody", 1)
    cases = [
        (NOBODY.pw_uid, 1, own),
        (None, 1, os.getgrouplist("root", 1)),
        (4_000_000, 4_000_001, [4_000_001]),  # no entry: no other groups
    ]
    with closing(ProcessLauncher()) as launcher:
        for uid, gid, groups in cases:
            child = await launcher(spec(*show, uid=uid, identity=Identity(gid=gid)))
            out, _, _ = await output(child)
            uids, gids, listed = (line.split()[1:] for line in out.decode().splitlines())
            assert uids == [str(uid or 0)] * 4
            assert gids == [str(gid)] * 4
            assert sorted(map(int, listed)) == sorted(groups)
        with pytest.raises(SpawnError, match="couldn't setuid to 4000000: Can't find uid 4000000"):
            await launcher(spec(*show, uid=4_000_000))
