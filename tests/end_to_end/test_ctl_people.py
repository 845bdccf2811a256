"""What the client has for people and programs beyond Supervisor, with a real daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.kit.ctl import Ran, finish, install, run, spawn
from tests.kit.daemon import Daemon, daemon, eventually
from tests.kit.terminal import CTRL_C, Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

PROGRAMS = """\
[program:cat]
command=/bin/cat
startsecs=0
[program:web]
command=/bin/sleep 1000
numprocs=3
process_name=%(program_name)s_%(process_num)02d
startsecs=0
[program:once]
command=/bin/true
startsecs=0
autorestart=false
[program:off]
command=/bin/cat
startsecs=0
autostart=false
[program:idle]
command=/bin/cat
autostart=false
[program:flop]
command=/bin/sh -c "echo 'no database at 10.0.0.7' >&2; exit 3"
autostart=false
startretries=0
[program:lost]
command=/no/such/program
autostart=false
[program:deaf]
command=/bin/sh -c "trap '' TERM; echo deaf; while :; do sleep 1; done"
startsecs=0
autostart=false
stopwaitsecs=120
killasgroup=true
[program:steers]
command=/bin/sh -c "printf '\\033]0;title\\007text\\n'; exec sleep 1000"
startsecs=0
"""
STATUS = {"RUNNING": 0, "STOPPED": 3, "EXITED": 3, "FATAL": 3}


class Stage(NamedTuple):
    daemon: Daemon
    program: str

    @property
    def command(self) -> list[str]:
        return [self.program, "-c", str(self.daemon.directory / "c.conf")]

    def ctl(self, *words: str) -> Ran:
        return run([*self.command, *words], cwd=self.daemon.directory)

    def json(self, *words: str) -> tuple[int, Any]:
        """Exit status and document; of the text form the status must be the same."""
        ran = self.ctl(*words, "--json")
        assert ran.err == ""
        assert ran.out.count("\n") == 1
        assert ran.status == self.ctl(*words).status, words
        return ran.status, json.loads(ran.out)

    def person(self, *words: str) -> AbstractContextManager[Terminal]:
        """The client on a terminal that knows colours."""
        command = ["env", "TERM=xterm", *self.command, *words]
        return terminal(command, cwd=self.daemon.directory)

    def seen(self, *words: str) -> tuple[int, str]:
        with self.person(*words) as person:
            return person.end()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("people")
    with daemon(directory, PROGRAMS) as running:
        for name in ("cat", "web:web_00", "web:web_01", "web:web_02", "steers"):
            running.wait_for(name, "RUNNING")
        running.wait_for("once", "EXITED")
        yield Stage(running, install(directory / "bin"))


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


# Names


@pytest.mark.behaviour("client.md#patterns")
def test_patterns_where_no_name_fits(stage: Stage) -> None:
    web = ["web:web_00", "web:web_01", "web:web_02"]
    assert first_words(stage.ctl("status", "web*").out) == web
    assert first_words(stage.ctl("status", "*_0[12]").out) == web[1:]
    assert first_words(stage.ctl("status", "w?b:*").out) == web
    assert stage.ctl("pid", "web:web_0*").out.count("\n") == 3
    assert stage.ctl("stop", "web:*_02", "ca?") == (0, "web:web_02: stopped\ncat: stopped\n", "")
    assert stage.ctl("start", "*_02", "ca?") == (0, "web:web_02: started\ncat: started\n", "")
    assert stage.ctl("signal", "CONT", "c[a]t") == (0, "cat: signalled\n", "")
    assert stage.ctl("clear", "web*1") == (0, "web:web_01: cleared\n", "")
    assert stage.ctl("tail", "stee*").status == 0
    ran = stage.ctl("tail", "web*")
    assert ran.status == 1
    assert ran.out.startswith("Error: tail takes one process, web* fits web:web_00, web:web_01, ")


@pytest.mark.behaviour("client.md#patterns")
@pytest.mark.parametrize(
    ("words", "status", "out"),
    [
        (["stop", "nosuch_*"], 1, "nosuch_*: ERROR (no such process)\n"),
        (["start", "no*:*"], 2, "no*: ERROR (no such group)\n"),
        (["status", "nosuch*"], 4, "nosuch*: ERROR (no such process)\n"),
        (["pid", "nosuch*"], 1, "No such process nosuch*\n"),
        (["tail", "nosuch*"], 1, "nosuch*: ERROR (no such process name)\n"),
        (["wait", "nosuch*"], 1, "nosuch*: ERROR (no such process)\n"),
        (["healthy", "nosuch*"], 1, "nosuch*: ERROR (no such process)\n"),
    ],
)
def test_patterns_that_fit_nothing_are_unknown_names(
    stage: Stage, words: list[str], status: int, out: str
) -> None:
    assert stage.ctl(*words) == (status, out, "")


# Looking


@pytest.mark.behaviour("client.md#json-output")
def test_status_as_json(stage: Stage) -> None:
    status, found = stage.json("status", "cat", "off", "nosuch")
    assert status == 3
    assert found["errors"] == ["nosuch: ERROR (no such process)"]
    cat, off = found["processes"]
    assert (cat["full_name"], cat["statename"], cat["reason"]) == ("cat", "RUNNING", "")
    assert cat["pid"] == stage.daemon.pid("cat")
    assert cat["memory"] > 0
    assert off["reason"] == "not started: autostart is off"
    assert stage.json("status", "nosuch")[0] == 4
    assert stage.json("status", "cat")[0] == 0
    everything = stage.json("status")[1]["processes"]
    assert [row["full_name"] for row in everything] == first_words(stage.ctl("status").out)


@pytest.mark.behaviour("client.md#json-output")
def test_other_answers_as_json(stage: Stage) -> None:
    assert stage.json("pid") == (0, {"pid": stage.daemon.process.pid, "errors": []})
    assert stage.json("pid", "cat", "off", "nosuch") == (
        1,
        {
            "processes": [
                {"name": "cat", "pid": stage.daemon.pid("cat")},
                {"name": "off", "pid": 0},
            ],
            "errors": ["No such process nosuch"],
        },
    )
    rows = stage.json("avail")[1]["processes"]
    assert [row["name"] for row in rows if not row["autostart"]] == [
        "deaf",
        "flop",
        "idle",
        "lost",
        "off",
    ]
    assert stage.ctl("avail", "x", "--json").status == stage.ctl("avail", "x").status == 1


@pytest.mark.behaviour("client.md#json-output")
def test_changes_as_json(stage: Stage) -> None:
    config = stage.daemon.directory / "c.conf"
    before = config.read_text()
    assert stage.json("reread") == (0, {"added": [], "changed": [], "removed": [], "errors": []})
    config.write_text(before + "[program:extra]\ncommand=/bin/cat\n[program:broken]\n")
    status, document = stage.json("reread")
    assert (status, document["added"]) == (1, [])
    assert document["errors"][0].startswith("ERROR: CANT_REREAD: ")
    config.write_text(before + "[program:extra]\ncommand=/bin/cat\n")
    assert stage.json("reread")[1]["added"] == ["extra"]
    assert stage.ctl("add", "ext*") == (0, "extra: added process group\n", "")
    assert stage.ctl("stop", "ext*").status == 0
    assert stage.ctl("remove", "[e]xtra") == (0, "extra: removed process group\n", "")
    assert stage.ctl("update", "nosuch*") == (1, "ERROR: no such group: nosuch*\n", "")
    assert stage.ctl("add", "no*").out == "ERROR: no such process/group: no*\n"
    ran = stage.ctl("update", "ex*", "nosuch", "--json")
    assert ran.status == 1
    assert json.loads(ran.out) == {
        "groups": [{"group": "extra", "done": ["added process group"]}],
        "errors": ["ERROR: no such group: nosuch"],
    }
    config.write_text(before)
    ran = stage.ctl("--", "update", "--json")
    assert (ran.status, json.loads(ran.out)) == (
        0,
        {
            "groups": [{"group": "extra", "done": ["stopped", "removed process group"]}],
            "errors": [],
        },
    )


@pytest.mark.behaviour("client.md#json-output")
def test_failures_are_inside_the_document(stage: Stage, tmp_path: Path) -> None:
    for words, status in ((["status"], 4), (["pid"], 7), (["avail"], 1), (["update"], 1)):
        ran = run([stage.program, "-s", f"unix://{tmp_path}/none", *words, "--json"])
        assert ran.status == status
        assert json.loads(ran.out)["errors"] == [f"unix://{tmp_path}/none no such file"]


def test_more_columns_another_order_fewer_rows(stage: Stage) -> None:
    lines = stage.ctl("status", "-v", "cat", "off").out.splitlines()
    assert lines[0].split() == [
        "NAME",
        "STATE",
        "PID",
        "UPTIME",
        "RESTARTS",
        "CPU",
        "MEMORY",
        "REASON",
    ]
    name, state, pid, uptime, restarts, cpu, memory, *last = lines[1].split(maxsplit=7)
    # An earlier test of this module may have restarted it.
    assert all(words.startswith("last exit ") for words in last)
    assert (name, state, int(pid)) == ("cat", "RUNNING", stage.daemon.pid("cat"))
    assert (restarts.isdecimal(), cpu, memory[-1]) == (True, "0:00", "M")
    assert uptime.count(":") == 1
    assert lines[2].split(maxsplit=7)[2:] == [*"--0--", "not started: autostart is off"]
    ran = stage.ctl("status", "--state", "exited")
    assert (ran.status, first_words(ran.out)) == (3, ["once"])
    assert stage.ctl("status", "--state", "RUNNING").status == 0
    states = [line.split()[1] for line in stage.ctl("status", "--sort=state").out.splitlines()]
    assert states == sorted(states)
    memory_of = {r["full_name"]: r["memory"] for r in stage.json("status")[1]["processes"]}
    names = first_words(stage.ctl("status", "--sort", "memory").out)
    assert memory_of[names[0]] > memory_of[names[-1]] == 0
    for words in (["--sort", "size"], ["--state", "UP"], ["--sort"]):
        assert stage.ctl("status", *words).status == 2


# Waiting and health


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_wait(stage: Stage) -> None:
    assert stage.ctl("wait", "cat", "web:*") == (
        0,
        "cat: RUNNING\nweb:web_00: RUNNING\nweb:web_01: RUNNING\nweb:web_02: RUNNING\n",
        "",
    )
    assert stage.ctl("wait", "once", "cat", "--for", "EXITED,running").status == 0
    assert stage.ctl("wait", "off", "--timeout", "0.1") == (
        124,
        "off: STOPPED, not RUNNING within 0.1 s: not started: autostart is off\n",
        "",
    )
    waiting = spawn([*stage.command, "wait", "off", "--timeout", "100"])
    assert stage.ctl("start", "off").status == 0
    assert finish(waiting) == (0, "off: RUNNING\n", "")
    assert stage.ctl("stop", "off").status == 0
    # A limit for answers shorter than the wait does not end it.
    ran = stage.ctl("--timeout", "1", "wait", "off", "--timeout", "1.5")
    assert (ran.status, ran.out[:12]) == (124, "off: STOPPED")
    for words in ([], ["cat", "--for", "UP"], ["cat", "--timeout", "-1"]):
        assert stage.ctl("wait", *words).status == 2


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_healthy(stage: Stage, tmp_path: Path) -> None:
    assert stage.ctl("healthy") == (0, "healthy\n", "")
    assert stage.ctl("healthy", "cat", "once", "web*") == (0, "healthy\n", "")
    reason = "not started: autostart is off"
    assert stage.ctl("healthy", "idle", "cat") == (1, f"idle: STOPPED: {reason}\n", "")
    assert stage.ctl("start", "flop").status == 7
    ran = stage.ctl("healthy")
    assert (ran.status, ran.out[:12]) == (1, "flop: FATAL:")
    stage.daemon.rpc.stopProcess("cat")
    assert stage.ctl("healthy", "cat").status == 1
    stage.daemon.rpc.startProcess("cat")
    ran = run([stage.program, "-s", f"unix://{tmp_path}/none", "healthy"])
    assert ran == (1, f"unix://{tmp_path}/none no such file\n", "")


def test_healthy_in_a_shell_hurries_nothing_else(stage: Stage) -> None:
    """Its time limit is its own: the start takes longer than that."""
    slow = stage.daemon.directory / "c.conf"
    before = slow.read_text()
    slow.write_text(before + "[program:slow]\ncommand=/bin/cat\nstartsecs=3\nautostart=false\n")
    try:
        assert stage.ctl("update", "slow").status == 0
        ran = run(stage.command, stdin="healthy cat\nstart slow\n")
    finally:
        slow.write_text(before)
        assert stage.ctl("update").status == 0
    assert ran.out.endswith("supervisor> healthy\nsupervisor> slow: started\nsupervisor> \n")


def test_a_frozen_daemon_is_not_healthy(tmp_path: Path) -> None:
    with daemon(tmp_path, "") as running:
        program = install(tmp_path / "bin")
        command = [program, "-c", str(tmp_path / "c.conf")]
        assert run([*command, "healthy"]).status == 0
        running.signal(signal.SIGSTOP)
        try:
            ran = run([*command, "healthy"])
            assert (ran.status, ran.out[-12:]) == (1, " within 2 s\n")
            assert run([*command, "--timeout", "0.2", "status"]).status == 124
        finally:
            running.signal(signal.SIGCONT)


# On a terminal


@pytest.mark.behaviour("client.md#control-characters-on-a-terminal")
def test_colours_and_harmless_logs_only_on_a_terminal(stage: Stage) -> None:
    plain = stage.ctl("status", "cat").out
    assert "\x1b" not in plain
    with stage.person("status", "cat") as person:
        row = person.expect_pattern(r"uptime \S+\n")
    assert row.startswith("cat" + " " * 30 + "\x1b[32mRUNNING   \x1b[0mpid ")
    with terminal(
        ["env", "TERM=xterm", "NO_COLOR=1", *stage.command, "status", "cat"],
        cwd=stage.daemon.directory,
    ) as person:
        assert "\x1b" not in person.expect_pattern(r"uptime \S+\n")
    log = "tail", "-f", "steers"
    with stage.person(*log) as person:
        person.expect("^[]0;title^Gtext\n")
        person.type(CTRL_C)
        assert person.end()[0] == 0
    with stage.person("--raw", *log) as person:
        person.expect("\x1b]0;title")
        person.type(CTRL_C)
        assert person.end()[0] == 0


def test_why_a_start_failed(stage: Stage) -> None:
    said = "flop: ERROR (spawn error)\nlost: ERROR (no such file)\n"
    assert stage.ctl("start", "flop", "lost") == (1, said, "")
    status, text = stage.seen("start", "flop", "lost")
    assert (status, text[: len(said)]) == (1, said)
    assert "  flop: gave up starting it: Exited too quickly" in text
    assert "exit status 3\n  its last output:\n    no database at 10.0.0.7\n" in text
    assert "  lost: its command is /no/such/program\n" in text


def test_what_a_name_was_meant_for(stage: Stage) -> None:
    assert "web is a group of several: write web:* for all" in stage.seen("stop", "web")[1]
    assert "did you mean cat?" in stage.seen("status", "catt")[1]
    assert "did you mean status" in stage.seen("statsu")[1]
    assert stage.ctl("statsu") == (1, "*** Unknown syntax: statsu\n", "")


@pytest.mark.behaviour("client.md#colours-hints-and-progress")
def test_progress_and_interrupt(stage: Stage) -> None:
    assert stage.ctl("start", "deaf").status == 0
    said = partial(stage.daemon.rpc.readProcessStdoutLog, "deaf", 0, 10)
    eventually(said, "its being deaf")
    with stage.person("stop", "deaf") as person:
        person.expect_pattern(r"stopping deaf\.\.\. \d+s, KILL in 1[01]\ds")
        person.type(CTRL_C)
        status, rest = person.end()
    assert "not waiting any longer; the daemon goes on stopping deaf\n" in rest
    assert "Traceback" not in rest
    assert status == -signal.SIGINT
    os.killpg(stage.daemon.pid("deaf"), signal.SIGKILL)
    assert stage.ctl("wait", "deaf", "--for", "STOPPED").status == 0


@pytest.mark.parametrize(
    ("line", "before", "expected"),
    [
        ("wait idle cat", "waiting for idle cat... 1s", -signal.SIGINT),
        ("--timeout 100 wait idle --timeout 100", "waiting for idle... 1s", -signal.SIGINT),
        ("maintail -f", "==> Press Ctrl-C to exit <==\n", 0),
    ],
)
def test_interrupt_leaves_a_clean_terminal(
    stage: Stage, line: str, before: str, expected: int
) -> None:
    with stage.person(*line.split()) as person:
        attributes = person.attributes
        person.expect(before)
        person.type(CTRL_C)
        status, rest = person.end()
        assert person.attributes == attributes
    assert status == expected
    assert "Traceback" not in rest
    assert rest.replace("\r\x1b[K", "").count("\x1b") == 0  # nothing but cleared lines


@pytest.mark.behaviour("client.md#colours-hints-and-progress")
def test_nothing_of_it_on_a_pipe(stage: Stage) -> None:
    """Both streams together, as scripts read them."""
    done = subprocess.run(
        [*stage.command, "stop", "web", "nosuch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.stdout == "web: ERROR (no such process)\nnosuch: ERROR (no such process)\n"
