"""Exits, stops and signals with the real daemon."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import Daemon, daemon, eventually, wait_until_gone

#: Notes in a file what it was sent; so does its helper, of the same process group.
FAMILY = """\
import os, signal
notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(number, frame):
    os.write(notes, b"%s got %d\\n" % (who, number))
    if who == b"parent" and number == signal.SIGTERM:
        os._exit(0)
who = b"helper"
ready, said = os.pipe()
pid = os.fork()
if pid:
    who = b"parent"
signal.signal(signal.SIGTERM, note)
if pid:
    os.read(ready, 1)
    os.write(notes, b"helper is %d\\n" % pid)
else:
    os.write(said, b"1")
while True:
    signal.pause()
"""


def logged(path: Path, text: str) -> None:
    eventually(lambda: path.exists() and text in path.read_text(), f"{text!r} in {path.name}")


def family(directory: Path, options: str = "") -> str:
    (directory / "family.py").write_text(FAMILY)
    return (
        f"[program:x]\ncommand={sys.executable} -S family.py\ndirectory={directory}\nstartsecs=0\n"
        f"{options}"
    )


def helper(directory: Path) -> int:
    """Its pid, as soon as both take notes."""
    notes = directory / "notes"
    logged(notes, "helper is ")
    return int(notes.read_text().split("helper is ")[1].split()[0])


def end_helper(directory: Path, pid: int, *, told: int) -> None:
    """After so many notes of TERM; the last is ours, as proof that it takes notes."""
    os.kill(pid, signal.SIGTERM)
    notes = directory / "notes"
    eventually(lambda: notes.read_text().count("helper got 15\n") >= told + 1, "the helper's note")
    assert notes.read_text().count("helper got 15\n") == told + 1
    os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour("process.md#autorestart")
def test_a_child_killed_from_outside_is_restarted(tmp_path: Path) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\nautorestart=true\n") as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        os.kill(pid, signal.SIGTERM)
        running.wait_for_another_child("x", pid)
        assert "WARN exited: x (terminated by SIGTERM; not expected)" in running.log


@pytest.mark.behaviour("process.md#output-while-stopping")
def test_output_after_the_stop_signal(tmp_path: Path) -> None:
    code = (
        "import os, signal\ndef leave(number, frame):\n    print('got', number, flush=True)\n"
        "    print('bye', flush=True)\n    os._exit(0)\n"
        "signal.signal(15, leave)\nprint('ready', flush=True)\nwhile True:\n    signal.pause()\n"
    )
    (tmp_path / "x.py").write_text(code)
    out = tmp_path / "out"
    text = f"[program:x]\ncommand={sys.executable} {tmp_path}/x.py\nstdout_logfile={out}\n"
    with daemon(tmp_path, text) as running:
        logged(out, "ready")
        running.rpc.stopProcess("x")
        assert out.read_text() == "ready\ngot 15\nbye\n"
        log = running.log
    assert log.index("\nbye\n") < log.index("INFO stopped: x (exit status 0)")


@pytest.mark.behaviour("process.md#the-stop-signal")
def test_descendants_are_left_alone(tmp_path: Path) -> None:
    with daemon(tmp_path, family(tmp_path)) as running:
        pid = helper(tmp_path)
        running.rpc.stopProcess("x")
    end_helper(tmp_path, pid, told=0)


@pytest.mark.behaviour("process.md#the-stop-signal")
def test_stopasgroup_signals_the_group(tmp_path: Path) -> None:
    text = family(tmp_path, "stopasgroup=true\nautorestart=false\n")
    with daemon(tmp_path, text) as running:
        pid = helper(tmp_path)
        running.rpc.stopProcess("x")
        logged(tmp_path / "notes", "helper got 15\n")
        assert "process group with signal SIGTERM" in running.log
    end_helper(tmp_path, pid, told=1)


@pytest.mark.parametrize("options", ["", "stopasgroup=true\n"])
def test_a_paused_program_runs_the_handler_of_its_stop_signal(tmp_path: Path, options: str) -> None:
    """It is resumed, as by systemd and s6, instead of being killed after stopwaitsecs."""
    with daemon(tmp_path, family(tmp_path, options + "stopwaitsecs=3600\n")) as running:
        pid = helper(tmp_path)
        os.kill(running.pid("x"), signal.SIGSTOP)
        if options:  # else the kernel hangs up on it when its parent has ended
            os.kill(pid, signal.SIGSTOP)
        running.rpc.stopProcess("x")
        logged(tmp_path / "notes", "parent got 15\n")
        end_helper(tmp_path, pid, told=1 if options else 0)


@pytest.mark.behaviour("process.md#the-stop-signal", "process.md#sigkill-after-stopwaitsecs")
def test_killasgroup_kills_the_group(tmp_path: Path) -> None:
    deaf = "/bin/sh -c \"trap '' TERM; sleep 1000 & echo $!; wait\""
    out = tmp_path / "out"
    text = (
        f"[program:x]\ncommand={deaf}\nstartsecs=0\nstopwaitsecs=1\nkillasgroup=true\n"
        f"stdout_logfile={out}\n"
    )
    with daemon(tmp_path, text) as running:
        eventually(lambda: out.exists() and out.read_text().endswith("\n"), "the helper's pid")
        running.rpc.stopProcess("x")
        wait_until_gone(int(out.read_text()))
        assert "WARN stopped: x (terminated by SIGKILL)" in running.log


@pytest.mark.behaviour("process.md#the-stop-signal")
def test_another_stop_signal(tmp_path: Path) -> None:
    text = "[program:x]\ncommand=/bin/sleep 1000\nstartsecs=0\nstopsignal=INT\n"
    with daemon(tmp_path, text) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.stopProcess("x")
        assert "WARN stopped: x (terminated by SIGINT)" in running.log


@pytest.mark.behaviour("process.md#signal-requests")
def test_names_of_signals(tmp_path: Path) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\nstartsecs=0\n") as running:
        running.wait_for("x", "RUNNING")
        for name in ("CONT", "SIGCONT", "cont", "sigCont", str(int(signal.SIGCONT)), "0"):
            assert running.rpc.signalProcess("x", name) is True
        assert running.log.count("DEBG sending x (pid") == 6
        assert running.fault("signalProcess", "x", "FOO") == 11
        running.rpc.stopProcess("x")
        assert running.fault("signalProcess", "x", "CONT") == 70


@pytest.mark.behaviour("process.md#signal-requests")
def test_a_signal_goes_to_the_child_only(tmp_path: Path) -> None:
    text = family(tmp_path, "stopasgroup=true\nautorestart=false\n")
    with daemon(tmp_path, text) as running:
        pid = helper(tmp_path)
        running.rpc.signalProcess("x", "TERM")
        running.wait_for("x", "EXITED")
        assert "parent got 15" in (tmp_path / "notes").read_text()
    end_helper(tmp_path, pid, told=0)


@pytest.mark.behaviour("process.md#reaping")
def test_many_exits_at_once(tmp_path: Path) -> None:
    text = (
        "[program:many]\ncommand=/bin/sleep 1000\nnumprocs=200\nautorestart=false\nstartsecs=0\n"
        "process_name=%(process_num)03d\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    with daemon(tmp_path, text) as running:

        def all_are(state: str) -> bool:
            return set(running.states().values()) == {state}

        eventually(lambda: all_are("RUNNING"), "200 RUNNING")
        for info in infos(running):
            os.kill(int(str(info["pid"])), signal.SIGKILL)
        eventually(lambda: all_are("EXITED"), "200 EXITED")
        assert {info["exitstatus"] for info in infos(running)} == {-1}
        assert running.log.count("(terminated by SIGKILL; not expected)") == 200


def infos(running: Daemon) -> list[dict[str, object]]:
    found = running.rpc.getAllProcessInfo()
    assert isinstance(found, list)
    return found


#: Writes its pidfile and notes its signals; TERM ends it.
TARGET = """\
import os, signal
notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(number, frame):
    os.write(notes, b"got %d\\n" % number)
    if number == signal.SIGTERM:
        os._exit(0)
for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, note)
open("pid", "w").write(str(os.getpid()))
os.write(notes, b"ready\\n")
while True:
    signal.pause()
"""


@pytest.mark.behaviour("process.md#tpidproxy")
def test_tpidproxy_under_the_daemon(tmp_path: Path) -> None:
    """At once, and with the command's own exit status."""
    (tmp_path / "target.py").write_text(TARGET)
    proxy = Path(sys.executable).with_name("tpidproxy")
    text = (
        f"[program:proxied]\ncommand={proxy} pid {sys.executable} -S target.py\n"
        f"directory={tmp_path}\nstartsecs=0\n"
        f'[program:nine]\ncommand={proxy} pid /bin/sh -c "exit 9"\ndirectory={tmp_path}\n'
        "startsecs=0\nautorestart=false\n"
    )
    notes = tmp_path / "notes"
    with daemon(tmp_path, text) as running:
        running.wait_for("nine", "EXITED")
        assert running.info("nine")["exitstatus"] == 9
        logged(notes, "ready\n")
        running.rpc.signalProcess("proxied", "USR1")
        logged(notes, "got 10\n")
        running.rpc.signalProcess("proxied", "HUP")
        logged(notes, "got 1\n")
        running.rpc.stopProcess("proxied")
        assert running.state("proxied") == "STOPPED"
        assert running.info("proxied")["exitstatus"] == 0
        assert notes.read_text() == "ready\ngot 10\ngot 1\ngot 15\n"
