"""Limits that the kernel keeps, in a real cgroup with its controllers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.cgroups import new_cgroup
from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, daemon, eventually

if TYPE_CHECKING:
    from pathlib import Path

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\ncgroup={cgroup}\n")
#: Its child takes more memory than there is for both; the kernel must end both.
HOG = """
import os, time
if os.fork() == 0:
    taken = [bytearray(b"x") * 2**20 for _ in range(200)]
time.sleep(1000)
"""
#: Forks as often as it may and writes how often that was.
FORKS = """
import os, time
children = 0
try:
    while children < 100:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except BlockingIOError:
    pass
with open("children.new", "w") as file:
    file.write(str(children))
os.rename("children.new", "children")
time.sleep(1000)
"""
TOLD = "terminated by SIGKILL; killed for lack of memory"


@pytest.mark.behaviour(
    "policies.md#limits-of-cgroups",
    "policies.md#shown-limits",
    "process.md#killed-for-lack-of-memory",
)
def test_the_kernel_keeps_the_limits(tmp_path: Path) -> None:
    for name, source in (("hog", HOG), ("forks", FORKS)):
        (tmp_path / f"{name}.py").write_text(source)
    text = f"""
[program:hog]
command={sys.executable} -S hog.py
directory={tmp_path}
startsecs=0
autorestart=false
memory_max=64MB
memory_high=1GB
post_stop=sh -c "echo $SERVICE_RESULT > result"
[program:forks]
command={sys.executable} -S forks.py
directory={tmp_path}
startsecs=0
pids_max=10
kill_mode=cgroup
[program:busy]
command={sys.executable} -S -c "while True: pass"
startsecs=0
cpu_max=0.2
[program:free]
command=sleep 1000
startsecs=0
"""
    with new_cgroup("memory", "pids", "cpu") as cgroup:
        base = EXTENDED.replace("{cgroup}", str(cgroup))
        with daemon(tmp_path, text, base=base) as running:
            running.wait_for("hog", "EXITED")
            status = run([install(tmp_path / "bin"), "-c", "c.conf", "status", "-v"], cwd=tmp_path)
            assert TOLD in status.out
            assert "cpu_max 0.2 (cgroup)" in status.out
            eventually((tmp_path / "result").exists, "post_stop")
            assert (tmp_path / "result").read_text() == "oom-kill\n"
            eventually(lambda: not (cgroup / "p_hog_hog").exists(), "the removal of the node")

            eventually((tmp_path / "children").exists, "all the children that are allowed")
            assert (tmp_path / "children").read_text() == "9"
            forks = cgroup / "p_forks_forks"
            assert len((forks / "cgroup.procs").read_text().split()) == 10
            assert running.rpc.stopProcess("forks") is True
            assert not forks.exists()

            busy = cgroup / "p_busy_busy"
            assert (busy / "cpu.max").read_text() == "20000 100000\n"
            eventually(lambda: _throttled(busy) > 0, "the program being held back")
            assert str(running.pid("free")) in (
                (cgroup / "tsupervisord.daemon" / "cgroup.procs").read_text().split()
            )
            assert "has no effect" not in running.log


def _throttled(node: Path) -> int:
    lines = (line.split() for line in (node / "cpu.stat").read_text().splitlines())
    return int(dict(lines).get("nr_throttled", "0"))


@pytest.mark.behaviour("policies.md#limits-of-cgroups")
def test_a_kill_by_the_kernel_of_a_program_without_a_node_is_told(tmp_path: Path) -> None:
    """The limit is that of the cgroup above, which all programs share."""
    hog = HOG.replace("if os.fork() == 0:\n    taken", "taken")
    score = 'open("/proc/self/oom_score_adj", "w").write("1000")\n'
    (tmp_path / "hog.py").write_text(score + hog)
    text = f"""
[program:hog]
command={sys.executable} -S {tmp_path}/hog.py
startsecs=0
autorestart=false
"""
    with new_cgroup("memory") as cgroup:
        (cgroup / "memory.max").write_text(str(160 * 2**20))
        base = EXTENDED.replace("{cgroup}", str(cgroup))
        with daemon(tmp_path, text, base=base) as running:
            running.wait_for("hog", "EXITED")
            status = run([install(tmp_path / "bin"), "-c", "c.conf", "status", "-v"], cwd=tmp_path)
            assert TOLD in status.out


@pytest.mark.behaviour("policies.md#what-cannot-work-with-cgroups")
def test_a_controller_that_is_missing_is_named(tmp_path: Path) -> None:
    text = "[program:x]\ncommand=sleep 1000\nstartsecs=0\npids_max=10\nmemory_max=1GB\n"
    with new_cgroup() as above:
        (above / "sub").mkdir()  # gets no controllers, because they are not passed on to it
        base = EXTENDED.replace("{cgroup}", str(above / "sub"))
        with daemon(tmp_path, text, base=base) as running:
            running.wait_for("x", "RUNNING")
            missing = f"{above}/sub has no controller pids"
            assert f"WARN x: pids_max has no effect: {missing}" in running.log
            assert "memory_max" not in running.log
            status = run([install(tmp_path / "bin"), "-c", "c.conf", "status", "-v"], cwd=tmp_path)
            assert "memory_max 1024.0 MiB (watched), pids_max 10 (no effect)" in status.out
