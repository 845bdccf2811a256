"""The end of the daemon by its programs, as PID 1 of a pid namespace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kit.daemon import COMMAND, PATIENCE
from tests.kit.machine import NEW_PIDS, need_namespaces

HEAD = """\
[supervisord]
extended=true
nodaemon=true
user=root
logfile=sup.log
pidfile=sup.pid
childlogdir=%(here)s
"""
#: Starts first.
OTHER = "[program:other]\ncommand=/bin/cat\nstartsecs=0\npriority=1\n"


def run_to_its_end(directory: Path, programs: str, head: str = "") -> tuple[int, str]:
    """The exit code of the daemon as PID 1, and its log."""
    need_namespaces(*NEW_PIDS)
    (directory / "c.conf").write_text(HEAD + head + programs)
    done = subprocess.run(
        ["unshare", *NEW_PIDS, "--kill-child", *COMMAND, "-c", "c.conf"],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, (directory / "sup.log").read_text()


ENDED, GAVE_UP = "ended by itself: ", "gave up starting it: "


@pytest.mark.behaviour("policies.md#essential", "policies.md#exit-code-of-the-daemon")
@pytest.mark.parametrize(
    ("command", "options", "code", "why"),
    [
        ("sh -c 'exit 0'", "startsecs=0", 0, f"{ENDED}exit status 0"),
        ("sh -c 'exit 3'", "startsecs=0", 3, f"{ENDED}exit status 3 (not expected)"),
        ("sh -c 'exit 3'", "startsecs=0\nexitcodes=3", 3, f"{ENDED}exit status 3"),
        ("sh -c 'exit 0'", "startsecs=0\nexitcodes=3", 1, f"{ENDED}exit status 0 (not expected)"),
        ("sh -c 'kill -SEGV $$'", "startsecs=0", 139, f"{ENDED}terminated by SIGSEGV"),
        ("sh -c 'exit 5'", "startsecs=60\nstartretries=0", 5, f"{GAVE_UP}Exited too quickly"),
        ("sh -c 'exit 5'", "startsecs=0\nrestart_limit=1/1h", 5, f"{GAVE_UP}restarted once"),
        ("sh -c 'exit 78'", "startsecs=0\nrestart_prevent=78", 78, f"{ENDED}exit status 78"),
        ("/no/such/program", "startretries=0", 127, f"{GAVE_UP}can't find command"),
        ("/etc/passwd", "startretries=0", 126, f"{GAVE_UP}command at '/etc/passwd' is not"),
    ],
)
def test_an_essential_program_ends_the_container(
    tmp_path: Path, command: str, options: str, code: int, why: str
) -> None:
    restarts = "restart_" in options
    main = f"[program:main]\ncommand={command}\n{options}\nessential=true\n"
    main += f"autorestart={'true' if restarts else 'false'}\n"
    found, log = run_to_its_end(tmp_path, main + OTHER)
    assert f"CRIT stopping everything: essential main: {why}" in log
    assert "stopped: other (terminated by SIGTERM)" in log
    assert found == code


@pytest.mark.behaviour("policies.md#exit_when")
@pytest.mark.parametrize(
    ("programs", "code"),
    [(("exit 0", "exit 0"), 0), (("exit 0", "exit 4"), 4), (("kill -KILL $$", "exit 0"), 137)],
)
def test_the_daemon_exits_when_all_have_ended(
    tmp_path: Path, programs: tuple[str, str], code: int
) -> None:
    listener = (
        "[eventlistener:listener]\ncommand=/bin/cat\nevents=PROCESS_STATE\nstartsecs=0\n"
        "[program:never]\ncommand=/bin/cat\nautostart=false\n"
    )
    jobs = "".join(
        f"[program:p{number}]\ncommand=sh -c '{script}'\nstartsecs=0\nautorestart=false\n"
        for number, script in enumerate(programs)
    )
    found, log = run_to_its_end(tmp_path, listener + jobs, "exit_when=all_ended\n")
    assert f"INFO all programs have ended by themselves: exit code {code}" in log
    assert found == code
