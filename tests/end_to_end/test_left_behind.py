"""What a program leaves behind is told, and not ended, where no option asks for that."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.cgroups import new_cgroup
from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import BASE, alive, daemon, eventually, free_port, wait_until_gone

if TYPE_CHECKING:
    from pathlib import Path

#: Has a child in its process group that ignores TERM, or one that hides in a session.
PROGRAM = """
import os, signal, sys, time
name, how = sys.argv[1:]
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "hides":
        os.setsid()
    with open(name + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".new", name)
    time.sleep(0.2 if how == "follows" else 1000)
    os._exit(0)
if how == "exits":
    while not os.path.exists(name):
        time.sleep(0.01)
    sys.exit(0)
time.sleep(1000)
"""


def config(port: int, directory: Path, *programs: str) -> str:
    (directory / "program.py").write_text(PROGRAM)
    text = f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    for how in programs:
        text += (
            f"[program:{how}]\ncommand={sys.executable} -S program.py {how} {how}\n"
            f"directory={directory}\nstartsecs=0\nautorestart=false\n"
        )
    return text


def child_of(directory: Path, name: str) -> int:
    eventually((directory / name).exists, "the child of the program")
    return int((directory / name).read_text())


@pytest.mark.behaviour("policies.md#processes-left-behind")
def test_what_is_left_in_the_process_group_is_told(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    text = config(port, tmp_path, "stays", "exits", "follows", "hides")

    def left(name: str) -> object:
        return send(f"{address}/api/v1/processes/{name}").json()["left_behind"]

    def is_told(name: str, pid: int) -> bool:
        return left(name) == [pid]

    with daemon(tmp_path, text) as running:
        pids = {name: child_of(tmp_path, name) for name in ("stays", "exits", "follows", "hides")}
        try:
            for name in ("stays", "follows", "hides"):
                assert running.rpc.stopProcess(name) is True
            for name in ("stays", "exits"):
                eventually(partial(is_told, name, pids[name]), "what is left")
            wait_until_gone(pids["follows"])
            program = install(tmp_path / "bin")
            history = run([program, "-c", "c.conf", "history"], cwd=tmp_path).out
            status = run([program, "-c", "c.conf", "status", "-v"], cwd=tmp_path).out
            page = send(f"{address}/").body()
            metrics = send(f"{address}/metrics").body()
            for name in ("stays", "exits"):
                told = f"has left processes behind: pid {pids[name]}"
                assert all(told in shown for shown in (history, status, page)), name
                assert f'left_behind{{name="{name}",group="{name}"}} 1' in metrics
            assert history.count("has left processes behind") == 2
            assert left("follows") == left("hides") == []
            assert "left" not in running.log

            os.kill(pids["stays"], signal.SIGKILL)
            eventually(lambda: left("stays") == [], "the end of what was left")
            assert alive(pids["hides"])
        finally:
            for pid in pids.values():
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour("policies.md#processes-left-behind", "policies.md#nodes-of-programs")
def test_a_cgroup_with_survivors_is_kept_and_told(tmp_path: Path) -> None:
    port = free_port()
    text = f"{config(port, tmp_path, 'hides')}memory_max=1GB\n"
    with new_cgroup() as cgroup:
        options = f"[supervisord]\nextended=true\ncgroup={cgroup}\n"
        base = BASE.replace("[supervisord]\n", options)
        node = cgroup / "p_hides_hides"
        with daemon(tmp_path, text, base=base) as running:
            survivor = child_of(tmp_path, "hides")
            address = f"http://127.0.0.1:{port}/api/v1/processes/hides"
            assert running.rpc.stopProcess("hides") is True
            eventually(lambda: send(address).json()["left_behind"] == [survivor], "the survivor")
            assert (node / "cgroup.procs").read_text().split() == [str(survivor)]
            (tmp_path / "hides").unlink()
        # The next daemon finds it, and tells it again.
        with daemon(tmp_path, text, base=base) as running:
            second = child_of(tmp_path, "hides")
            assert send(address).json()["left_behind"] == [survivor]
            members = {str(pid) for pid in (survivor, second, running.pid("hides"))}
            assert {*(node / "cgroup.procs").read_text().split()} == members
            assert running.rpc.stopProcess("hides") is True
            both = sorted((survivor, second))
            eventually(lambda: sorted(send(address).json()["left_behind"]) == both, "both")
            for pid in both:
                os.kill(pid, signal.SIGKILL)
                wait_until_gone(pid)
            assert send(address).json()["left_behind"] == []
            (tmp_path / "hides").unlink()
            assert running.rpc.startProcess("hides") is True
            assert alive(child_of(tmp_path, "hides"))
