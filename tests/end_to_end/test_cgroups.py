"""Where a real daemon finds the cgroup that it divides, and what it says if there is none."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.cgroups import new_cgroup
from tests.kit.daemon import BASE, daemon, eventually, run_to_end, write_config
from tests.kit.machine import need_namespaces
from tests.kit.root import NOBODY, directory_of, needs_root
from tests.kit.upgrading import upgrade

if TYPE_CHECKING:
    from pathlib import Path

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\ncgroup={cgroup}\n")
PROGRAM = """
[program:x]
command=sleep 1000
startsecs=0
kill_mode=cgroup
"""
#: Begins in a cgroup, which is its first argument.
INSIDE = ("sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"')
#: As a container: a namespace whose root is that cgroup, mounted on the second argument.
NAMESPACE = 'mount -t cgroup2 none "$0" && exec "$@"'


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
@pytest.mark.parametrize("how", ["attribute", "namespace"])
def test_a_delegated_cgroup_is_divided(tmp_path: Path, how: str) -> None:
    base = EXTENDED.replace("{cgroup}", "auto")
    with new_cgroup() as cgroup:
        within: tuple[str, ...] = (*INSIDE, str(cgroup))
        if how == "attribute":
            os.setxattr(cgroup, "user.delegate", b"1")
        else:
            need_namespaces("--cgroup", "--mount")
            (tmp_path / "mount").mkdir()
            private = ("unshare", "--cgroup", "--mount", "sh", "-c", NAMESPACE)
            within = (*within, *private, str(tmp_path / "mount"))
        with daemon(tmp_path, PROGRAM, within=within, base=base) as running:
            running.wait_for("x", "RUNNING")
            members = (cgroup / "p_x_x" / "cgroup.procs").read_text().split()
            assert members == [str(running.pid("x"))]
            pid = str(running.process.pid)
            assert pid in (cgroup / "tsupervisord.daemon" / "cgroup.procs").read_text().split()
            running.rpc.restart()  # it is in its leaf now
            eventually(lambda: running.log.count("supervisord started") == 2, "the reload")
            running.wait_for_another_child("x", int(members[0]))
            assert (cgroup / "p_x_x" / "cgroup.procs").read_text().split() == [
                str(running.pid("x"))
            ]


@pytest.mark.behaviour(
    "policies.md#where-programs-get-cgroups", "policies.md#what-cannot-work-with-cgroups"
)
@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("auto", "the cgroup of the daemon is not delegated to it"),
        ("{tmp_path}", "{tmp_path} is no cgroup of version 2"),
        ("{tmp_path}/x", "{tmp_path}/x is no cgroup of version 2"),
    ],
)
def test_without_a_cgroup_the_start_and_the_check_warn(
    tmp_path: Path, setting: str, why: str
) -> None:
    setting, why = (text.replace("{tmp_path}", str(tmp_path)) for text in (setting, why))
    base = EXTENDED.replace("{cgroup}", setting)
    with new_cgroup() as cgroup:
        within = (*INSIDE, str(cgroup))
        with daemon(tmp_path, PROGRAM, within=within, base=base) as running:
            running.wait_for("x", "RUNNING")
            assert f"WARN programs get no cgroups: {why}" in running.log
            assert "WARN x: kill_mode = cgroup works like tree" in running.log
            assert [*cgroup.iterdir()] == [one for one in cgroup.iterdir() if one.is_file()]
        path = str(write_config(tmp_path, PROGRAM, base=base))
        done = run_to_end("--check", "--format", "json", "-c", path, cwd=tmp_path, within=within)
        found = {
            (one["section"], one["option"]): one for one in json.loads(done.stdout)["findings"]
        }
    assert why in str(found["supervisord", "cgroup"])
    assert "works like tree" in str(found["program:x", "kill_mode"])


@needs_root
@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
def test_the_user_of_the_daemon_gets_its_cgroup() -> None:
    """Only root may make the cgroup, and the daemon is not root any more when it makes nodes."""
    try:
        subprocess.run([sys.executable, "-c", ""], user=NOBODY, check=True)
    except PermissionError:
        pytest.skip(f"{NOBODY} cannot execute {sys.executable}")
    with new_cgroup() as cgroup, directory_of(NOBODY) as directory:
        base = EXTENDED.replace("{cgroup}", str(cgroup / "sub"))
        with daemon(directory, PROGRAM, base=base, user=NOBODY) as running:
            running.wait_for("x", "RUNNING")
            node = cgroup / "sub" / "p_x_x"
            assert (node / "cgroup.procs").read_text().split() == [str(running.pid("x"))]
            assert node.stat().st_uid == pwd.getpwnam(NOBODY).pw_uid
            assert running.rpc.stopProcess("x") is True
            assert not node.exists()


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
def test_two_daemons_do_not_divide_one_cgroup(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with new_cgroup() as cgroup:
        base = EXTENDED.replace("{cgroup}", str(cgroup))
        with (
            daemon(tmp_path / "one", PROGRAM, base=base) as one,
            daemon(tmp_path / "two", PROGRAM, base=base) as two,
        ):
            for running in (one, two):
                running.wait_for("x", "RUNNING")
            assert f"programs get no cgroups: another daemon uses {cgroup}" in two.log
            assert two.rpc.stopProcess("x") is True
            assert one.state("x") == "RUNNING"


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
def test_an_upgrade_goes_on_with_the_cgroup(tmp_path: Path) -> None:
    """Also where the attribute cannot be read any more: some only root may read."""
    base = EXTENDED.replace("{cgroup}", "auto")
    with new_cgroup() as cgroup:
        os.setxattr(cgroup, "user.delegate", b"1")
        with daemon(tmp_path, PROGRAM, within=(*INSIDE, str(cgroup)), base=base) as running:
            running.wait_for("x", "RUNNING")
            os.removexattr(cgroup, "user.delegate")
            first = running.pid("x")
            upgrade(running)
            assert running.pid("x") == first
            running.rpc.stopProcess("x")
            running.rpc.startProcess("x")
            members = (cgroup / "p_x_x" / "cgroup.procs").read_text().split()
            assert members == [str(running.pid("x"))]
