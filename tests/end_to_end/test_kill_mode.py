"""``kill_mode = tree`` with the real daemon and programs that hide."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.kit.config import load
from tests.kit.daemon import BASE, PATIENCE, alive, daemon, eventually, wait_until_gone
from trio_supervisor.core.errors import ConfigError

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
