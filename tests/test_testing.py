"""The aid for test suites without trio; real programs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import free_port, wait_until_gone
from trio_supervisor import NotRunning, RequestError, State
from trio_supervisor.testing import NotReady, Programs, supervised_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

TALKER = "import os; print('pid', os.getpid(), flush=True); input()"
#: Says what it reads, and ends as it is told to.
ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin: print(line.strip(), flush=True)
"""
LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: server.accept()[0].close()
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Programs]:
    with supervised_programs() as programs:
        yield programs


def test_no_process_outlives_the_block() -> None:
    pids = []
    with supervised_programs() as programs:
        for name in ("a", "b"):
            program = programs.start(name, [sys.executable, "-c", TALKER], ready="pid")
            assert program.lines == [f"pid {program.pid}"]
            pids.append(program.pid)
        programs["a"].stop()
        assert programs["a"].lines == [f"pid {pids[0]}"]
        group = programs.start("group", ["/bin/sh", "-c", "sleep 3600 & echo $!; wait"], ready="")
        leaver = programs.start("leaver", ["/bin/sh", "-c", "echo one; sleep 3600"], ready="one")
        pids += [int(group.lines[0]), group.pid, leaver.pid]
        (sleeper,) = children_of(leaver.pid)
        pids.append(sleeper)
        assert [program.name for program in programs] == ["a", "b", "group", "leaver"]
    for pid in pids:
        wait_until_gone(pid)


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_one_that_is_not_ready_shows_what_it_wrote(shared: Programs) -> None:
    program = shared.start("a", [sys.executable, "-c", TALKER], ready="pid")
    with pytest.raises(NotReady, match="a wrote no 'zz' within 0 seconds; it wrote:\npid"):
        program.wait_for_line("zz", timeout=0)
    with pytest.raises(RequestError, match="NO_FILE"):
        shared.start("none", "/no/such/file")
    with pytest.raises(RequestError, match="SPAWN_ERROR: nowhere: couldn't chdir to /no: ENOENT"):
        shared.start("nowhere", "/bin/true", directory="/no")
    with pytest.raises(RequestError, match="ALREADY_ADDED"):
        shared.start("a", "/bin/cat")
    program.stop()
    again = shared.start("a", "/bin/cat")
    assert (again.lines, shared["a"], again.output) == ([], again, "(nothing)")
    assert repr(again) == "<SupervisedProgram a: RUNNING>"


def test_a_program_that_has_ended_fails_at_once_with_its_output(shared: Programs) -> None:
    failing = ["/bin/sh", "-c", "echo no disk; exit 3"]
    with pytest.raises(NotReady, match=r"(?s)has ended.*exit status 3 \(not expected\)\).*no disk"):
        shared.start("failing", failing, ready="ready", autorestart=False, timeout=3600)
    with pytest.raises(NotReady, match=r"(?s)has ended.*gave up.*no disk"):
        shared.start("failing", failing, ready=lambda: False, startsecs=1, startretries=0)
    with pytest.raises(NotReady, match=r"could not be started \(gave up"):
        shared.start("failing", failing, startsecs=1, startretries=0)
    short = shared.start("short", "/bin/echo hello", ready="hello", autorestart=False)
    assert short.wait().code == 0
    assert short.wait_for_line("hello") == "hello"  # of its last run
    with pytest.raises(NotReady, match="has not ended within 0 seconds"):
        shared.start("long", "/bin/cat").wait(timeout=0)


def test_lines_from_before_a_crash_do_not_count(shared: Programs) -> None:
    echo = shared.start("echo", [sys.executable, "-c", ECHO], ready=re.compile("^rea.y$"))
    before = echo.mark()
    pid = echo.pid
    echo.kill()
    echo.wait_until_ready()
    assert echo.pid not in (0, pid)
    assert echo.lines == ["ready", "ready"]
    assert echo.wait_for_line("ready", since=before) == "ready"
    with pytest.raises(NotReady):
        echo.wait_for_line("ready", since=echo.mark(), timeout=0)
    echo.restart()
    echo.stop()
    assert echo.state is State.STOPPED
    with pytest.raises(NotReady, match="has ended without writing 'x'"):
        echo.wait_for_line("x", timeout=3600)
    with pytest.raises(NotRunning):
        echo.signal(signal.SIGHUP)
    echo.stop()
    echo.start()
    assert len(echo.lines) == 4


def test_any_signal_can_end_a_program_and_its_end_is_waited_for(shared: Programs) -> None:
    sleeper = shared.start("sleeper", ["sleep", "3600"])
    pid = sleeper.pid
    sleeper.kill("SEGV")
    sleeper.wait_until_ready()
    assert sleeper.pid not in (0, pid)
    with pytest.raises(NotReady, match="sleeper has not ended within 0 seconds after signal CONT"):
        sleeper.kill("CONT", timeout=0)
    sleeper.stop()
    with pytest.raises(NotRunning):
        sleeper.kill()


def test_a_stop_after_a_crash_calls_off_the_restart(shared: Programs) -> None:
    sleeper = shared.start("crasher", ["sleep", "3600"], restart_delay=3600)
    sleeper.kill()
    sleeper.stop()
    assert sleeper.state is State.EXITED
    assert sleeper.wait().signal == signal.SIGKILL  # nothing is about to start it
    sleeper.stop()
    sleeper.start()
    assert sleeper.pid
    sleeper.stop()


def test_ports_and_functions_tell_that_it_is_ready(shared: Programs, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", LISTENER, str(port)]
    shared.start("listener", command, ready=port)
    with pytest.raises(NotReady, match=f"port {port} is taken already, by another program than b"):
        shared.start("b", command, ready=port)
    file = tmp_path / "ready"
    shared.start("toucher", ["/bin/sh", "-c", f"touch {file}; cat"], ready=file.exists)
    with pytest.raises(NotReady, match="was not ready"):
        shared.start("never", "/bin/cat", ready=lambda: False, timeout=0)
    assert shared["never"].state is State.STOPPED


SUITE = """
import sys

def test_one(programs):
    programs.start("talker", [sys.executable, "-c", "print('hello')"], ready="hello",
                   autorestart=False)
    assert programs["talker"].lines == ["hello"]

def test_two(programs):
    assert programs["talker"].lines == ["hello"]
    assert False
"""


#: Named, because the installation that runs this may be older than the entry point.
PLUGIN = ("-p", "no:cacheprovider", "-p", "trio_supervisor.pytest_plugin")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def test_pytest_is_told_of_the_plugin() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {
        "trio-supervisor": "trio_supervisor.pytest_plugin"
    }


def test_the_plugin_has_the_fixture_and_shows_output(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE)
    result = suite.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*- output of talker -*", "hello"])


def test_the_plugin_costs_those_nothing_who_do_not_use_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        "import sys\ndef test_it():\n    assert 'trio_supervisor.testing' not in sys.modules\n"
    )
    suite.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


@pytest.mark.usefixtures("suite")
def test_a_killed_test_run_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, sys\n"
        "def test_it(programs):\n"
        "    command = ['/bin/sh', '-c', 'sleep 3600 & echo $!; wait']\n"
        "    shell = programs.start('x', command, ready='')\n"
        "    print(shell.pid, shell.lines[0], file=sys.stderr, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", *PLUGIN, str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pids = [int(word) for word in done.stderr.split()[-2:]]
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(pid)


PARALLEL = """
import os
import pathlib
import sys

import pytest

COMMAND = ["/bin/sh", "-c", "sleep 3600 & echo $! ready; wait"]

@pytest.fixture(scope="session")
def program(programs, tmp_path_factory):
    return programs.start("name", COMMAND, ready="ready")

@pytest.mark.parametrize("number", range(4))
def test_it(program, number, worker_id):
    pathlib.Path("pids", f"{worker_id}.{number}").write_text(f"{program.pid} {program.lines[0]}")
    assert number != 3
    if number == int(os.environ.get("KILL", "-1")):
        os.kill(os.getpid(), 9)
"""
#: Each worker runs all tests.
WORKERS = (*PLUGIN, "-p", "xdist", "-n", "2", "--dist", "each")


def pids_of(directory: Path) -> dict[str, set[int]]:
    """The programs of each worker, and their children."""
    found: dict[str, set[int]] = {}
    for path in directory.iterdir():
        pid, child, _ = path.read_text().split()
        found.setdefault(path.name.partition(".")[0], set()).update((int(pid), int(child)))
    return found


@pytest.mark.parametrize("kill", ["-1", "2"], ids=["to the end", "workers are killed"])
def test_workers_of_xdist_have_programs_of_their_own(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    monkeypatch.setenv("KILL", kill)
    suite.makepyfile(PARALLEL)
    suite.mkdir("pids")
    result = suite.runpytest_subprocess(*WORKERS)
    found = pids_of(suite.path / "pids")
    assert {"gw0", "gw1"} <= found.keys()
    for pids in found.values():
        assert len(pids) == 2
        for pid in pids:
            wait_until_gone(pid)
    assert len(set.union(*found.values())) == 2 * len(found)
    if kill == "-1":
        result.assert_outcomes(passed=6, failed=2)
        result.stdout.fnmatch_lines(["*- output of name -*", "* ready"])
