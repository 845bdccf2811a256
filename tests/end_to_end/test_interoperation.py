"""The reference's client controls our daemon, and our client controls the reference's."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, daemon, eventually, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
CLIENTS = {"ours": BIN / "tsupervisorctl", "reference": BIN / "supervisorctl"}
DAEMONS = {
    "ours": [sys.executable, "-m", "trio_supervisor"],
    "reference": [str(BIN / "supervisord")],
}

PROGRAMS = """\
[program:cat]
command=/bin/cat
startsecs=0
[program:pool]
command=/bin/sleep 1000
numprocs=2
process_name=%(program_name)s_%(process_num)02d
startsecs=0
[program:lost]
command=/no/such/program
autostart=false
[program:talk]
command=/bin/sh -c "echo first; echo oops >&2; exec cat"
autostart=false
startsecs=0
stdout_logfile=%(here)s/talk.out
stderr_logfile=%(here)s/talk.err
"""
#: After this action the program has to speak before the next one means anything. It must not end:
#: the reference, if it looks late, calls a start that is over by then an abnormal termination.
SPEAKS = "start talk"

#: Each line is one invocation; with what a person or a script does in a session.
SESSION = (
    "status",
    "status cat nosuch",
    "pid lost",
    "avail",
    "start cat",
    "stop cat",
    "stop cat",
    "start cat",
    "restart pool:*",
    "signal CONT cat",
    "signal BOGUS cat",
    "start lost",
    "start nosuch nogroup:*",
    SPEAKS,
    "tail talk",
    "tail talk stderr",
    "clear talk",
    "reread",
    "update",
    "add cat",
    "remove cat",
    "stop all",
    "stop all",
    "help nosuch",
    "bogus",
    "shutdown",
)
VOLATILE = (
    (re.compile(r"pid \d+, uptime \d+:\d\d:\d\d"), "pid N, uptime T"),
    (re.compile(r"[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M"), "WHEN"),
)


def run(client: Path, config: Path, action: str) -> tuple[int, str]:
    done = subprocess.run(
        [client, "-c", config, *action.split()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    text = done.stdout
    for pattern, shown in VOLATILE:
        text = pattern.sub(shown, text)
    if action.startswith(("stop all", "restart")):  # order of completion varies there (D-30)
        text = "".join(sorted(text.splitlines(keepends=True)))
    if action == SPEAKS:
        logs = [config.with_name("talk.out"), config.with_name("talk.err")]
        eventually(lambda: all(log.stat().st_size for log in logs), "the program having spoken")
    return done.returncode, text


@contextmanager
def served_by(which: str, directory: Path) -> Iterator[Path]:
    """A daemon of either kind with the same configuration."""
    if which == "ours":
        with daemon(directory, PROGRAMS):
            yield directory / "c.conf"
        return
    config = write_config(directory, PROGRAMS)
    process = subprocess.Popen(
        [*DAEMONS[which], "-n", "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
    )
    try:
        log = directory / "sup.log"
        # Its first spawns come a second after its start.
        eventually(
            lambda: log.exists() and log.read_text().count("entered RUNNING state") == 3,
            "the reference's programs running",
        )
        yield config
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.parametrize("which", ["ours", "reference"])
def test_a_session_looks_the_same_whoever_talks_to_whom(tmp_path: Path, which: str) -> None:
    """Every client with this daemon prints what the reference's prints with its own (W152-W163)."""
    transcripts = {}
    for name, client in CLIENTS.items():
        directory = tmp_path / name
        directory.mkdir()
        with served_by(which, directory) as config:
            transcripts[name] = [(action, *run(client, config, action)) for action in SESSION]
    assert transcripts["ours"] == transcripts["reference"]
    by_action = {action: (code, text) for action, code, text in transcripts["ours"]}
    assert by_action["status"][0] == 3
    assert by_action["start lost"] == (1, "lost: ERROR (no such file)\n")
    assert by_action["restart pool:*"] == (
        0,
        "pool:pool_00: started\npool:pool_00: stopped\n"
        "pool:pool_01: started\npool:pool_01: stopped\n",
    )
    assert by_action["shutdown"] == (0, "Shut down\n")
