"""The end of the daemon by its programs, as PID 1 of a pid namespace."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.test_containers import container, inner_pid
from tests.kit.daemon import BASE, COMMAND, PATIENCE, alive, daemon, eventually, write_config
from tests.kit.terminal import CTRL_C, terminal

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


def run_to_its_end(directory: Path, programs: str) -> tuple[int, str]:
    """The exit code of the daemon as PID 1, and its log."""
    with container(directory, HEAD + programs) as process:
        code = process.wait(PATIENCE)
    return code, (directory / "sup.log").read_text()


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
    found, log = run_to_its_end(tmp_path, "exit_when=all_ended\n" + listener + jobs)
    assert f"INFO all programs have ended by themselves: exit code {code}" in log
    assert found == code


#: It says so when it is deaf: one that is stopped before ends by the signal, as on a busy machine.
DEAF = (
    "command=sh -c 'trap : TERM; echo deaf; while :; do sleep 100; done'\nstopwaitsecs=3600\n"
    "ready=log:deaf\n"
)
EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


@pytest.mark.behaviour("policies.md#stop_timeout")
def test_a_container_stops_in_time_although_its_programs_are_deaf(tmp_path: Path) -> None:
    """As ``docker stop`` does it: TERM to PID 1."""
    deaf = "".join(f"[program:{name}]\n{DEAF}killasgroup=true\nstartsecs=0\n" for name in "ab")
    with container(tmp_path, f"{HEAD}stop_timeout=1500ms\n{deaf}") as process:
        log = tmp_path / "sup.log"
        eventually(lambda: log.exists() and log.read_text().count("success: ") == 2, "both running")
        os.kill(inner_pid(process), signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        text = log.read_text()
        for name in "ab":  # a busy machine may need longer than the daemon waits
            killed = f"stopped: {name} (terminated by SIGKILL)"
            assert killed in text or f"{name} does not end although it was killed" in text


@pytest.mark.behaviour("policies.md#ctrl-c-pressed-twice")
def test_a_second_ctrl_c_kills_what_is_left(tmp_path: Path) -> None:
    text = f"[program:x]\n{DEAF}killasgroup=true\nstartsecs=0\n"
    write_config(tmp_path, text, base=EXTENDED)
    with terminal([*COMMAND, "-n", "-c", "c.conf"], cwd=tmp_path) as person:
        person.expect("success: x entered RUNNING state")
        person.type(CTRL_C)
        person.expect("waiting for x to die")
        person.type(CTRL_C)
        person.expect("stopped: x (terminated by SIGKILL)")
        status, _ = person.end()
    assert status == 0


def test_without_a_terminal_a_second_signal_is_only_logged(tmp_path: Path) -> None:
    with daemon(tmp_path, f"[program:x]\n{DEAF}startsecs=0\n", base=EXTENDED) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        running.signal(signal.SIGINT)
        running.wait_log("waiting for x to die")
        running.signal(signal.SIGINT)
        eventually(lambda: running.log.count("received SIGINT") == 2, "the second one")
        assert "killing what" not in running.log
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)
        assert running.process.wait(PATIENCE) == 0
