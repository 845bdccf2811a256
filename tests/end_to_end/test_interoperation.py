"""Supervisor's client controls our daemon, and our client controls Supervisor's."""

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
#: Supervisor, if it looks late, calls a start that is over by then an abnormal termination.
SPEAKS = "start talk"

#: What the configuration becomes on the way: a group more, one changed, one gone.
EDITED = PROGRAMS.replace("sleep 1000", "sleep 2000").replace("[program:lost]", "[program:fresh]")
EDIT = "@edit"
#: The daemon starts over; what follows means something once it answers with its programs again.
RELOAD = "reload"

#: Each line is one invocation; with what a person or a script does in a session.
ACTING = (
    "status",
    "status cat nosuch",
    "status pool:* pool: all-but nogroup:*",
    "pid",
    "pid cat nosuch pool:* lost",
    "pid all",
    "avail",
    "version",
    "open {url}",
    "start cat",
    "stop cat",
    "stop cat",
    "start cat cat",
    "restart pool:*",
    "restart lost nosuch nogroup:",
    "signal CONT cat",
    "signal BOGUS cat",
    "signal 18 pool:* nosuch lost nogroup:*",
    "signal sigcont all",
    "start lost",
    "start nosuch nogroup:*",
    "start nogroup:* nosuch",
    "stop nosuch nogroup:*",
    SPEAKS,
    "tail talk",
    "tail -4 talk",
    "tail -0 talk STDOUT",
    "tail talk stderr",
    "clear talk nosuch",
    "tail talk",
    "add cat nosuch",
    "remove cat nosuch",
    "stop all",
    "stop all",
    "shutdown",
)
CHANGING = (
    "reread",
    "update",
    "update nosuch",
    EDIT,
    "reread",
    "avail",
    "update lost",
    "add fresh fresh",
    "remove fresh",
    "stop fresh",
    "remove fresh",
    "update",
    "update",
    RELOAD,
    "status",
)
#: What no daemon has to do much for.
MISTAKING = (
    *("start", "stop", "restart", "signal CONT", "clear", "tail", "fg", "add", "remove"),
    *("avail x", "version x", "reread x", "reload x", "shutdown x", "maintail x y", "tail a b c d"),
    *("tail talk bogus", "tail -x talk", "tail -f", "tail nosuch", "tail pool:*", "maintail x"),
    *("fg nosuch", "fg lost", "fg cat talk", "status-cat", "open ftp://localhost"),
    *("help nosuch", "bogus", "!ls", "exit now", "quit", "EOF"),
)
VOLATILE = (
    (re.compile(r"pid \d+, uptime \d+:\d\d:\d\d"), "pid N, uptime T"),
    (re.compile(r"[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M"), "WHEN"),
    (re.compile(r"^[1-9]\d*$", re.MULTILINE), "N"),
    # The help that follows a mistake is in everybody's own words.
    (re.compile(r"\A((?:Error|ERROR): .* (?:name|arguments|supplied))\n.*", re.DOTALL), r"\1\n"),
)


def run(client: Path, config: Path, action: str) -> tuple[int, str]:
    if action == EDIT:
        config.write_text(config.read_text().replace(PROGRAMS, EDITED))
        return 0, ""
    words = action.format(url=f"unix://{config.with_name('s.sock')}").split()
    done = subprocess.run(
        [client, "-c", config, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    text = done.stdout
    for pattern, shown in VOLATILE:
        text = pattern.sub(shown, text)
    if action.startswith(("stop all", "restart")):  # order of completion varies there
        text = "".join(sorted(text.splitlines(keepends=True)))
    if action == RELOAD:
        wait_for_programs(config, 6)  # three of each life
    if action == SPEAKS:
        logs = [config.with_name("talk.out"), config.with_name("talk.err")]
        eventually(lambda: all(log.stat().st_size for log in logs), "the program having spoken")
    return done.returncode, text


def wait_for_programs(config: Path, count: int) -> None:
    """Until so many starts have succeeded; Supervisor's come a second after its own."""
    log = config.with_name("sup.log")
    eventually(
        lambda: log.exists() and log.read_text().count("entered RUNNING state") >= count,
        "the programs running",
    )


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
        wait_for_programs(config, 3)
        yield config
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.behaviour("http.md#clients-of-supervisor", "client.md#order-of-results")
@pytest.mark.parametrize(
    ("which", "session"),
    [
        pytest.param("ours", ACTING, id="acting-ours"),
        pytest.param("reference", ACTING, id="acting-reference"),
        pytest.param("ours", CHANGING, id="changing-ours"),
        pytest.param("reference", CHANGING, id="changing-reference"),
        pytest.param("ours", MISTAKING, id="mistaking-ours"),
    ],
)
def test_a_session_looks_the_same_whoever_talks_to_whom(
    tmp_path: Path, which: str, session: tuple[str, ...]
) -> None:
    """Every client with this daemon prints what Supervisor's prints with its own."""
    transcripts = {}
    for name, client in CLIENTS.items():
        directory = tmp_path / name
        directory.mkdir()
        with served_by(which, directory) as config:
            transcripts[name] = [(action, *run(client, config, action)) for action in session]
    assert transcripts["ours"] == transcripts["reference"]
    by_action = {action: (code, text) for action, code, text in transcripts["ours"]}
    expected = {action: found for action, found in KNOWN.items() if action in session}
    assert {action: by_action[action] for action in expected} == expected


#: So that nobody compares nothing with nothing.
KNOWN = {
    "start lost": (1, "lost: ERROR (no such file)\n"),
    "restart pool:*": (
        0,
        "pool:pool_00: started\npool:pool_00: stopped\n"
        "pool:pool_01: started\npool:pool_01: stopped\n",
    ),
    "tail -4 talk": (0, "rst\n\n"),
    "shutdown": (0, "Shut down\n"),
    "update nosuch": (1, "ERROR: no such group: nosuch\n"),
    "add fresh fresh": (0, "fresh: added process group\nERROR: process group already active\n"),
    "reload": (0, "Restarted supervisord\n"),
    "start": (2, "Error: start requires a process name\n"),
    "bogus": (1, "*** Unknown syntax: bogus\n"),
}
