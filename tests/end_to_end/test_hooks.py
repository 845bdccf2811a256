"""Stop sequences, stop commands and hooks with the real daemon and real programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.daemon import BASE, daemon, eventually, text_of, wait_until_gone

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: Says its pid in a file and hangs.
HANG = """\
#!/bin/sh
echo $$ > $1
exec sleep 1000
"""
#: Says each signal that it gets; ends at TERM.
NOTER = """\
#!/bin/sh
trap 'echo QUIT' QUIT
trap 'echo INT' INT
trap 'echo TERM; exit 0' TERM
echo ready
while :; do sleep 0.1; done
"""
#: Ends the program when its own words are in the log, which is closed with the program's end.
STOP = """\
#!/bin/sh
echo stopping
until grep -q stopping $1; do sleep 0.05; done
kill -INT $MAINPID
"""
PROGRAMS = """
[program:plain]
command=/bin/sleep 1000
startsecs=0
[program:hanging]
command=/bin/sleep 1000
directory={directory}
pre_start={directory}/hang pre
hook_timeout=1000
autostart=false
[program:complete]
command=/bin/sleep 1000
startsecs=0
autorestart=false
directory={directory}
stdout_logfile={directory}/complete.log
pre_start=/bin/sh -c "echo before; echo pre >> order"
post_stop=/bin/sh -c "echo after; echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >> order"
stop_command={directory}/stop complete.log
[program:steps]
command={directory}/noter
startsecs=0
stdout_logfile={directory}/steps.log
stop_sequence=QUIT:100ms, INT:100ms, TERM:1000s
"""


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.behaviour("policies.md#pre_start")
@pytest.mark.behaviour("policies.md#post_stop")
@pytest.mark.behaviour("policies.md#stop_command")
@pytest.mark.behaviour("policies.md#stop_sequence")
def test_hooks_of_real_programs(tmp_path: Path) -> None:
    script(tmp_path / "hang", HANG)
    script(tmp_path / "noter", NOTER)
    script(tmp_path / "stop", STOP)
    with daemon(tmp_path, PROGRAMS.format(directory=tmp_path), base=EXTENDED) as running:
        server = running.rpc
        for name in ("plain", "complete", "steps"):
            running.wait_for(name, "RUNNING")
        # A hook that hangs holds up its own program only, and a stop ends it at once.
        assert server.startProcess("hanging", False) is True
        eventually(lambda: text_of(tmp_path / "pre"), "the hook")
        assert (running.state("hanging"), running.pid("hanging")) == ("STARTING", 0)
        assert server.stopProcess("plain") is True
        assert server.startProcess("plain") is True
        assert server.stopProcess("hanging") is True
        assert running.state("hanging") == "STOPPED"
        wait_until_gone(int(text_of(tmp_path / "pre")))
        # Before, stop and after.
        assert server.stopProcess("complete") is True
        assert text_of(tmp_path / "order") == "pre\nsuccess killed INT\n"
        assert text_of(tmp_path / "complete.log") == "before\nstopping\nafter\n"
        assert server.startProcess("complete") is True
        os.kill(running.pid("complete"), 9)
        running.wait_for("complete", "EXITED")
        after = "pre\nsuccess killed INT\npre\nsignal killed KILL\n"
        eventually(lambda: text_of(tmp_path / "order") == after, "the end of post_stop")
        # All signals of the sequence; a busy machine may deliver several at once, by number.
        eventually(lambda: "ready" in text_of(tmp_path / "steps.log"), "the program")
        assert server.stopProcess("steps") is True
        heard = text_of(tmp_path / "steps.log").split()
        assert sorted(heard) == ["INT", "QUIT", "TERM", "ready"]
        assert heard[-1] == "TERM"
