"""``memory_max`` without a cgroup: the daemon watches, and says so everywhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.cgroups import new_cgroup
from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import BASE, alive, daemon, eventually, free_port, text_of

if TYPE_CHECKING:
    from pathlib import Path

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: A child of the program takes the memory, once, when it finds the file.
HOG = """
import os, sys, time
if os.fork() == 0:
    while not os.path.exists("hungry"):
        time.sleep(0.01)
    os.unlink("hungry")
    taken = bytearray(b"x") * (100 * 2**20)
    time.sleep(1000)
os.wait()
"""
#: The same in a process that is no descendant of the program any more.
HIDDEN_HOG = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("hidden", "w").write(str(os.getpid()))
        taken = bytearray(b"x") * (100 * 2**20)
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""
#: Looks at the memory more often.
IMPATIENT = """
import sys
if 'trio_supervisor' in sys.orig_argv:
    from trio_supervisor.core.process import memory_watch
    memory_watch.INTERVAL = 0.2
"""


@pytest.mark.behaviour("policies.md#watched-memory", "policies.md#shown-limits")
def test_a_program_that_takes_too_much_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hog.py").write_text(HOG)
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    port = free_port()
    text = f"""
[inet_http_server]
port=127.0.0.1:{port}
[program:hog]
command={sys.executable} -S {tmp_path}/hog.py
directory={tmp_path}
startsecs=0
memory_max=64MB
pids_max=50
kill_mode=tree
post_stop=sh -c "echo $SERVICE_RESULT > result"
"""
    with daemon(tmp_path, text, base=EXTENDED) as running:
        running.wait_for("hog", "RUNNING")
        first = running.pid("hog")
        shown = "memory_max 64.0 MiB (watched), pids_max 50 (no effect)"
        details = send(f"http://127.0.0.1:{port}/api/v1/processes/hog").json()
        assert (details["limits"], details["memory_max"]) == (shown, 64 * 2**20)
        assert shown in send(f"http://127.0.0.1:{port}/").body()
        metrics = send(f"http://127.0.0.1:{port}/metrics").body()
        assert (
            'trio_supervisor_process_memory_max_bytes{name="hog",group="hog"} 67108864' in metrics
        )
        program = install(tmp_path / "bin")
        assert shown in run([program, "-c", "c.conf", "status", "-v"], cwd=tmp_path).out
        assert "WARN hog: pids_max has no effect: there is no cgroup for programs" in running.log
        assert "WARN hog: memory_max" not in running.log
        (tmp_path / "hungry").touch()
        running.wait_log("more than its memory_max, 64.0 MiB; it is restarted")
        running.wait_for_another_child("hog", first)
        assert not alive(first)
        eventually(lambda: text_of(tmp_path / "result") == "oom-kill\n", "post_stop")
        told = run([program, "-c", "c.conf", "why", "hog"], cwd=tmp_path).out
        assert "memory_max reached: it uses 1" in told
        assert "started because a limit was reached" in told


@pytest.mark.behaviour("policies.md#watched-memory")
def test_what_hides_in_the_cgroup_of_the_program_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hog.py").write_text(HIDDEN_HOG)
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    text = f"""
[program:hog]
command={sys.executable} -S {tmp_path}/hog.py
directory={tmp_path}
startsecs=0
memory_max=64MB
kill_mode=cgroup
restart_limit=1/1h
"""
    with new_cgroup() as above:
        (above / "sub").mkdir()  # gets no controllers, because they are not passed on to it
        base = EXTENDED.replace("extended=true\n", f"extended=true\ncgroup={above}/sub\n")
        with daemon(tmp_path, text, base=base) as running:
            running.wait_log("more than its memory_max, 64.0 MiB; it is restarted")
            running.wait_for("hog", "FATAL")
            assert not alive(int((tmp_path / "hidden").read_text()))
