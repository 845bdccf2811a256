"""``survive = kill``: what a killed daemon has left ends before the next one starts anything."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BARE,
    BASE,
    PATIENCE,
    alive,
    daemon,
    eventually,
    text_of,
    wait_until_gone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KILL = "[supervisord]\nextended=true\nsurvive=kill\n"
SURVIVE = BASE.replace("[supervisord]\n", KILL)
CTL = "from trio_supervisor.cli.ctl.main import program; program()"
#: Writes its pid to the file "pids", with its name, and the signal that ends it to "ends".
PROGRAM = """\
import os, signal, sys, time
name, *words = sys.argv[1:]
def write(file, text):
    with open(file, "ab", buffering=0) as out:
        out.write(f"{name} {text}\\n".encode())
def end(number, frame):
    write("ends", signal.Signals(number).name)
    if "deaf" not in words:
        os._exit(0)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)
if "hidden" in words and os.fork() == 0:
    os.setsid()
    name += "-hidden"
if "worker" in words and os.fork() == 0:
    name += "-worker"
write("pids", os.getpid())
while True:
    time.sleep(1000)
"""


def program(name: str, words: str = "", *options: str) -> str:
    lines = "".join(f"{option}\n" for option in options)
    command = f"{sys.executable} -S %(here)s/program.py {name} {words}"
    return f"[program:{name}]\ncommand={command}\ndirectory=%(here)s\nstartsecs=0\n{lines}"


def pids(directory: Path) -> dict[str, int]:
    """The processes that run, by the names that they have written."""
    return {
        name: int(pid) for name, pid in re.findall(r"(\S+) (\d+)\n", text_of(directory / "pids"))
    }


def ends(directory: Path) -> list[tuple[str, str]]:
    return re.findall(r"(\S+) (SIG\w+)\n", text_of(directory / "ends"))


def kill_and_leave(
    directory: Path, text: str, names: Sequence[str], base: str = SURVIVE
) -> dict[str, int]:
    """Kill a daemon as soon as these processes run; return their pids."""
    (directory / "program.py").write_text(PROGRAM)
    with daemon(directory, text, base=base) as running:
        eventually(lambda: pids(directory).keys() >= set(names), "all processes")
        running.process.kill()
        running.process.wait(PATIENCE)
    left = pids(directory)
    assert all(alive(pid) for pid in left.values())
    (directory / "sup.log").write_text("")
    (directory / "pids").unlink()
    return left


@pytest.fixture
def leave_nothing(tmp_path: Path) -> Iterator[None]:
    """End whatever a test has left of its programs, found by their command line."""
    yield
    marker = os.fsencode(f"{tmp_path}/")
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                ours = marker in file.read()
        except OSError:
            continue
        if ours:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(int(name), signal.SIGKILL)


pytestmark = pytest.mark.usefixtures("leave_nothing")

ALL = (
    program("plain", "", "priority=1", "stopsignal=INT")
    + program("deaf", "deaf", "priority=2", "stopwaitsecs=1")
    + program("paused", "", "priority=3")
    + program("group", "worker", "priority=4", "stopasgroup=true")
    + program("tree", "hidden", "priority=5", "kill_mode=tree")
    + program("needs", "", "priority=1", "depends_on=plain")
)
NAMES = (
    *("plain", "deaf", "paused", "group", "group-worker", "tree", "tree-hidden", "needs"),
    "removed",
)


@pytest.mark.behaviour("policies.md#survive", "policies.md#leftovers-are-told")
@pytest.mark.parametrize("base", [BASE, BARE], ids=["server", "no server"])
def test_leftovers_of_all_kinds_end_before_any_program_starts(tmp_path: Path, base: str) -> None:
    """In the order of a shutdown, each by its own options; without a server or pidfile too."""
    base = base.replace("[supervisord]\n", KILL)
    left = kill_and_leave(tmp_path, ALL + program("removed"), NAMES, base)
    os.kill(left["paused"], signal.SIGSTOP)
    (tmp_path / "sup.pid").unlink()
    with daemon(tmp_path, ALL, base=base) as running:
        eventually(lambda: pids(tmp_path).keys() == {*NAMES} - {"removed"}, "all processes")
        assert not any(alive(pid) for pid in left.values())
        log = running.log
        now = pids(tmp_path)
        assert all(alive(pid) for pid in now.values())
    assert set(now.values()).isdisjoint(left.values())
    spawned = log.index("spawned: ")
    killed = re.findall(
        r"WARN killing (\S+) of an earlier daemon \(pid (\d+)\) with (SIG\w+)", log[:spawned]
    )
    needs, plain = [
        ("needs", str(left["needs"]), "SIGTERM"),
        ("plain", str(left["plain"]), "SIGINT"),
    ]
    assert killed.index(needs) < killed.index(plain)
    killed = [line for line in killed if line not in (needs, plain)]  # they need no other's turn
    assert killed == [
        ("removed", str(left["removed"]), "SIGTERM"),
        ("tree", str(left["tree"]), "SIGTERM"),
        ("group", str(left["group"]), "SIGTERM"),
        ("paused", str(left["paused"]), "SIGTERM"),
        ("deaf", str(left["deaf"]), "SIGTERM"),
        ("deaf", str(left["deaf"]), "SIGKILL"),
    ]
    assert log.index("killing what tree has left behind") < spawned
    for name, pid in left.items():
        if "-" not in name:
            assert f"INFO {name} of an earlier daemon (pid {pid}) has ended" in log[:spawned]
    assert "killing" not in log[spawned:]
    assert "still runs" not in log


@pytest.mark.behaviour("policies.md#leftovers-are-told")
def test_the_journal_tells_what_was_ended(tmp_path: Path) -> None:
    text = program("x")
    left = kill_and_leave(tmp_path, text, ["x"])
    with daemon(tmp_path, text, base=SURVIVE):
        eventually(lambda: "x" in pids(tmp_path), "the program")
        done = subprocess.run(
            [sys.executable, "-c", CTL, "-s", f"unix://{tmp_path}/s.sock", "history", "x"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        history = done.stdout
        assert f"what an earlier daemon had left was ended: pid {left['x']}" in history
        assert history.index("had left was ended") < history.index("started at the start")


@pytest.mark.behaviour("policies.md#whose-leftovers-are-ended")
def test_programs_of_others_are_spared(tmp_path: Path) -> None:
    """Of a daemon that lives with the same file, of another file, from before the
    option, and what a program has started to outlive it."""
    here, other, before = (tmp_path / name for name in ("here", "other", "before"))
    for directory in (here, other, before):
        directory.mkdir()
        (directory / "program.py").write_text(PROGRAM)
    spared = {}
    spared["other"] = kill_and_leave(other, program("x"), ["x"])["x"]
    spared["before"] = kill_and_leave(before, program("x"), ["x"], BASE)["x"]
    left = kill_and_leave(here, program("x", "hidden"), ["x", "x-hidden"])
    spared["hidden"] = left["x-hidden"]
    with daemon(here, program("x"), base=SURVIVE) as living:
        eventually(lambda: "x" in pids(here), "the program")
        wait_until_gone(left["x"])
        spared["living"] = pids(here)["x"]
        (here / "sup.pid").unlink()
        (here / "pids").unlink()
        with daemon(here, program("x"), base=SURVIVE.replace("s.sock", "t.sock")):
            eventually(lambda: "x" in pids(here), "the program of a second daemon")
            with daemon(before, program("x"), base=SURVIVE) as third:
                third.wait_log("x of an earlier daemon still runs")
                assert {name: alive(pid) for name, pid in spared.items()} == dict.fromkeys(
                    spared, True
                )
        assert living.process.poll() is None


@pytest.mark.behaviour("policies.md#while-leftovers-end")
def test_clients_get_their_answers_when_the_leftovers_have_ended(tmp_path: Path) -> None:
    text = program("x", "deaf", "stopwaitsecs=1", "autostart=false")
    with_autostart = text.replace("autostart=false\n", "")
    left = kill_and_leave(tmp_path, with_autostart, ["x"])
    (tmp_path / "sup.pid").unlink()
    with daemon(tmp_path, text, base=SURVIVE) as running:
        running.wait_log("with SIGTERM")
        assert running.rpc.startProcess("x") is True
        assert not alive(left["x"])


@pytest.mark.behaviour("policies.md#while-leftovers-end")
def test_a_request_to_exit_is_carried_out_at_once(tmp_path: Path) -> None:
    text = program("x", "deaf", "stopwaitsecs=1000")
    left = kill_and_leave(tmp_path, text, ["x"])
    with daemon(tmp_path, text, base=SURVIVE) as running:
        eventually(lambda: ends(tmp_path), "the signal")
        with socket.socket(socket.AF_UNIX) as client:  # one that waits for its answer
            client.connect(str(tmp_path / "s.sock"))
            assert running.stop() == 0
        assert "spawned" not in running.log
    assert alive(left["x"])
    text = program("x", "deaf", "stopwaitsecs=0")
    with daemon(tmp_path, text, base=SURVIVE) as running:  # the next one goes on with it
        running.wait_log("spawned: 'x'")
        assert not alive(left["x"])


@pytest.mark.behaviour("policies.md#while-leftovers-end")
def test_stop_timeout_bounds_the_end_of_leftovers(tmp_path: Path) -> None:
    text = program("x", "deaf", "stopwaitsecs=1000")
    base = SURVIVE.replace("survive=kill\n", "survive=kill\nstop_timeout=500ms\n")
    left = kill_and_leave(tmp_path, text, ["x"])
    with daemon(tmp_path, text, base=base) as running:
        running.wait_log("spawned: 'x'")
        assert not alive(left["x"])
        assert "with SIGKILL" in running.log
        os.kill(running.pid("x"), signal.SIGKILL)


@pytest.mark.behaviour("policies.md#survive")
def test_a_daemon_that_was_stopped_in_order_leaves_nothing_to_end(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    for _ in range(2):
        (tmp_path / "sup.log").write_text("")
        with daemon(tmp_path, program("x"), base=SURVIVE) as running:
            running.wait_log("spawned: 'x'")
            eventually(lambda: "x" in pids(tmp_path), "the program")
            assert "earlier daemon" not in running.log


@pytest.mark.behaviour("policies.md#whose-leftovers-are-ended")
def test_the_program_that_has_started_the_daemon_is_spared(tmp_path: Path) -> None:
    """The daemon has then inherited its variable."""
    left = kill_and_leave(tmp_path, program("x"), ["x"])
    with open(f"/proc/{left['x']}/environ", "rb") as file:
        variables = os.fsdecode(file.read()).split("\0")
    [variable] = [each for each in variables if each.startswith("TSUPERVISOR_DAEMON=")]
    with daemon(tmp_path, program("x"), base=SURVIVE, within=["env", variable]) as running:
        running.wait_log("x of an earlier daemon still runs")
        eventually(lambda: "x" in pids(tmp_path), "the program")
        assert alive(left["x"])
