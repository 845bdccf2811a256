"""``kill_mode = tree`` with the real daemon and programs that hide."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from tests.kit.cgroups import new_cgroup
from tests.kit.config import load
from tests.kit.daemon import BASE, PATIENCE, alive, daemon, eventually, wait_until_gone
from tests.kit.machine import need_tracing
from tests.kit.upgrading import upgrade
from trio_supervisor.core.errors import ConfigError

#: Of ptrace(2) and waitpid(2).
PTRACE_SEIZE, WALL = 0x4206, 0x40000000

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: Forks twice, begins a session and ignores TERM; a second one hides as a child of that.
HIDER = """\
import os, signal, sys, time
directory = sys.argv[1]
def hide(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = os.path.join(directory, name)
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    while True:
        time.sleep(1000)
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    if os.fork() == 0:
        hide("child")
    hide("daemon")
os.wait()
if sys.argv[2] == "exit":
    while not all(os.path.exists(os.path.join(directory, name)) for name in ("daemon", "child")):
        time.sleep(0.01)
    sys.exit(0)
time.sleep(1000)
"""


def hidden(directory: Path) -> list[int]:
    """Wait for the hidden processes and return their pids."""
    paths = [directory / name for name in ("daemon", "child")]
    eventually(lambda: all(path.exists() for path in paths), "the hidden processes")
    return [int(path.read_text()) for path in paths]


@pytest.mark.behaviour("policies.md#kill_mode")
def test_nothing_is_left_of_a_program_that_hides(tmp_path: Path) -> None:
    hider = tmp_path / "hider.py"
    hider.write_text(HIDER)
    for name in ("stopped", "ended", "spared"):
        (tmp_path / name).mkdir()
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S {hider} {tmp_path}/{name} {how}\n"
        f"startsecs=0\nautorestart=false\nstopwaitsecs=1\n{option}\n"
        for name, how, option in (
            ("stopped", "stay", "kill_mode=tree"),
            ("ended", "exit", "kill_mode=tree"),
            ("spared", "stay", ""),
        )
    )
    left: list[int] = []
    with daemon(tmp_path, text, base=EXTENDED) as running:
        pids = hidden(tmp_path / "stopped")
        assert os.getsid(running.pid("stopped")) == running.pid("stopped")
        left = hidden(tmp_path / "spared")
        try:
            assert running.rpc.stopProcess("stopped") is True
            assert not any(alive(pid) for pid in pids)
            assert running.log.count("killing what stopped has left behind") == 4
            running.wait_for("ended", "EXITED")
            for pid in hidden(tmp_path / "ended"):
                wait_until_gone(pid)
            assert running.rpc.stopProcess("spared") is True
            assert all(alive(pid) for pid in left)
        finally:
            for pid in left:
                os.kill(pid, 9)


@pytest.mark.behaviour("policies.md#kill_mode")
@pytest.mark.parametrize("option", ["stopasgroup", "killasgroup"])
def test_options_of_supervisor_that_it_contradicts(option: str) -> None:
    base = "[supervisord]\nextended=true\nuser=root\n"
    with pytest.raises(ConfigError, match=f"kill_mode = tree ends more than {option}"):
        load(f"[program:x]\ncommand=x\nkill_mode=tree\n{option}=true\n", base=base)


@pytest.mark.behaviour("policies.md#kill_mode", "policies.md#essential")
def test_nothing_is_left_when_its_end_stops_everything(tmp_path: Path) -> None:
    hider = tmp_path / "hider.py"
    hider.write_text(HIDER)
    text = (
        f"[program:main]\ncommand={sys.executable} -S {hider} {tmp_path} exit\nstartsecs=0\n"
        "autorestart=false\nessential=true\nstopwaitsecs=1\nkill_mode=tree\n"
        f"post_stop={sys.executable} -S -c \"open('{tmp_path}/cleaned', 'w')\"\n"
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        assert running.process.wait(PATIENCE) == 0
        assert not any(alive(pid) for pid in hidden(tmp_path))
        assert (tmp_path / "cleaned").exists()


#: As ``HIDER``, but ``daemon`` is also executed anew without the environment of the program.
SHEDDER = """\
import os, signal, sys, time
directory, how = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import os, sys, time; p = sys.argv[1]; f = open(p + '.new', 'w'); "
    code += "f.write(str(os.getpid())); f.close(); os.rename(p + '.new', p); time.sleep(1000)"
    os.execve(sys.executable, [sys.executable, "-S", "-c", code, directory + "/daemon"], {})
os.wait()
if how == "exit":
    while not os.path.exists(directory + "/daemon"):
        time.sleep(0.01)
    sys.exit(0)
if how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(1000)
"""


def shed(directory: Path) -> int:
    """Wait for the process without environment and return its pid."""
    eventually((directory / "daemon").exists, "the hidden process")
    return int((directory / "daemon").read_text())


@pytest.mark.behaviour("policies.md#kill_mode-in-a-cgroup", "policies.md#nodes-of-programs")
@pytest.mark.parametrize("kernel", ["new", "old"])
def test_nothing_is_left_in_the_cgroup(
    tmp_path: Path, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old kernel has no ``cgroup.kill``."""
    (tmp_path / "shedder.py").write_text(SHEDDER)
    if kernel == "old":
        (tmp_path / "site").mkdir()
        patch = "from trio_supervisor.runtime.cgroups import node\nnode.KILL = 'cgroup.none'\n"
        (tmp_path / "site" / "sitecustomize.py").write_text(patch)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for name in ("stopped", "ended", "deaf"):
        (tmp_path / name).mkdir()
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S {tmp_path}/shedder.py {tmp_path}/{name} "
        f"{how}\nstartsecs=0\nautorestart=false\nstopwaitsecs=1\nkill_mode=cgroup\n"
        for name, how in (("stopped", "stay"), ("ended", "exit"), ("deaf", "deaf"))
    )
    with new_cgroup() as cgroup:
        base = EXTENDED.replace("extended=true\n", f"extended=true\ncgroup={cgroup}\n")
        with daemon(tmp_path, text, base=base) as running:
            pids = {name: shed(tmp_path / name) for name in ("stopped", "ended", "deaf")}
            node = cgroup / "p_stopped_stopped"
            members = {running.pid("stopped"), pids["stopped"]}
            assert {*map(int, (node / "cgroup.procs").read_text().split())} == members
            leaf = cgroup / "tsupervisord.daemon" / "cgroup.procs"
            assert str(running.process.pid) in leaf.read_text().split()
            assert f"programs may have cgroups in {cgroup}" in running.log
            running.wait_for("ended", "EXITED")
            wait_until_gone(pids["ended"])
            for name in ("stopped", "deaf"):
                assert running.rpc.stopProcess(name) is True
                assert not alive(pids[name])
                assert f"killing what {name} has left behind (pid {pids[name]})" in running.log
            eventually(lambda: [*cgroup.glob("p_*")] == [], "the removal of the nodes")


@pytest.mark.behaviour(
    "policies.md#kill_mode-in-a-cgroup", "policies.md#what-cannot-work-with-cgroups"
)
def test_without_a_cgroup_it_works_like_tree(tmp_path: Path) -> None:
    (tmp_path / "hider.py").write_text(HIDER)
    text = (
        f"[program:x]\ncommand={sys.executable} -S {tmp_path}/hider.py {tmp_path} stay\n"
        "startsecs=0\nstopwaitsecs=1\nkill_mode=cgroup\n"
        f"[program:n]\ncommand={sys.executable} -S -c pass\nautostart=false\nnumprocs=2\n"
        "process_name=%(process_num)s\nkill_mode=cgroup\n"
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        pids = hidden(tmp_path)
        assert running.rpc.stopProcess("x") is True
        assert not any(alive(pid) for pid in pids)
        told = "kill_mode = cgroup works like tree: there is no cgroup for programs"
        assert running.log.count(f"x: {told}") == running.log.count(f"n: {told}") == 1


@pytest.mark.behaviour("policies.md#kill_mode")
def test_the_rest_is_ended_at_the_time_of_kill_although_the_main_process_lives(
    tmp_path: Path,
) -> None:
    """A process under a tracer that does not let it go stays after SIGKILL, as one in a system
    call that hangs does."""
    need_tracing()
    (tmp_path / "hider.py").write_text(HIDER)
    text = (
        f"[program:x]\ncommand={sys.executable} -S {tmp_path}/hider.py {tmp_path} stay\n"
        "startsecs=0\nstopwaitsecs=0\nkill_mode=tree\n"
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        pids, main = hidden(tmp_path), running.pid("x")
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        assert ptrace(PTRACE_SEIZE, main, None, None) == 0, os.strerror(ctypes.get_errno())
        try:
            running.rpc.stopProcess("x", False)
            for pid in pids:
                wait_until_gone(pid)
            assert running.state("x") == "STOPPING"
            assert running.log.count("killing what x has left behind") == 4
        finally:
            os.waitpid(main, WALL)  # lets the daemon reap it
        running.wait_for("x", "STOPPED")
        assert running.log.count("killing what x has left behind") == 4


@pytest.mark.behaviour("policies.md#kill_mode")
def test_nothing_is_left_after_an_upgrade_either(tmp_path: Path) -> None:
    (tmp_path / "hider.py").write_text(HIDER)
    text = (
        f"[program:x]\ncommand={sys.executable} -S {tmp_path}/hider.py {tmp_path} stay\n"
        "startsecs=0\nstopwaitsecs=1\nkill_mode=tree\n"
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        pids = hidden(tmp_path)
        upgrade(running)
        assert running.rpc.stopProcess("x") is True
        assert not any(alive(pid) for pid in pids)
