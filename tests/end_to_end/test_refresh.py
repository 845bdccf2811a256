"""``tsupervisorctl refresh`` with real programs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, install, run
from tests.kit.daemon import BASE, daemon, eventually

if TYPE_CHECKING:
    from pathlib import Path

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: Says which signals it gets.
LISTENER = """\
#!/bin/sh
trap 'echo HUP' HUP
trap 'echo USR1' USR1
echo ready
while :; do sleep 0.1; done
"""
PROGRAMS = """
[program:hup]
command={directory}/listener
stdout_logfile={directory}/hup.log
[program:usr1]
command={directory}/listener
stdout_logfile={directory}/usr1.log
refresh_signal=USR1
[program:deaf]
command=/bin/sleep 1000
[program:off]
command=/bin/sleep 1000
autostart=false
[program:command]
command={directory}/listener
stdout_logfile={directory}/command.log
refresh_command=/bin/sh -c "echo reading; kill -USR1 $MAINPID"
[program:bad]
command=/bin/sleep 1000
refresh_command=/bin/sh -c "echo line 3 is wrong >&2; exit 3"
[group:several]
programs=hup,usr1,command
"""
DEAF = "deaf has no handler for SIGHUP, which would end it; set refresh_signal or refresh_command"


@pytest.mark.behaviour("policies.md#refresh")
def test_refresh(tmp_path: Path) -> None:
    (tmp_path / "listener").write_text(LISTENER)
    (tmp_path / "listener").chmod(0o755)
    program = install(tmp_path / "bin")

    def ctl(*words: str) -> Ran:
        return run([program, "-c", "c.conf", *words], cwd=tmp_path)

    def refresh(*words: str) -> tuple[int, list[str]]:
        done = ctl("refresh", *words)
        return done.status, done.out.splitlines()

    def log(name: str) -> list[str]:
        return (tmp_path / f"{name}.log").read_text().split()

    def heard(name: str, *words: str) -> None:
        eventually(partial(lambda: sorted(log(name)) == sorted(words)), f"words of {name}")

    with daemon(tmp_path, PROGRAMS.format(directory=tmp_path), base=EXTENDED) as running:
        for name in ("several:hup", "several:usr1", "several:command", "deaf", "bad"):
            running.wait_for(name, "RUNNING")
        for name in ("hup", "usr1", "command"):
            heard(name, "ready")
        pids = [running.pid(name) for name in ("several:hup", "deaf")]
        lines = ["several:hup: refreshed", "several:usr1: refreshed"]
        assert refresh("several:hup", "several:usr1") == (0, lines)
        heard("hup", "ready", "HUP")
        heard("usr1", "ready", "USR1")
        assert refresh("several:*") == (0, ["several:command: refreshed", *lines])
        heard("command", "ready", "reading", "USR1")
        heard("hup", "ready", "HUP", "HUP")
        assert refresh("off") == (7, ["off: ERROR (not running)"])
        bad = "bad: refresh_command: exit status 3: line 3 is wrong"
        assert refresh("bad") == (1, [bad])
        assert refresh("deaf") == (1, [DEAF])
        assert refresh("nobody")[:1] == (1,)
        assert refresh()[0] == 1
        status, lines = refresh("all")  # off is left out
        assert (status, len(lines), {bad, DEAF} < set(lines)) == (1, 5, True)
        assert [running.pid(name) for name in ("several:hup", "deaf")] == pids
        entries = ctl("history", "several:hup").out
        assert "refresh requested, 3 times since" in entries
        assert "(tsupervisorctl, pid " in entries
