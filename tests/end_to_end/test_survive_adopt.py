"""``survive = adopt``: the next daemon goes on with the programs of one that was killed."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import (
    BASE,
    COMMAND,
    PATIENCE,
    Daemon,
    alive,
    daemon,
    eventually,
    text_of,
    wait_until_gone,
    write_config,
)
from tests.kit.root import directory_of
from tests.kit.strace import failing
from trio_supervisor.runtime.adoption.keeper import connect
from trio_supervisor.runtime.adoption.recorder import child_key
from trio_supervisor.runtime.spawn.members import read_stat

if TYPE_CHECKING:
    from collections.abc import Iterator

ADOPT = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\nsurvive=adopt\n")
CTL = "from trio_supervisor.cli.ctl.main import program; program()"
#: Writes its name and pid to the file "pids"; then does what its words say.
PROGRAM = """\
import os, signal, sys, time
name, *words = sys.argv[1:]
def note(file, text):
    with open(file, "ab", buffering=0) as out:
        out.write(f"{name} {text}\\n".encode())
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got USR1\\n"))
note("pids", os.getpid())
if "kills" in words and not os.path.exists("killed"):
    note("killed", "")
    os.kill(os.getppid(), signal.SIGKILL)
if "writer" in words:
    number = 0
    while True:
        os.write(1, f"{name} {number}\\n".encode())
        number += 1
        time.sleep(0.05)
if "echo" in words:
    for line in sys.stdin:
        os.write(1, b"heard " + line.encode())
    note("ends", "end of file")
    time.sleep(1000)
def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.05)
if "exit" in words:
    wait_for(f"go-{name}")
    sys.exit(int(words[-1]))
if "flood" in words:
    wait_for(f"go-{name}")
    for number in range(2000):
        os.write(1, f"{number:0255}\\n".encode())
    note("ends", "done")
while True:
    time.sleep(1000)
"""


def program(name: str, words: str = "", *options: str) -> str:
    lines = "".join(f"{option}\n" for option in options)
    command = f"{sys.executable} -S %(here)s/program.py {name} {words}"
    return (
        f"[program:{name}]\ncommand={command}\ndirectory=%(here)s\nstartsecs=0\n"
        f"stdout_logfile=%(here)s/{name}.out\nredirect_stderr=true\n{lines}"
    )


def pids(directory: Path) -> dict[str, list[int]]:
    """The pids of all processes that were started, by the names that they have written."""
    found: dict[str, list[int]] = {}
    for name, pid in re.findall(r"(\S+) (\d+)\n", text_of(directory / "pids")):
        found.setdefault(name, []).append(int(pid))
    return found


def output(directory: Path, name: str) -> str:
    return text_of(directory / f"{name}.out")


def kill(running: Daemon) -> None:
    running.process.kill()
    running.process.wait(PATIENCE)
    (running.directory / "sup.pid").unlink(missing_ok=True)


@contextmanager
def adopting(directory: Path, text: str, base: str = ADOPT) -> Iterator[Daemon]:
    """A daemon of which requests are answered."""
    (directory / "program.py").write_text(PROGRAM)
    with daemon(directory, text, base=base) as running:
        yield running


def ctl(directory: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CTL, "-s", f"unix://{directory}/s.sock", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def keepers(directory: Path) -> list[int]:
    """The keepers of the daemon there, found by their command lines."""
    marker = os.fsencode(f"{directory}/sup.pid.keeper")
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if marker in file.read().split(b"\0") and alive(int(name)):
                    found.append(int(name))
    return found


def kept(directory: Path) -> str:
    """What the descriptors of the keeper are."""
    links = []
    for pid in keepers(directory):
        with suppress(OSError):
            links += [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return " ".join(links)


@contextmanager
def nothing_left(directory: Path) -> Iterator[None]:
    """End whatever the block has left of its programs, found by their command line."""
    try:
        yield
    finally:
        marker = os.fsencode(f"{directory}/")
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if marker in file.read():
                    os.kill(int(name), signal.SIGKILL)


@pytest.fixture(autouse=True)
def leave_nothing(tmp_path: Path) -> Iterator[None]:
    """End whatever a test has left of its programs."""
    with nothing_left(tmp_path):
        yield


@pytest.mark.behaviour(
    "policies.md#survive--adopt", "policies.md#what-follows-an-adoption", "policies.md#the-keeper"
)
def test_programs_go_on_and_obey_the_next_daemon(tmp_path: Path) -> None:
    text = (
        program("quiet")
        + program("echo", "echo")
        + program("seven", "exit 7", "autorestart=false")
        + program("again", "exit 3", "autorestart=unexpected")
        + program("done", "exit 0", "autorestart=unexpected")
        + program("down", "", "autostart=false")
        + program("stopped")
    )
    names = {"quiet", "echo", "seven", "again", "done", "stopped"}
    with adopting(tmp_path, text) as first:
        eventually(lambda: pids(tmp_path).keys() == names, "all programs")
        for name in names:
            first.wait_for(name, "RUNNING")
        first.rpc.stopProcess("stopped")
        before = {name: first.info(name) for name in names}
        assert len(keepers(tmp_path)) == 1
        kill(first)
    for name in ("seven", "again", "done"):
        (tmp_path / f"go-{name}").touch()
        wait_until_gone(pids(tmp_path)[name][0])
    (tmp_path / "go-again").unlink()
    with adopting(tmp_path, text) as second:
        eventually(lambda: second.states(), "answers")
        second.wait_log("was killed; 2 programs go on; ended meanwhile: ")
        for end in ("seven (exit status 7)", "again (exit status 3)", "done (exit status 0)"):
            assert end in second.log
        second.wait_for("seven", "EXITED")
        second.wait_for("done", "EXITED")
        assert second.info("seven")["exitstatus"] == 7
        eventually(lambda: len(pids(tmp_path)["again"]) == 2, "another child")
        second.wait_for("again", "RUNNING")
        for name in ("quiet", "echo"):
            assert second.info(name)["start"] == before[name]["start"]
            assert second.pid(name) == before[name]["pid"]
            assert second.state(name) == "RUNNING"
        assert second.state("down") == second.state("stopped") == "STOPPED"
        eventually(lambda: len(pids(tmp_path)["again"]) == 2, "the program that was started again")
        started = pids(tmp_path)
        assert {name for name, each in started.items() if len(each) > 1} == {"again"}

        second.rpc.sendProcessStdin("echo", "hello\n")
        eventually(lambda: "heard hello" in output(tmp_path, "echo"), "the answer")
        second.rpc.signalProcess("quiet", "USR1")
        eventually(lambda: "got USR1" in output(tmp_path, "quiet"), "the signal")
        told = ctl(tmp_path, "why", "quiet")
        assert "still RUNNING with pid" in told
        assert f"the one of pid {first.process.pid} was killed" in told
        assert second.rpc.stopProcess("quiet") is True
        assert not alive(started["quiet"][0])
        ctl(tmp_path, "restart", "echo")
        assert not alive(started["echo"][0])
        assert second.state("echo") == "RUNNING"
        assert "internal error" not in second.log
        assert second.stop() == 0
    assert keepers(tmp_path) == []
    assert not (tmp_path / "sup.pid.keeper").exists()
    assert not any(alive(pid) for each in pids(tmp_path).values() for pid in each)


ROUNDS, WRITERS = 25, 40


@pytest.mark.behaviour("policies.md#survive--adopt", "policies.md#what-is-kept-of-the-output")
def test_25_kills_in_a_row_lose_nothing_that_was_in_a_pipe(tmp_path: Path) -> None:
    """Only what the dead daemon had read may be missing, and only there."""
    names = [f"w{number}" for number in range(WRITERS)]
    text = "".join(program(name, "writer") for name in names)
    text += "".join(program(f"e{n}", f"exit {n + 1}", "autorestart=false") for n in range(ROUNDS))
    descriptors, kept = [], []
    for turn in range(ROUNDS):
        with adopting(tmp_path, text) as running:
            if turn:
                running.wait_log(f"; ended meanwhile: e{turn - 1} (exit status {turn})")
                (tmp_path / "sup.log").write_text("")
                running.wait_for(f"e{turn - 1}", "EXITED")
                assert running.info(f"e{turn - 1}")["exitstatus"] == turn
            eventually(
                lambda: len(pids(tmp_path)) == WRITERS + ROUNDS, "all programs being started"
            )
            eventually(lambda: all(output(tmp_path, name) for name in names), "output of all")
            descriptors.append(running.descriptors)
            [keeper] = keepers(tmp_path)
            kept.append(len(os.listdir(f"/proc/{keeper}/fd")))
            kill(running)
        (tmp_path / f"go-e{turn}").touch()
        wait_until_gone(pids(tmp_path)[f"e{turn}"][0])
    with adopting(tmp_path, text) as running:
        for name in names:
            assert running.pid(name) == pids(tmp_path)[name][0]
            size = len(output(tmp_path, name))
            eventually(lambda: len(output(tmp_path, name)) > size, "more output")  # noqa: B023  # called in this turn
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        assert [pid for pid in children.read_text().split() if not alive(int(pid))] == []
    assert all(len(each) == 1 for each in pids(tmp_path).values())
    lost = written = 0
    for name in names:
        numbers = [int(number) for number in re.findall(rf"{name} (\d+)\n", output(tmp_path, name))]
        assert numbers == sorted(set(numbers))
        gaps = [after - before - 1 for before, after in itertools.pairwise(numbers)]
        assert sum(gap > 0 for gap in gaps) <= ROUNDS
        lost, written = lost + sum(gaps), written + numbers[-1] + 1
    assert lost < written / 100, (lost, written)
    # Each round one program less, with a pipe and a pidfd.
    assert descriptors[-1] <= descriptors[1], descriptors
    assert kept[-1] <= kept[1], kept


@pytest.mark.behaviour("policies.md#what-is-kept-of-the-output")
def test_a_full_pipe_waits_for_the_next_daemon(tmp_path: Path) -> None:
    text = program("flood", "flood")
    with adopting(tmp_path, text) as first:
        eventually(lambda: "flood" in pids(tmp_path), "the program")
        first.wait_for("flood", "RUNNING")
        kill(first)
    (tmp_path / "go-flood").touch()
    pid = pids(tmp_path)["flood"][0]
    eventually(lambda: "pipe" in Path(f"/proc/{pid}/wchan").read_text(), "the program waiting")
    with adopting(tmp_path, text):
        eventually(lambda: (tmp_path / "ends").exists(), "the end of the flood")
        lines = [f"{number:0255}" for number in range(2000)]
        eventually(lambda: output(tmp_path, "flood").splitlines() == lines, "all lines")


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_keeper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    text = program("echo", "echo")
    with adopting(tmp_path, text) as first:
        eventually(lambda: "echo" in pids(tmp_path), "the program")
        first.wait_for("echo", "RUNNING")
        [keeper] = keepers(tmp_path)
        os.kill(keeper, signal.SIGKILL)
        first.wait_log("WARN the keeper of survive = adopt has ended; another is started")
        eventually(lambda: "pidfd" in kept(tmp_path), "all being kept again")
        kill(first)
    with adopting(tmp_path, text) as second:
        second.rpc.sendProcessStdin("echo", "hello\n")
        eventually(lambda: "heard hello" in output(tmp_path, "echo"), "the answer")
        assert second.pid("echo") == pids(tmp_path)["echo"][0]
    assert len(pids(tmp_path)["echo"]) == 1


@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_both_killed_leaves_programs_that_are_found_by_their_marks(tmp_path: Path) -> None:
    text = program("quiet") + program("gone", "", "autorestart=true")
    with adopting(tmp_path, text) as first:
        eventually(lambda: pids(tmp_path).keys() == {"quiet", "gone"}, "the programs")
        first.wait_for("quiet", "RUNNING")
        [keeper] = keepers(tmp_path)
        first.process.send_signal(signal.SIGSTOP)  # it would start another one
        os.kill(keeper, signal.SIGKILL)
        wait_until_gone(keeper)
        kill(first)
    before = pids(tmp_path)
    os.kill(before["gone"][0], signal.SIGKILL)
    wait_until_gone(before["gone"][0])
    with adopting(tmp_path, text) as second:
        second.wait_log(f"(pid {first.process.pid}) was killed; 1 program goes on")
        second.wait_log("no keeper was left")
        second.wait_for("quiet", "RUNNING")
        second.wait_for("gone", "RUNNING")  # started at the start, as nothing is known of it
        assert second.pid("quiet") == before["quiet"][0]
        now = second.info("quiet")["now"]
        assert isinstance(now, int)
        assert now - PATIENCE * 4 < int(str(second.info("quiet")["start"])) <= now
        second.rpc.signalProcess("quiet", "USR1")
        eventually(lambda: "got USR1" in output(tmp_path, "quiet"), "its output")
        assert second.rpc.stopProcess("quiet") is True
        assert not alive(before["quiet"][0])


def age(pid: int) -> float:
    """Seconds that a process has lived."""
    stat = read_stat(pid)
    assert stat is not None
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return now - stat.started / os.sysconf("SC_CLK_TCK")


@pytest.mark.behaviour("policies.md#a-program-that-ended-while-no-daemon-ran")
def test_an_end_while_starting_is_judged_by_when_it_was(tmp_path: Path) -> None:
    """Not by when the next daemon comes."""
    options = "autorestart=false\nstartretries=0\n"
    long = program("long", "exit 3").replace("startsecs=0\n", f"startsecs=4\n{options}")
    short = program("short", "exit 3").replace("startsecs=0\n", f"startsecs=30\n{options}")
    with adopting(tmp_path, long + short) as first:
        eventually(lambda: len(pids(tmp_path)) == 2, "the programs")
        eventually(lambda: kept(tmp_path).count("pidfd") == 2, "all being kept")
        kill(first)
    (tmp_path / "go-short").touch()
    wait_until_gone(pids(tmp_path)["short"][0])
    short_gone = time.time()
    eventually(lambda: age(pids(tmp_path)["long"][0]) > 5, "more than startsecs")
    (tmp_path / "go-long").touch()
    wait_until_gone(pids(tmp_path)["long"][0])
    with adopting(tmp_path, long + short) as second:
        second.wait_for("long", "EXITED")
        second.wait_for("short", "FATAL")
        assert second.info("long")["exitstatus"] == 3
        assert "Exited too quickly" in str(second.info("short")["spawnerr"])
        stop = second.info("short")["stop"]
        assert isinstance(stop, int)
        assert stop <= short_gone


@pytest.mark.behaviour("policies.md#what-follows-an-adoption")
def test_a_changed_configuration_is_followed(tmp_path: Path) -> None:
    text = program("same") + program("changed") + program("removed")
    with adopting(tmp_path, text) as first:
        eventually(lambda: len(pids(tmp_path)) == 3, "the programs")
        for name in ("same", "changed", "removed"):
            first.wait_for(name, "RUNNING")
        kill(first)
    before = pids(tmp_path)
    text = program("same") + program("changed", "", "environment=NEW=1") + program("new")
    with adopting(tmp_path, text) as second:
        second.wait_log("3 programs go on")
        eventually(lambda: second.states().keys() == {"same:same", "changed:changed", "new:new"})
        for name in ("same", "changed", "new"):
            second.wait_for(name, "RUNNING")
        assert second.pid("same") == before["same"][0]
        assert not alive(before["changed"][0])
        assert not alive(before["removed"][0])
        eventually(lambda: len(pids(tmp_path)["changed"]) == 2, "the changed program")


@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_a_child_that_was_just_forked_is_no_second_copy(tmp_path: Path) -> None:
    """It kills its daemon at once, which may have recorded it or not."""
    text = program("killer", "kills writer")
    (tmp_path / "program.py").write_text(PROGRAM)
    config = write_config(tmp_path, text, base=ADOPT)
    with (tmp_path / "stdout").open("wb") as out:
        first = subprocess.Popen([*COMMAND, "-n", "-c", str(config)], stdout=out, stderr=out)
    assert first.wait(4 * PATIENCE) == -signal.SIGKILL
    (tmp_path / "sup.pid").unlink()
    with adopting(tmp_path, text) as second:
        second.wait_for("killer", "RUNNING")
        eventually(lambda: "killer 10\n" in output(tmp_path, "killer"), "its output")
        assert output(tmp_path, "killer").startswith("killer 0\nkiller 1\n")
        assert [second.pid("killer")] == pids(tmp_path)["killer"]
        assert second.rpc.stopProcess("killer") is True


LISTENER = """\
import os, sys
with open("listeners", "a") as file:
    file.write(f"{os.getpid()}\\n")
while True:
    os.write(1, b"READY\\n")
    header = sys.stdin.readline()
    sys.stdin.read(int(dict(pair.split(":") for pair in header.split())["len"]))
    os.write(1, b"RESULT 2\\nOK")
"""


@pytest.mark.behaviour("policies.md#what-follows-an-adoption")
def test_event_listeners_are_started_again(tmp_path: Path) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    text = program("x") + (
        f"[eventlistener:l]\ncommand={sys.executable} -S %(here)s/listener.py\n"
        "directory=%(here)s\nevents=PROCESS_STATE\nstartsecs=0\n"
    )

    def listeners() -> list[str]:
        return text_of(tmp_path / "listeners").split()

    with adopting(tmp_path, text) as first:
        eventually(lambda: listeners() and "x" in pids(tmp_path), "the programs")
        first.wait_for("l", "RUNNING")
        first.wait_for("x", "RUNNING")
        kill(first)
    [before] = listeners()
    with adopting(tmp_path, text) as second:
        second.wait_log("event listeners are started again, their state is unknown: l")
        eventually(lambda: len(listeners()) == 2, "another listener")
        assert not alive(int(before))
        second.wait_log("l: ACKNOWLEDGED -> READY")
        assert second.pid("x") == pids(tmp_path)["x"][0]


@pytest.mark.behaviour("policies.md#the-keeper")
def test_an_upgrade_keeps_the_keeper(tmp_path: Path) -> None:
    text = program("quiet")
    with adopting(tmp_path, text) as first:
        eventually(lambda: "quiet" in pids(tmp_path), "the program")
        first.wait_for("quiet", "RUNNING")
        kill(first)
    with adopting(tmp_path, text) as second:
        eventually(lambda: second.states(), "answers")
        [keeper] = keepers(tmp_path)
        ctl(tmp_path, "upgrade")
        second.wait_log("goes on with 1 child")
        second.wait_for("quiet", "RUNNING")
        assert keepers(tmp_path) == [keeper]
        second.rpc.signalProcess("quiet", "USR1")
        eventually(lambda: "got USR1" in output(tmp_path, "quiet"), "its output")
        kill(second)
    with adopting(tmp_path, text) as third:
        assert third.pid("quiet") == pids(tmp_path)["quiet"][0]
        assert keepers(tmp_path) == [keeper]
        assert third.rpc.stopProcess("quiet") is True
        assert third.stop() == 0
    assert keepers(tmp_path) == []


@pytest.mark.behaviour("policies.md#the-keeper")
def test_the_option_can_be_changed_by_a_reload(tmp_path: Path) -> None:
    text = program("quiet")
    with adopting(tmp_path, text) as running:
        eventually(lambda: len(keepers(tmp_path)) == 1, "the keeper")
        for turn, (base, count) in enumerate(((BASE, 0), (ADOPT, 1)), 1):
            # One that is stopped earlier may have noted its pid, or not.
            eventually(lambda: len(pids(tmp_path).get("quiet", ())) == turn, "the program")  # noqa: B023  # called in this turn
            write_config(tmp_path, text, base=base)
            running.signal(signal.SIGHUP)
            eventually(lambda: len(keepers(tmp_path)) == count, "the keeper")  # noqa: B023  # called in this turn
        eventually(lambda: len(pids(tmp_path)["quiet"]) == 3, "the program")
        running.wait_for("quiet", "RUNNING")
        kill(running)
    with adopting(tmp_path, text) as second:
        assert second.pid("quiet") == pids(tmp_path)["quiet"][2]


@pytest.mark.behaviour("policies.md#the-keeper")
def test_without_the_option_the_next_daemon_ends_the_keeper(tmp_path: Path) -> None:
    """It would keep the address of the server in use."""
    text = program("quiet")
    with adopting(tmp_path, text) as first:
        eventually(lambda: "quiet" in pids(tmp_path), "the program")
        kill(first)
    with adopting(tmp_path, text, BASE) as second:
        second.wait_log("quiet of an earlier daemon still runs")
        assert keepers(tmp_path) == []


@pytest.mark.behaviour("policies.md#what-is-kept-of-the-output")
def test_a_client_that_connects_meanwhile_is_answered(tmp_path: Path) -> None:
    text = program("quiet")
    with adopting(tmp_path, text) as first:
        eventually(lambda: first.states(), "answers")
        kill(first)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(tmp_path / "s.sock"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with adopting(tmp_path, text):
            assert client.recv(12).startswith(b"HTTP/1.")


@pytest.mark.behaviour("policies.md#the-keeper")
def test_a_second_daemon_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with adopting(tmp_path, program("quiet")) as first:
        eventually(lambda: first.states(), "answers")
        config = str(tmp_path / "c.conf")
        done = subprocess.run(
            [*COMMAND, "-n", "-c", config],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 2
        assert f"Another daemon (pid {first.process.pid}) has the keeper" in done.stderr
        assert first.process.poll() is None


@pytest.mark.behaviour("policies.md#survive--adopt")
def test_a_shutdown_that_was_cut_short_is_followed_by_a_usual_start(tmp_path: Path) -> None:
    text = program("a") + program("b")
    deaf = text.replace("startsecs=0\n", "startsecs=0\nstopwaitsecs=1000\nstopsignal=USR1\n", 1)
    with adopting(tmp_path, deaf) as first:
        eventually(lambda: len(pids(tmp_path)) == 2, "the programs")
        first.wait_for("a", "RUNNING")
        first.wait_for("b", "RUNNING")
        first.signal(signal.SIGTERM)
        first.wait_log("stopped: b")
        eventually(lambda: "got USR1" in output(tmp_path, "a"), "the stop signal of a")
        kill(first)
    os.kill(pids(tmp_path)["a"][0], signal.SIGKILL)
    with adopting(tmp_path, deaf) as second:
        for name in ("a", "b"):
            second.wait_for(name, "RUNNING")
            eventually(lambda: len(pids(tmp_path)[name]) == 2, "another child")  # noqa: B023  # called in this turn
        second.signal(signal.SIGTERM)
        eventually(lambda: output(tmp_path, "a").count("got USR1") == 2, "the stop signal of a")
        os.kill(pids(tmp_path)["a"][1], signal.SIGKILL)
        assert second.process.wait(PATIENCE) == 0


READY = """\
import os, socket, sys, time
name, kind = sys.argv[1:]
with open("pids", "ab", buffering=0) as out:
    out.write(f"{name} {os.getpid()}\\n".encode())
while not os.path.exists(f"go-{name}"):
    time.sleep(0.05)
if kind == "fd":
    os.write(3, b"\\n")
else:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"READY=1\\nSTATUS=at work", os.environ["NOTIFY_SOCKET"])
with open("ends", "ab", buffering=0) as out:
    out.write(f"{name} told\\n".encode())
while True:
    time.sleep(1000)
"""
OTHERS = (
    f"[program:fd]\ncommand={sys.executable} -S %(here)s/ready.py fd fd\nready=fd:3\n"
    "directory=%(here)s\n"
    f"[program:notify]\ncommand={sys.executable} -S %(here)s/ready.py notify notify\nready=notify\n"
    "directory=%(here)s\n"
    f"[fcgi-program:fcgi]\ncommand={sys.executable} -S %(here)s/program.py fcgi\n"
    "directory=%(here)s\nsocket=unix://%(here)s/fcgi.sock\nstartsecs=0\n"
    f"[program:tree]\ncommand={sys.executable} -S %(here)s/program.py tree\ndirectory=%(here)s\n"
    "kill_mode=tree\nstartsecs=0\n"
)


@pytest.mark.behaviour("policies.md#survive--adopt")
def test_readiness_and_shared_sockets_go_on(tmp_path: Path) -> None:
    (tmp_path / "ready.py").write_text(READY)
    names = {"fd", "notify", "fcgi", "tree"}
    with adopting(tmp_path, OTHERS) as first:
        eventually(lambda: pids(tmp_path).keys() == names, "the programs")
        first.wait_for("fcgi", "RUNNING")
        first.wait_for("tree", "RUNNING")
        assert first.state("fd") == first.state("notify") == "STARTING"
        kill(first)
    before = pids(tmp_path)
    for name in ("fd", "notify"):
        (tmp_path / f"go-{name}").touch()
    eventually(lambda: text_of(tmp_path / "ends").count("\n") == 2, "both messages")
    file = (tmp_path / "fcgi.sock").stat()
    with adopting(tmp_path, OTHERS) as second:
        for name in names:
            second.wait_for(name, "RUNNING")
            assert second.pid(name) == before[name][0]
        second.rpc.stopProcess("tree")
        assert not alive(before["tree"][0])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "fcgi.sock"))
        assert os.path.samestat(file, (tmp_path / "fcgi.sock").stat())
        ctl(tmp_path, "restart", "fcgi:fcgi")
        eventually(lambda: len(pids(tmp_path)["fcgi"]) == 2, "another child")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "fcgi.sock"))
        assert "internal error" not in second.log


def dropped(directory: Path, name: str) -> None:
    """Have the keeper forget a child, as if it had had no free descriptor for it."""
    keeper = connect(str(directory / "sup.pid"))
    keeper.drop(child_key((name, name)))
    keeper.close()


@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_a_stranger_with_the_pid_of_a_program_is_left_alone(tmp_path: Path) -> None:
    text = program("gone", "", "autorestart=false") + program("quiet")
    with adopting(tmp_path, text) as first:
        eventually(lambda: len(pids(tmp_path)) == 2, "the programs")
        first.wait_for("gone", "RUNNING")
        first.wait_for("quiet", "RUNNING")
        eventually(lambda: kept(tmp_path).count("pidfd") == 2, "both being kept")
        kill(first)
    for name in ("gone", "quiet"):
        dropped(tmp_path, name)
    pid = pids(tmp_path)["gone"][0]
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    with another_process(pid) as stranger:
        with adopting(tmp_path, text) as second:
            second.wait_log("gone (exit status unknown")
            assert second.state("gone") == "EXITED"
            assert second.fault("stopProcess", "gone") == 70
            second.wait_for("quiet", "RUNNING")
            assert second.pid("quiet") == pids(tmp_path)["quiet"][0]
            assert second.stop() == 0
        assert stranger.poll() is None


@pytest.mark.behaviour("policies.md#the-keeper")
@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("memfd_create", "CRIT survive = adopt does not work, programs are not kept: "),
        ("sendmsg", "CRIT survive = adopt does not work as it should: nothing can be given"),
        ("recvmsg", "WARN the keeper of survive = adopt has ended"),
        ("bind", ""),
    ],
)
def test_what_a_sandbox_refuses_is_told(tmp_path: Path, call: str, told: str) -> None:
    """The programs run all the same."""
    (tmp_path / "program.py").write_text(PROGRAM)
    base = ADOPT.partition("[unix_http_server]")[0]
    with daemon(tmp_path, program("quiet"), base=base, within=failing(call, "EPERM")) as running:
        running.wait_log(told or "CRIT survive = adopt does not work, programs are not kept: ")
        eventually(lambda: "quiet" in pids(tmp_path), "the program")
        running.check_idle()
        assert running.stop() == 0
    assert not alive(pids(tmp_path)["quiet"][0])


@contextmanager
def another_process(pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this pid if the kernel can be told so, else with any."""
    deadline = 50
    while True:
        with suppress(OSError), open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
        process = subprocess.Popen(["sleep", "1000"])
        deadline -= 1
        if process.pid == pid or not deadline:
            break
        process.kill()
        process.wait()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.behaviour("policies.md#who-is-adopted")
def test_what_may_not_be_looked_at_is_told() -> None:
    """A program whose file may only be executed, not read."""
    with directory_of("nobody") as directory, nothing_left(directory):
        file = directory / "hidden"
        shutil.copy("/bin/sleep", file)
        file.chmod(0o111)
        text = "".join(
            f"[program:{name}]\ncommand={command} 1000\ndirectory=%(here)s\n"
            for name, command in (("quiet", "/bin/sleep"), ("hidden", file))
        )
        user = directory.stat().st_uid
        with daemon(directory, text, base=ADOPT, user=user) as first:
            for name in ("quiet", "hidden"):
                first.wait_for(name, "RUNNING")
            quiet, hidden = first.pid("quiet"), first.pid("hidden")
            first.process.send_signal(signal.SIGSTOP)
            for keeper in keepers(directory):
                os.kill(keeper, signal.SIGKILL)
                wait_until_gone(keeper)
            kill(first)
        with daemon(directory, text, base=ADOPT, user=user) as second:
            second.wait_log(f"WARN pid {hidden} may be a program of the earlier daemon")
            assert f"pid {quiet} may be" not in second.log
            second.wait_for("quiet", "RUNNING")
            assert second.pid("quiet") == quiet
        assert alive(hidden)
