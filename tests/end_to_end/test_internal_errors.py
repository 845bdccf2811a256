"""Errors of the daemon itself, injected into the real one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.kit.daemon import PATIENCE, alive, daemon, eventually

#: Executes the daemon with a fault: the fault's code, then the command line it is given.
BEGIN = "import runpy, sys, trio\n"
END = """
sys.argv = sys.argv[3:]
runpy.run_module("trio_supervisor", run_name="__main__")
"""
#: The task of the group ``bad`` fails when there is a file ``fail``: nothing can go on after that.
GROUP_FAILS = """
import os
from trio_supervisor.runtime.groups.group import Group
run = Group.run
async def faulty(self):
    while self.name == "bad" and not os.path.exists("fail"):
        await trio.sleep(0.01)
    if self.name == "bad":
        raise LookupError("injected")
    await run(self)
Group.run = faulty
"""
#: The first connection and the first look for orphans fail.
DUTIES_FAIL = """
import trio_supervisor.runtime.spawn.reaper as orphans
import trio_supervisor.web.server as server
def once(function):
    calls = []
    def faulty(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise LookupError("injected")
        return function(*arguments)
    return faulty
orphans._children = once(orphans._children)
server._accept = once(server._accept)
"""
#: Takes note of TERM, and of its end; told that the note can be taken by a line.
ORDERLY = (
    "/bin/sh -c \"trap 'echo stopped >note; exit 0' TERM; echo up; while :; do sleep 0.05; done\""
)
DEAF = "/bin/sh -c \"trap '' TERM; echo up; while :; do sleep 0.05; done\""


def faulty_python(directory: Path, fault: str) -> list[str]:
    """A command that executes the command line after it, with a fault in it."""
    path = directory / "fault.py"
    path.write_text(BEGIN + fault + END)
    return [sys.executable, str(path)]


@pytest.mark.behaviour("process.md#exit-codes-of-the-daemon")
def test_an_error_of_the_daemon_itself_abandons_nobody(tmp_path: Path) -> None:
    text = (
        f"[program:orderly]\ncommand={ORDERLY}\ndirectory={tmp_path}\nstdout_logfile=%(here)s/o\n"
        f"[program:deaf]\ncommand={DEAF}\nstopwaitsecs=1\nstdout_logfile=%(here)s/d\n"
        "[program:bad]\ncommand=/bin/cat\nautostart=false\n"
    )
    with daemon(tmp_path, text, within=faulty_python(tmp_path, GROUP_FAILS)) as running:
        logs = [tmp_path / "o", tmp_path / "d"]
        eventually(
            lambda: all(log.exists() and log.read_text() == "up\n" for log in logs), "both up"
        )
        pids = [running.pid("orderly"), running.pid("deaf")]
        (tmp_path / "fail").touch()
        assert running.process.wait(PATIENCE) == 1
    assert not any(alive(pid) for pid in pids)
    assert (tmp_path / "note").read_text() == "stopped\n"
    assert not (tmp_path / "s.sock").exists()
    assert not (tmp_path / "sup.pid").exists()
    (line,) = [line for line in running.log.splitlines() if " CRIT internal error" in line]
    assert line.endswith("CRIT internal error, all programs are stopped and the daemon ends:")
    assert "LookupError: injected" in running.log
    assert (tmp_path / "stderr").read_text() == (
        "Error: internal error: LookupError: injected; the log has the details\n"
    )


@pytest.mark.behaviour("process.md#exit-codes-of-the-daemon")
def test_what_can_go_on_goes_on(tmp_path: Path) -> None:
    text = "[program:x]\ncommand=/bin/sh -c \"(sh -c 'exit 5' &); exec cat\"\nstartsecs=0\n"
    within = [sys.executable, "-c", SUBREAPER, *faulty_python(tmp_path, DUTIES_FAIL)]
    with daemon(tmp_path, text, within=within) as running:
        running.wait_for("x", "RUNNING")
        running.wait_log("(exit status 5)")
        assert running.stop() == 0
    for what in ("orphans", "unix_http_server"):
        assert running.log.count(f"CRIT internal error in {what}:\nTraceback") == 1
    assert running.log.count("LookupError: injected") == 2


SUBREAPER = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
