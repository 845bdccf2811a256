"""Listeners that do everything wrong at once, and one that does not: nobody else notices."""

from __future__ import annotations

import os
import sys
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import Daemon, UnixTransport, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = sys.executable

#: Beside its name each gets the directory of the test. ``event()`` reads exactly one event.
PRELUDE = """\
import os, select, sys, time
directory = sys.argv[1]
def say(data):
    while data:
        data = data[os.write(1, data):]
def event():
    header = b""
    while not header.endswith(b"\\n"):
        header += os.read(0, 1)
    tokens = dict(token.split(b":", 1) for token in header.split())
    payload = b""
    while len(payload) < int(tokens[b"len"]):
        payload += os.read(0, int(tokens[b"len"]) - len(payload))
    return tokens, payload
"""
#: Name -> what such a listener does after the prelude.
BAD = {
    # says that it is ready, and sleeps
    "never_reads": "say(b'READY\\n'); time.sleep(10000)",
    # reads an event and sleeps
    "never_answers": "say(b'READY\\n'); event(); time.sleep(10000)",
    # accepts everything without having read it, for as long as something comes
    "never_looks": """
import fcntl, struct, termios
waiting = lambda: struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, bytes(4)))[0]
seen = 0
while True:
    say(b'READY\\n')
    while waiting() == seen:
        time.sleep(0.001)
    seen = waiting()
    say(b'RESULT 2\\nOK')
""",
    # answers with what is no answer
    "talks_nonsense": "say(b'READY\\n'); event(); say(b'sorry?\\n' * 1000); time.sleep(10000)",
    # writes without end, and without having been asked
    "floods": "say(b'READY\\n')\nwhile True: say(b'x' * 65536)",
    # announces an answer that never ends
    "promises": """
say(b'READY\\n'); event(); say(b'RESULT 1048577\\n')
while True: say(b'x' * 65536)
""",
    # dies of every event
    "dies": "say(b'READY\\n'); event(); os._exit(3)",
    # leaves behind a child that keeps its pipes and does not end
    "forks": """
say(b'READY\\n'); event()
if os.fork() == 0:
    open(directory + '/gate').read()
    os._exit(0)
os._exit(0)
""",
    # rejects everything
    "rejects": "while True: say(b'READY\\n'); event(); say(b'RESULT 4\\nFAIL')",
}
#: Rejects nothing, misses nothing: writes down the numbers and texts of what it hears.
GOOD = """
log = open(directory + '/heard', 'a')
while True:
    say(b'READY\\n')
    tokens, payload = event()
    log.write(f"{tokens[b'poolserial'].decode()} {payload[7:].split(b'|')[0].decode()}\\n")
    log.flush()
    say(b'RESULT 2\\nOK')
"""
SMALL = 10
#: Events and their size: more by far than the daemon may keep, and more than a pipe takes.
EVENTS = 1000
SIZE = 40_000
BATCH = 20
#: How much the daemon may grow while it hears of all that, in bytes: a small part of it. Pools
#: share a text that waits in several of them.
GROWTH = EVENTS * SIZE // 4


def pool(directory: Path, name: str, script: str, buffer_size: int) -> str:
    path = directory / f"{name}.py"
    path.write_text(PRELUDE + script)
    return (
        f"[eventlistener:{name}]\ncommand={PYTHON} {path} {directory}\nstartsecs=0\n"
        f"events=REMOTE_COMMUNICATION\nbuffer_size={buffer_size}\nevent_len=bytes\n"
        "stdout_logfile=NONE\nautorestart=true\nstopsignal=KILL\n"
    )


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[None]:
    """What listeners leave behind ends when somebody has opened the gate."""
    os.mkfifo(tmp_path / "gate")
    yield
    opened = os.open(tmp_path / "gate", os.O_RDWR)
    os.close(opened)


def resident(running: Daemon) -> int:
    """Bytes of memory the daemon has."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


class Storm:
    """Events with a number each, and what the good listener has heard of them."""

    def __init__(self, running: Daemon) -> None:
        self._running = running
        path = str(running.directory / "s.sock")
        self._rpc = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(path))
        self.sent = 0

    def send(self, count: int) -> None:
        """Send so many, and wait for the good listener to have had them."""
        calls = [
            {
                "methodName": "supervisor.sendRemoteCommEvent",
                "params": ["t", f"{number}|" + "x" * SIZE],
            }
            for number in range(self.sent, self.sent + count)
        ]
        assert self._rpc.system.multicall(calls) == [True] * count
        self.sent += count
        eventually(lambda: len(self.heard()) >= self.sent, "the good listener having heard all")

    def heard(self) -> list[str]:
        return (self._running.directory / "heard").read_text().splitlines()

    def all_started(self) -> bool:
        return all(info["listeners"][0]["pid"] for info in self.pools().values())

    def pools(self) -> dict[str, dict[str, Any]]:
        infos = self._rpc.tsupervisor.getPoolInfo()
        assert isinstance(infos, list)
        return {info["name"]: info for info in infos}


@pytest.mark.behaviour(
    "events.md#slow-listeners",
    "events.md#violations-of-the-protocol",
    "events.md#a-listener-that-dies",
    "events.md#rejected-events",
)
def test_bad_listeners_hurt_nobody_else(tmp_path: Path, gate: None) -> None:
    (tmp_path / "heard").touch()
    text = "".join(pool(tmp_path, name, script, SMALL) for name, script in BAD.items())
    text += pool(tmp_path, "good", GOOD, EVENTS)
    text += f"[program:other]\ncommand={PYTHON} -c 'import time; time.sleep(10000)'\n"
    # Not at level debug, which repeats all that a listener says.
    with daemon(tmp_path, text, "-e", "info") as running:
        storm = Storm(running)
        eventually(storm.all_started, "all listeners having been started")
        storm.send(EVENTS // 10)
        before = resident(running)
        while storm.sent < EVENTS:
            storm.send(BATCH)
            # It answers, and still does what it is there for.
            assert running.state("other") in ("STARTING", "RUNNING")
        pid = running.pid("other")
        os.kill(pid, 9)
        running.wait_for_another_child("other", pid)

        # Each event once, in order.
        assert storm.heard() == [f"{number} {number}" for number in range(EVENTS)]
        assert resident(running) - before < GROWTH
        pools = storm.pools()
        assert pools["good"]["dropped"] == pools["good"]["buffered"] == 0
        for name in BAD:
            # What a pool has neither dropped nor kept is with its listener.
            kept = EVENTS - pools[name]["dropped"] - pools[name]["buffered"]
            delivered = 2 if name == "never_looks" else 0
            assert delivered <= kept <= delivered + 1, name
        states = {name: pools[name]["listeners"][0]["statename"] for name in BAD}
        assert states["never_reads"] == states["never_answers"] == "BUSY"
        assert states["talks_nonsense"] == states["floods"] == states["promises"] == "UNKNOWN"
        assert "talks_nonsense: bad result line: 'sorry?'" in running.log
        assert "promises: bad result line: 'RESULT 1048577'" in running.log
        for name in BAD:
            said = running.log.count(f"ERRO pool {name} event buffer overflowed, discarding event")
            assert 1 <= said < EVENTS // 20  # not one for each
            assert pools[name]["dropped"] > EVENTS // 2
        running.rpc.stopAllProcesses()
        assert running.stop() == 0
