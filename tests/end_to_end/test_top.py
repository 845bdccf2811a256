"""``tsupervisorctl top`` on a terminal, watching the real daemon."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install
from tests.kit.daemon import Daemon, daemon, eventually
from tests.kit.screen import ScreenTerminal, screen
from tests.kit.terminal import CTRL_C

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., AbstractContextManager[ScreenTerminal]]

ENTER, ESCAPE = "\r", "\x1b"
DOWN = "\x1b[B"

#: Every stable state.
PROGRAMS = """\
[program:web]
process_name=web_%(process_num)d
numprocs=2
command=sh -c 'echo served; exec sleep 1000'
[program:crash]
command=sh -c 'echo KeyError: nothing is set >&2; exit 3'
startretries=0
[program:batch]
command=sh -c 'echo 4711 records'
startsecs=0
autorestart=false
[program:manual]
command=sleep 1000
autostart=false
[program:retrying]
command=/no/such/program
startretries=100000
"""
#: Takes the second TERM only, so that it can be seen STOPPING.
WORKER = f"""\
[program:worker]
command={sys.executable} -c "{
    "import signal;"
    "signal.signal(15, lambda *_: print('not yet', flush=True));"
    "print('up', flush=True);"
    "[signal.pause() for _ in range(2)]"
}"
stopwaitsecs=600
autorestart=false
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    with daemon(tmp_path, PROGRAMS + WORKER) as running:
        for name, state in (
            ("web:web_0", "RUNNING"),
            ("web:web_1", "RUNNING"),
            ("worker", "RUNNING"),
            ("crash", "FATAL"),
            ("batch", "EXITED"),
            ("retrying", "BACKOFF"),
        ):
            running.wait_for(name, state)
        yield running
        worker = running.pid("worker")
        running.process.terminate()
        running.wait_log("received SIGTERM indicating exit request")
        # It is killed, because it takes the second TERM only, and two at once are one.
        if worker:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    program = install(tmp_path / "bin")

    def start(*words: str, **changes: str) -> AbstractContextManager[ScreenTerminal]:
        command = [program, "-c", "c.conf", "top", *(words or ("-d", "0.2"))]
        return screen(command, cwd=tmp_path, **changes)

    return start


def wait_for_the_first_term(running: Daemon) -> None:
    """Return when the worker has taken it: another one would be the same one before that."""
    log = partial(running.rpc.readProcessStdoutLog, "worker", 0, 0)
    eventually(lambda: "not yet" in str(log()), "the first TERM")


def test_looking_and_acting(running: Daemon, start: Start, tmp_path: Path) -> None:
    with start() as person:
        before = person.attributes
        person.wait_for(r"^supervisor +pid \d+ +unix://\S+ +CPU [\d.]+%  MEM \S+  [\d:]{8}$")
        person.wait_for("^7 in all: 1 FATAL 1 BACKOFF 1 EXITED 3 RUNNING 1 STOPPED$")
        person.wait_for(r"^crash +FATAL +0 gave up starting it: .*")
        person.wait_for(r"^batch +EXITED +0 ended by itself: exit status 0 \| 4711 records$")
        person.wait_for(r"^manual +STOPPED +0 not started: autostart is off$")
        # From the second sample on there are rates.
        person.wait_for(r"^web:web_0 +RUNNING +0 +[\d:]+ +\d+\.\d +\S+ +0 +\d+ +1$")
        assert [line.split()[0] for line in person.lines[3:10]] == [
            *("crash", "retrying", "batch", "web:web_0", "web:web_1", "worker", "manual")
        ]
        assert (person.style("FATAL").fg, person.style("RUNNING").fg) == ("red", "green")

        person.type(ENTER)  # why the selected one, which is the first, does not run
        person.wait_for("^ crash: FATAL ")
        person.wait_for("^KeyError: nothing is set$")
        person.type(ENTER)
        person.wait_until_gone("^ crash: FATAL ")

        person.type("/man")
        person.wait_for("^names with: man$")
        person.wait_for("^1 shown of 7:")
        person.type(ENTER)
        person.wait_for(r"^\?:help")
        person.type("S")
        person.wait_for("^manual: started$")
        person.wait_for("^manual +(STARTING|RUNNING)")
        person.type("S")
        person.wait_for("^manual: cannot start it: already started$")
        person.type("Xy")
        person.wait_for("^manual +STOPPED")
        person.type("Ry")  # what does not run is just started
        person.wait_for("^manual: started$")
        running.wait_for("manual", "RUNNING")

        person.type(ESCAPE)
        person.wait_for("^7 in all:")
        person.type("/work" + ENTER)
        person.wait_for("^1 shown of 7:")
        person.type("X")
        person.wait_for(r"^stop worker\? y/N$")
        person.type("n")
        person.wait_for("^worker: left alone$")
        person.type("KUSR9" + ENTER)
        person.wait_for("^worker: cannot signal it: bad signal name$")
        person.type("Ry")  # it stops at the second TERM only
        person.wait_for("^worker +STOPPING")
        wait_for_the_first_term(running)
        pid = running.pid("worker")
        person.type("KTERM" + ENTER)
        person.wait_for("^worker: started$")
        person.wait_for("^worker +(STARTING|RUNNING) +1 ")
        running.wait_for_another_child("worker", pid)

        person.type("l")
        person.wait_for("^not yet$")
        person.type(CTRL_C)
        person.wait_for("^worker +(STARTING|RUNNING)")

        person.resize(120, 30)
        person.wait_for("LAST OUTPUT$")
        person.wait_for("^worker .* up$")
        person.resize(40, 6)
        person.wait_for("^NAME +STATE +CPU% +MEM LOG/s$")
        person.type("?")
        person.wait_for("^Keys of top")
        person.type("?q")
        assert person.end()[0] == 0
        assert person.attributes == before


def test_another_daemon_and_none(start: Start, tmp_path: Path) -> None:
    with daemon(tmp_path, PROGRAMS) as first:
        first.wait_for("batch", "EXITED")
        with start() as person:
            person.wait_for(f"^supervisor +pid {first.process.pid} ")
            os.kill(first.process.pid, signal.SIGSTOP)
            person.type("ngXy")  # keys are taken although nobody answers
            person.wait_for("^batch: stopping$")
            os.kill(first.process.pid, signal.SIGCONT)
            person.wait_for("^batch: cannot stop it: not running$")
            assert first.stop() == 0
            person.wait_for(r"^reconnecting: (No such file or directory|Connection refused)\b")
            with daemon(tmp_path, PROGRAMS) as second:
                person.wait_for(f"^supervisor +pid {second.process.pid} ")
                person.type(CTRL_C)
                assert person.end()[0] == 0


def test_leaving_while_a_restart_is_under_way_finishes_it(running: Daemon, start: Start) -> None:
    pid = running.pid("worker")
    with start() as person:
        person.type("/work" + ENTER)
        person.wait_for("^1 shown of 7:")
        person.type("Ry")
        person.wait_for("^worker +STOPPING")
        person.type("q")
        person.wait_for("waiting for the requested restarts")
        wait_for_the_first_term(running)
        running.rpc.signalProcess("worker", "TERM")
        assert person.end()[0] == 0
    running.wait_for_another_child("worker", pid)


def test_the_terminal_is_left_clean(running: Daemon, start: Start) -> None:
    with start(NO_COLOR="1") as person:
        before = person.attributes
        person.wait_for("^crash +FATAL")
        assert person.attributes != before or person.style("FATAL").reverse
        assert person.style("BACKOFF").fg == "default"
        person.terminate()
        assert person.end()[0] == -signal.SIGTERM
        assert not person.cursor_hidden


def test_what_cannot_be_shown(start: Start, tmp_path: Path) -> None:
    with daemon(tmp_path, ""):
        for words, terminal, status, text in (
            ((), "dumb", 1, "a terminal of type 'dumb' (TERM) has no screen to draw on"),
            ((), "nonsense", 1, "unknown terminal type 'nonsense' (TERM)"),
            (("-d", "0"), "linux", 2, "--delay takes a number from 0.1 up, not '0'"),
            (("web",), "linux", 2, "top takes no names; / filters what it shows"),
        ):
            with start(*words, TERM=terminal) as person:
                assert person.end()[0] == status
                assert f"Error: {text}" in person.lines
    with start() as person:
        assert person.end()[0] == 7
        assert "nosuchfile" in "".join(person.lines).replace(" ", "")  # wherever lines end
