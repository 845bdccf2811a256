"""What a daemon that was killed leaves behind is told by the next one, and by --check."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BARE,
    BASE,
    PATIENCE,
    daemon,
    eventually,
    run_to_end,
    wait_until_gone,
)

if TYPE_CHECKING:
    from pathlib import Path

#: Two processes that outlive their daemon, as they read nothing, and one that does not.
PROGRAMS = """\
[program:one]
command=/bin/sleep 1000
startsecs=0
[program:other]
command=/bin/sh -c "sleep 1000 & touch ready; wait"
directory=%(here)s
stopasgroup=true
startsecs=0
[group:web]
programs=other
[program:cat]
command=/bin/cat
startsecs=0
"""
LINE = r"WARN (\S+) of an earlier daemon still runs: pid (\d+)( and \d+ more)?, for \d+:\d\d:\d\d\n"


def kill_and_leave(directory: Path, base: str, *within: str) -> dict[str, int]:
    """Kill a daemon, and return the pids of its programs that live on."""
    with daemon(directory, PROGRAMS, base=base, within=within) as running:
        for name in ("one", "other", "cat"):
            running.wait_log(f"spawned: '{name}'")
        eventually((directory / "ready").exists, "both processes of a program")
        pids = dict(re.findall(r"spawned: '(\w+)' with pid (\d+)", running.log))
        running.process.kill()
        running.process.wait(PATIENCE)
        wait_until_gone(int(pids.pop("cat")))
    (directory / "sup.log").write_text("")
    return {name: int(pid) for name, pid in pids.items()}


def end(pids: dict[str, int]) -> None:
    for pid in pids.values():
        os.killpg(pid, signal.SIGKILL)


@pytest.mark.behaviour("process.md#processes-that-outlive-the-daemon")
@pytest.mark.parametrize("way", ["socket", "pidfile"])
def test_programs_of_a_killed_daemon_are_told_at_the_next_start(tmp_path: Path, way: str) -> None:
    """By the address of the server, or by the pidfile of a daemon that led a session."""
    base, within = (BASE, ()) if way == "socket" else (BARE, ("setsid",))
    left = kill_and_leave(tmp_path, base, *within)
    try:
        with daemon(tmp_path, PROGRAMS, base=base) as running:
            eventually(lambda: len(re.findall(LINE, running.log)) == 2, "two warnings")
            assert re.findall(LINE, running.log) == [
                ("one", str(left["one"]), ""),
                ("web:other", str(left["other"]), " and 1 more"),
            ]
    finally:
        end(left)


@pytest.mark.behaviour("process.md#processes-that-outlive-the-daemon")
def test_check_tells_them_too_but_not_those_of_a_living_daemon(tmp_path: Path) -> None:
    left = kill_and_leave(tmp_path, BASE)
    arguments = ("--check", "--format=json", "-c", str(tmp_path / "c.conf"))
    try:
        with daemon(tmp_path, PROGRAMS) as running:
            running.wait_log("spawned: 'cat'")
            living = run_to_end(*arguments, cwd=tmp_path)
            (tmp_path / "sup.pid").unlink()
            without_pidfile = run_to_end(*arguments, cwd=tmp_path)
        alone = run_to_end(*arguments, cwd=tmp_path)
    finally:
        end(left)
    for done in (living, without_pidfile, alone):
        found = [
            (finding["text"].partition(", for ")[0], finding["hint"])
            for finding in json.loads(done.stdout)["findings"]
            if "earlier daemon" in finding["text"]
        ]
        hint = "end it, if the daemon is not to run the program twice: kill "
        assert found == [
            (f"one of an earlier daemon still runs: pid {left['one']}", f"{hint}{left['one']}"),
            (
                f"web:other of an earlier daemon still runs: pid {left['other']} and 1 more",
                f"{hint}{left['other']}",
            ),
        ]
