"""What listeners hear in a session with the real daemon, and in the same one with Supervisor."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import xmlrpc.client
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import COMMAND, REFERENCE, Daemon, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYTHON = sys.executable

#: Writes down what it has heard and answered. An event of type ``speak`` makes it write between
#: tokens to stderr.
RECORDER = """\
import os, sys
log = open(sys.argv[1], "a", encoding="utf-8")
heard = []
while True:
    print("READY", flush=True)
    print(*heard, sep="", end="", file=log, flush=True)
    header = sys.stdin.readline()
    if not header:
        break
    length = int(header.split("len:")[1])
    payload = sys.stdin.read(length)
    heard = [header.rstrip(), " ", ascii(payload), "\\n"]
    if payload.startswith("type:speak"):
        os.write(2, b"<!--XSUPERVISOR:BEGIN-->spoken<!--XSUPERVISOR:END-->")
    sys.stdout.write("RESULT 2\\nOK")
    sys.stdout.flush()
"""
CONFIGURATION = """\
[eventlistener:all]
command={python} -X utf8 {directory}/recorder.py {directory}/all.heard
events=event
buffer_size=1000
startsecs=0
stderr_capture_maxbytes=1000
[eventlistener:some]
command={python} -X utf8 {directory}/recorder.py {directory}/some.heard
events=Process_Group , REMOTE_COMMUNICATION
buffer_size=1000
startsecs=0
[program:x]
command=/bin/cat
autorestart=false
startsecs=0
[program:quiet]
command=/bin/cat
autostart=false
startsecs=0
[program:fails]
command=/bin/sh -c 'exit 1'
autostart=false
startsecs=10000
startretries=1
[program:backs_off]
command=/bin/sh -c 'exit 1'
autostart=false
startsecs=10000
startretries=100
[program:ends]
command=/bin/sh -c 'read code; exit $code'
autostart=false
autorestart=false
exitcodes=0,2
startsecs=0
[program:out]
command=/bin/cat
autostart=false
startsecs=0
stdout_events_enabled=true
[program:err]
command=/bin/sh -c 'read x; printf "bad\\377\\n" >&2; exec cat'
autostart=false
startsecs=0
stderr_events_enabled=true
[program:comm]
command=/bin/sh -c 'read x; printf "<!--XSUPERVISOR:BEGIN-->50<!--XSUPERVISOR:END-->"; exec cat'
autostart=false
startsecs=0
stdout_capture_maxbytes=1000
"""


MARK = "type:mark\n{}"


@dataclass(frozen=True)
class Heard:
    """One event as a listener got it."""

    serial: int
    poolserial: int
    name: str
    payload: str

    def __str__(self) -> str:
        return f"{self.name} {re.sub('pid:[1-9][0-9]*', 'pid:N', self.payload)}".rstrip()


HEADER = re.compile(
    r"ver:3\.0 server:supervisor serial:(\d+) pool:(\w+) poolserial:(\d+) eventname:(\w+) len:(\d+)"
    r" ('.*'|\".*\")"
)


class Session:
    """Does things with a daemon; what has been heard of each ends with a mark."""

    def __init__(self, running: Daemon) -> None:
        self.running = running
        self.rpc = running.rpc
        self.steps: dict[str, list[str]] = {}

    def heard(self, pool: str) -> list[Heard]:
        """All events of one pool but ticks, which come as they like."""
        found = []
        for line in (self.running.directory / f"{pool}.heard").read_text().splitlines():
            match = HEADER.fullmatch(line)
            assert match is not None, line
            serial, name, poolserial, event, length, shown = match.groups()
            payload = eval(shown)  # a literal, by ascii()
            assert (name, int(length)) == (pool, len(payload))
            found.append(Heard(int(serial), int(poolserial), event, payload))
        return [heard for heard in found if not heard.name.startswith("TICK")]

    def step(self, name: str, action: Callable[[], object], until: str = "") -> None:
        """Do it; what was heard before a mark sent after it, and after ``until`` was."""
        before = len(self.heard("all"))
        action()
        eventually(lambda: any(until in str(h) for h in self.heard("all")[before:]) or not until)
        self.rpc.sendRemoteCommEvent("mark", name)
        eventually(lambda: any(h.payload == MARK.format(name) for h in self.heard("all")), name)
        self.steps[name] = [str(h) for h in self.heard("all")[before:]][:-1]

    def start_in_vain(self, name: str) -> None:
        # Supervisor answers with a fault if the program has ended in the same moment.
        with contextlib.suppress(xmlrpc.client.Fault):
            self.rpc.startProcess(name, False)

    def stop_in_backoff(self) -> None:
        self.start_in_vain("backs_off")
        self.running.wait_for("backs_off", "BACKOFF")
        self.rpc.stopProcess("backs_off")

    def remove_and_add_pool(self) -> None:
        # Supervisor gives what a listener has not answered to others when it dies.
        eventually(lambda: self.heard("some")[-1].payload.startswith("type:mark"), "all answered")
        self.rpc.stopProcess("some")
        self.rpc.removeProcessGroup("some")
        self.rpc.addProcessGroup("some")
        self.running.wait_for("some", "RUNNING")

    def remove_and_add(self, name: str) -> None:
        self.rpc.removeProcessGroup(name)
        self.rpc.addProcessGroup(name)


def play(session: Session) -> None:
    rpc, step = session.rpc, session.step
    step("begin", lambda: session.running.wait_for("x", "RUNNING"))
    step("start", lambda: rpc.startProcess("quiet"))
    step("stop", lambda: rpc.stopProcess("quiet"))
    step("kill", lambda: os.kill(session.running.pid("x"), signal.SIGKILL), "_EXITED")
    for code in (0, 2, 7):
        step(f"start to exit {code}", lambda: rpc.startProcess("ends"))
        step(f"exit {code}", partial(rpc.sendProcessStdin, "ends", f"{code}\n"), "_EXITED")
    step("fail", lambda: session.start_in_vain("fails"), "_FATAL")
    step("stop in backoff", session.stop_in_backoff, "from_state:BACKOFF pid:0")
    for name in ("out", "err", "comm"):
        step(f"start {name}", partial(rpc.startProcess, name))
    step("log", lambda: rpc.sendProcessStdin("out", "hé€\n"), "_LOG")
    step("undecodable", lambda: rpc.sendProcessStdin("err", "\n"), "_LOG")
    step("communicate", lambda: rpc.sendProcessStdin("comm", "\n"), "_COMMUNICATION_STDOUT")
    step("remote", lambda: rpc.sendRemoteCommEvent("tt", "nön€ ascii 😀"))
    step("empty", lambda: rpc.sendRemoteCommEvent("", ""))
    step("number", lambda: rpc.sendRemoteCommEvent(5, "a: b\nc"))
    step("speak", lambda: rpc.sendRemoteCommEvent("speak", ""), "_COMMUNICATION_STDERR")
    step("group", lambda: session.remove_and_add("ends"))
    step("pool", session.remove_and_add_pool)


STATE = "PROCESS_STATE_{} processname:{} groupname:{} from_state:{}"


def state(new: str, name: str, old: str, extra: str = "") -> str:
    return STATE.format(new, name, name, old) + (f" {extra}" if extra else "")


#: By step.
EXPECTED = {
    "start": [
        state("STARTING", "quiet", "STOPPED", "tries:0"),
        state("RUNNING", "quiet", "STARTING", "pid:N"),
    ],
    "stop": [
        state("STOPPING", "quiet", "RUNNING", "pid:N"),
        state("STOPPED", "quiet", "STOPPING", "pid:N"),
    ],
    "kill": [state("EXITED", "x", "RUNNING", "expected:0 pid:N")],
    "exit 0": [state("EXITED", "ends", "RUNNING", "expected:1 pid:N")],
    "start to exit 2": [
        state("STARTING", "ends", "EXITED", "tries:0"),
        state("RUNNING", "ends", "STARTING", "pid:N"),
    ],
    "exit 2": [state("EXITED", "ends", "RUNNING", "expected:1 pid:N")],
    "exit 7": [state("EXITED", "ends", "RUNNING", "expected:0 pid:N")],
    "fail": [  # the last BACKOFF shows startretries + 1
        state("STARTING", "fails", "STOPPED", "tries:0"),
        state("BACKOFF", "fails", "STARTING", "tries:1"),
        state("STARTING", "fails", "BACKOFF", "tries:1"),
        state("BACKOFF", "fails", "STARTING", "tries:2"),
        state("FATAL", "fails", "BACKOFF"),
    ],
    "log": ["PROCESS_LOG_STDOUT processname:out groupname:out pid:N channel:stdout\nhé€"],
    "undecodable": [
        "PROCESS_LOG_STDERR processname:err groupname:err pid:N channel:stderr\n"
        "Undecodable: b'bad\\xff\\n'"
    ],
    "communicate": ["PROCESS_COMMUNICATION_STDOUT processname:comm groupname:comm pid:N\n50"],
    "remote": ["REMOTE_COMMUNICATION type:tt\nnön€ ascii 😀"],
    "empty": ["REMOTE_COMMUNICATION type:"],
    "number": ["REMOTE_COMMUNICATION type:5\na: b\nc"],
    "speak": [
        "REMOTE_COMMUNICATION type:speak",
        "PROCESS_COMMUNICATION_STDERR processname:all groupname:all pid:N\nspoken",
    ],
    "group": ["PROCESS_GROUP_REMOVED groupname:ends", "PROCESS_GROUP_ADDED groupname:ends"],
    "pool": [
        state("STOPPING", "some", "RUNNING", "pid:N"),
        state("STOPPED", "some", "STOPPING", "pid:N"),
        "PROCESS_GROUP_REMOVED groupname:some",
        "PROCESS_GROUP_ADDED groupname:some",
        state("STARTING", "some", "STOPPED", "tries:0"),
        state("RUNNING", "some", "STARTING", "pid:N"),
    ],
}
GROUPS = ["all", "some", "backs_off", "comm", "ends", "err", "fails", "out", "quiet", "x"]
#: A pool hears of itself and of what comes after it, of its own start too.
BEGIN = [
    *(f"PROCESS_GROUP_ADDED groupname:{name}" for name in GROUPS),
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    state("STARTING", "all", "STOPPED", "tries:0"),
]


@pytest.mark.behaviour("events.md#payloads")
@pytest.mark.parametrize("command", [COMMAND, REFERENCE], ids=["ours", "reference"])
def test_a_session_is_heard_the_same(command: list[str], tmp_path: Path) -> None:
    """What is compared with ours is what Supervisor sends: it runs the same test."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    for pool in ("all", "some"):
        (tmp_path / f"{pool}.heard").touch()
    text = CONFIGURATION.format(python=PYTHON, directory=tmp_path)
    with daemon(tmp_path, text, command=command) as running:
        session = Session(running)
        play(session)
        eventually(
            lambda: session.heard("some")[-1].payload == MARK.format("pool"), "the last mark"
        )
        heard, some = session.heard("all"), session.heard("some")
    assert {name: session.steps[name] for name in EXPECTED} == EXPECTED
    begin = session.steps["begin"]
    assert begin[: len(BEGIN)] == BEGIN
    assert sorted(begin[len(BEGIN) :]) == sorted(
        [
            state("RUNNING", "all", "STARTING", "pid:N"),
            state("STARTING", "some", "STOPPED", "tries:0"),
            state("RUNNING", "some", "STARTING", "pid:N"),
            state("STARTING", "x", "STOPPED", "tries:0"),
            state("RUNNING", "x", "STARTING", "pid:N"),
        ]
    )
    assert session.steps["stop in backoff"][-1] == state("STOPPED", "backs_off", "BACKOFF", "pid:0")

    # 1.3: one number for all pools, another for each; both without gaps but for ticks.
    assert [h.serial - h.poolserial for h in heard] == [heard[0].serial] * len(heard)
    serials = {h.serial: str(h) for h in heard}
    assert all(serials[h.serial] == str(h) for h in some)
    # A pool that is removed does not hear of it, and begins anew: with hearing of itself.
    texts = [str(h) for h in some]
    assert "PROCESS_GROUP_REMOVED groupname:some" not in texts
    again = [h.poolserial for h in some].index(0, 1)
    assert texts[again:] == [
        "PROCESS_GROUP_ADDED groupname:some",
        "REMOTE_COMMUNICATION type:mark\npool",
    ]
    assert [h.poolserial for h in some] == [*range(again), 0, 1]
