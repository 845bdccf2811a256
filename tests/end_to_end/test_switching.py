"""What docs/switching.md says of the daemons, seen with both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import COMMAND, REFERENCE, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

BOTH = pytest.mark.parametrize(
    ("command", "is_ours"), [(COMMAND, True), (REFERENCE, False)], ids=["ours", "Supervisor"]
)
LISTENER = """\
import sys
with open("events", "a", buffering=1) as heard:
    while True:
        print("READY", flush=True)
        if not (line := sys.stdin.readline()):
            break
        header = dict(word.split(":") for word in line.split())
        data = sys.stdin.read(int(header["len"]))
        heard.write(f"{header['eventname']} {data!r}\\n")
        print("RESULT 2\\nOK", end="", flush=True)
"""
#: More than the bytes that Supervisor keeps because they may begin a token.
LATER = "what the program writes later"
CAPTURED = "<!--XSUPERVISOR:BEGIN-->mode<!--XSUPERVISOR:END-->"


@BOTH
def test_clear_of_an_ended_program(tmp_path: Path, command: Sequence[str], is_ours: bool) -> None:
    log = tmp_path / "once.log"
    text = f"""\
[program:once]
command=/bin/echo text
startsecs=0
autorestart=false
stdout_logfile={log}
"""
    with daemon(tmp_path, text, command=command) as running:
        running.wait_for("once", "EXITED")
        eventually(lambda: log.read_text() == "text\n", "the output")
        assert running.rpc.clearProcessLogs("once")
        assert log.read_text() == ("" if is_ours else "text\n")


@BOTH
def test_a_relative_command(tmp_path: Path, command: Sequence[str], is_ours: bool) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "run").symlink_to("/bin/cat")
    text = f"""\
[program:relative]
command=./run
directory={tmp_path}/below
startsecs=0
startretries=0
"""
    with daemon(tmp_path, text, command=command) as running:
        running.wait_for("relative", "RUNNING" if is_ours else "FATAL")


def test_all_events_of_a_shutdown_are_delivered(tmp_path: Path) -> None:
    """Which of them Supervisor loses depends on when it looks at what."""
    programs = "".join(f"[program:{name}]\ncommand=/bin/cat\nstartsecs=0\n" for name in "abc")
    events = tmp_path / "events"
    with daemon(tmp_path, listening("PROCESS_STATE", tmp_path) + programs) as running:
        for name in "abc":
            running.wait_for(name, "RUNNING")
        eventually(lambda: events.exists() and "_RUNNING" in events.read_text(), "the first events")
        running.stop()
    heard = events.read_text()
    for name in "abc":
        for state in ("STOPPING", "STOPPED"):
            assert f"PROCESS_STATE_{state} 'processname:{name} " in heard


@BOTH
def test_the_newline_after_a_capture(tmp_path: Path, command: Sequence[str], is_ours: bool) -> None:
    (tmp_path / "said").write_text(f"{CAPTURED}\n")
    text = f"""\
{listening("PROCESS_LOG", tmp_path)}\
[program:talks]
command=/bin/sh -c "cat said; read line; echo {LATER}; exec cat"
directory={tmp_path}
startsecs=0
stdout_capture_maxbytes=1KB
stdout_events_enabled=true
"""
    events = tmp_path / "events"

    def texts() -> list[str]:
        lines = events.read_text().splitlines() if events.exists() else []
        return [line.partition("\\n")[2].removesuffix("'") for line in lines]

    with daemon(tmp_path, text, command=command) as running:
        first = ["mode", "\\n"] if is_ours else ["mode"]
        eventually(lambda: texts() == first, "the event of the capture")
        running.rpc.sendProcessStdin("talks", "go\n")
        rest = [rf"{LATER}\n"] if is_ours else [rf"\n{LATER}\n"]
        eventually(lambda: texts() == first + rest, "the event of what followed")


def test_the_name_of_the_process_is_that_of_the_file(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("tsupervisord")
    (tmp_path / "supervisord").symlink_to(program)
    for path in (str(program), str(tmp_path / "supervisord")):
        with daemon(tmp_path, "", command=[path]) as running:
            comm = Path(f"/proc/{running.process.pid}/comm").read_text()
            assert comm == f"{Path(path).name}\n"
            running.stop()


def listening(events: str, directory: Path) -> str:
    (directory / "listener.py").write_text(LISTENER)
    return f"""\
[eventlistener:hears]
command={sys.executable} listener.py
directory={directory}
events={events}
"""
