"""A program that is restarted again and again because it goes wrong, by every interface."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import daemon, eventually, free_port, text_of

if TYPE_CHECKING:
    from pathlib import Path

#: Writes the names of the events that it gets.
LISTENER = """
import sys
while True:
    print('READY', flush=True)
    header = dict(word.split(':') for word in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header['len']))
    with open(sys.argv[1], 'a') as file:
        print(header['eventname'], payload.replace('\\n', ' | '), file=file, flush=True)
    sys.stdout.write('RESULT 2\\nOK')
"""
#: Fails five times, then runs.
CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
[program:bad]
command=/bin/sh -c "echo x >>tries; [ $(wc -l <tries) -gt 5 ] && exec cat; exit 3"
startsecs=0
[program:recycled]
command=/bin/sh -c "echo x >>recycled; [ $(wc -l <recycled) -gt 5 ] && exec cat; exit 0"
startsecs=0
autorestart=true
[eventlistener:named]
command={python} listener.py named
events=PROCESS_FLAPPING
[eventlistener:all]
command={python} listener.py all
events=EVENT
"""


@pytest.mark.behaviour(
    "journal.md#a-process-that-is-restarted-often",
    "journal.md#health-and-flapping",
    "events.md#events-that-supervisor-does-not-have",
)
def test_flapping(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "listener.py").write_text(LISTENER)
    text = CONFIG.replace("{port}", str(port)).replace("{python}", sys.executable)
    address = f"http://127.0.0.1:{port}"
    with daemon(tmp_path, text) as running:

        def has_restarted(name: str) -> bool:
            found = send(f"{address}/api/v1/processes/{name}").json()
            return bool(found["automatic_restarts"] == 5)

        for name in ("bad", "recycled"):
            restarted = partial(has_restarted, name)
            eventually(restarted, f"five restarts of {name}")
            running.wait_for(name, "RUNNING")
        for name in ("named:named", "all:all"):
            running.wait_for(name.partition(":")[0], "RUNNING")

        # The mark.
        mark = send(f"{address}/api/v1/processes/bad").json()["flapping"]
        assert mark.startswith("restarting often: 5 times in 5 minutes, last: exit status 3 ")
        assert send(f"{address}/api/v1/processes/recycled").json()["flapping"] == ""
        metrics = send(f"{address}/metrics").body()
        assert re.search(r"^trio_supervisor_journal_entries [1-9]", metrics, re.MULTILINE)
        assert "trio_supervisor_journal_lost_entries_total 0\n" in metrics
        assert 'trio_supervisor_process_flapping{name="bad",group="bad"} 1\n' in metrics
        assert 'trio_supervisor_process_flapping{name="recycled",group="recycled"} 0\n' in metrics
        ctl = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]
        shown = run([*ctl, "status", "-v"]).out.splitlines()
        assert ["restarting often: 5 times" in line for line in shown[1:]] == [
            line.startswith("bad ") for line in shown[1:]
        ]
        assert any(
            line.startswith("named")
            and "started at the start of the supervisor (autostart)" in line
            for line in shown
        )

        # The page: marked, and above the others.
        page = send(f"{address}/").body()
        first, _, rest = page.partition('data-name="bad"')
        assert "data-name=" not in first
        assert "restarting often: 5 times" in rest
        assert rest.count(">often</span>") == 1

        # Health.
        ran = run([*ctl, "healthy"])
        assert (ran.status, ran.out) == (0, "healthy\n")
        ran = run([*ctl, "healthy", "--strict"])
        assert ran.status == 1
        assert (ran.out + ran.err).startswith("bad: RUNNING: restarting often: 5 times in 5 ")
        assert run([*ctl, "healthy", "--strict", "recycled"]).status == 0
        assert send(f"{address}/readyz").json()["ready"] is True
        ready = send(f"{address}/readyz?strict=1")
        assert ready.status == 503
        [waiting] = ready.json()["waiting"]
        assert (waiting["full_name"], waiting["reason"][:16]) == ("bad", "restarting often")

        # The journal and the event, once.
        [entry] = send(f"{address}/api/v1/history?kind=verdict").json()
        assert (entry["process"], entry["to"]) == ("bad", "flapping")
        heard = tmp_path / "named"
        eventually(partial(text_of, heard), "the event")
        [line] = heard.read_text().splitlines()
        told, _, often = line.partition(" | ")
        assert told == "PROCESS_FLAPPING processname:bad groupname:bad"
        assert often.startswith("restarting often: 3 times in 5 minutes, last: exit status 3 ")
        assert "FLAPPING" not in eventually(partial(text_of, tmp_path / "all"), "other events")
        assert json.dumps(entry["evidence"]).count("restarting often: 3 times") == 1
