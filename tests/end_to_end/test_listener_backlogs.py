"""A backlog of events that is delivered as fast as its listeners answer, and what comes between."""

from __future__ import annotations

import sys
import xmlrpc.client
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import BASE, UnixTransport, daemon, eventually
from tests.kit.upgrading import tsupervisor, upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.daemon import Daemon

#: A log at level debug tells of each answer, which takes other ways.
QUIET = BASE.replace("loglevel=debug", "loglevel=info")
EVENTS = 2000
#: Events that one request publishes.
BATCH = 500

#: Reads byte by byte, as any program does whose input has no buffer. Its directory tells it when to
#: begin, when to pause, which event to reject and which to die of, once each.
LISTENER = """\
import os, sys, time
directory = sys.argv[1]
heard = os.open(f"{directory}/heard", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def once(what, payload):
    marker = f"{directory}/{what}.{payload}"
    if os.path.exists(marker):
        os.unlink(marker)
        return True
while not os.path.exists(f"{directory}/go"):
    time.sleep(0.01)
os.write(1, b"READY\\n")
while True:
    header = b""
    while not header.endswith(b"\\n"):
        if not (byte := os.read(0, 1)):
            sys.exit(0)
        header += byte
    fields = dict(pair.split(":") for pair in header.decode().split())
    payload = os.read(0, int(fields["len"])).decode().partition("\\n")[2]
    while os.path.exists(f"{directory}/pause.{payload}"):
        time.sleep(0.01)
    if once("die", payload):
        os.kill(os.getpid(), 9)
    if once("fail", payload):
        os.write(1, b"RESULT 4\\nFAILREADY\\n")
        continue
    os.write(heard, f"{fields['serial']} {fields['poolserial']} {payload}\\n".encode())
    os.write(1, b"RESULT 2\\nOK")
    os.write(1, b"READY\\n")
"""
POOL = """\
[eventlistener:l]
command={python} -S -E {directory}/listener.py {directory}
events=REMOTE_COMMUNICATION
process_name=%(process_num)d
numprocs={numprocs}
buffer_size={size}
startsecs=0
[program:beside]
command=/bin/cat
startsecs=0
"""


def pool(directory: Path, *, size: int = EVENTS, numprocs: int = 1) -> str:
    (directory / "listener.py").write_text(LISTENER)
    (directory / "heard").touch()
    return POOL.format(python=sys.executable, directory=directory, size=size, numprocs=numprocs)


def publish(running: Daemon, first: int, count: int) -> None:
    """Publish numbered events with few requests."""
    socket = UnixTransport(str(running.directory / "s.sock"))
    proxy: Any = xmlrpc.client.ServerProxy("http://localhost", transport=socket)
    for start in range(first, first + count, BATCH):
        calls = [
            {"methodName": "supervisor.sendRemoteCommEvent", "params": ["t", str(number)]}
            for number in range(start, start + BATCH)
        ]
        assert proxy.system.multicall(calls) == [True] * BATCH
    proxy("close")()


def heard(directory: Path) -> list[tuple[int, int, int]]:
    """Serial number, serial number in the pool and payload of each event that was accepted."""
    lines = (directory / "heard").read_text().splitlines()
    return [(int(a), int(b), int(c)) for a, b, c in (line.split() for line in lines)]


def numbers(directory: Path) -> list[int]:
    return [number for _, _, number in heard(directory)]


def wait_until_heard(directory: Path, number: int) -> None:
    eventually(lambda: number in numbers(directory), f"event {number}")


@pytest.mark.behaviour("events.md#rejected-events", "events.md#a-listener-that-dies")
def test_all_events_arrive_in_order_whatever_comes_between(tmp_path: Path) -> None:
    """Rejections, the death of the listener and its stop."""
    for marker in ("fail.300", "fail.301", "die.700", "fail.1100", "die.1101"):
        (tmp_path / marker).touch()
    with daemon(tmp_path, base=QUIET, text=pool(tmp_path)) as running:
        publish(running, 0, EVENTS)
        (tmp_path / "go").touch()
        wait_until_heard(tmp_path, 1200)
        running.rpc.stopProcess("l:0")
        at = len(numbers(tmp_path)) - 1
        running.rpc.startProcess("l:0")
        wait_until_heard(tmp_path, EVENTS - 1)
        log = running.log
    found = heard(tmp_path)
    # A listener that is stopped may have heard an event that it did not answer any more.
    each = list(dict.fromkeys(found))
    assert len(found) - len(each) <= found.count(found[at]) - 1
    assert [poolserial for _, poolserial, _ in each] == list(range(EVENTS))
    assert [number for _, _, number in each] == list(range(EVENTS))
    assert each == sorted(each)
    assert log.count("event was rejected") == 3
    assert "UNKNOWN state" not in log


@pytest.mark.behaviour("events.md#overflow-of-the-buffer")
def test_events_that_come_meanwhile_push_out_the_oldest(tmp_path: Path) -> None:
    (tmp_path / "pause.0").touch()
    (tmp_path / "go").touch()
    with daemon(tmp_path, base=QUIET, text=pool(tmp_path, size=BATCH)) as running:
        publish(running, 0, 2 * BATCH)
        (tmp_path / "pause.0").unlink()
        publish(running, 2 * BATCH, 10 * EVENTS - 2 * BATCH)
        wait_until_heard(tmp_path, 10 * EVENTS - 1)
        [info] = tsupervisor(running).getPoolInfo()
    found = heard(tmp_path)
    assert found == sorted(found)
    assert len(set(found)) == len(found) == 10 * EVENTS - info["dropped"]
    assert BATCH <= len(found) < 10 * EVENTS


def test_an_upgrade_interrupts_nothing(tmp_path: Path) -> None:
    with daemon(tmp_path, base=QUIET, text=pool(tmp_path)) as running:
        publish(running, 0, EVENTS)
        (tmp_path / "go").touch()
        for number in (200, 600):
            wait_until_heard(tmp_path, number)
            upgrade(running)
        wait_until_heard(tmp_path, EVENTS - 1)
    assert numbers(tmp_path) == list(range(EVENTS))


@pytest.mark.behaviour("events.md#slow-listeners")
def test_a_listener_that_is_stuck_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "pause.50").touch()
    with daemon(tmp_path, base=QUIET, text=pool(tmp_path, numprocs=3)) as running:
        publish(running, 0, EVENTS)
        (tmp_path / "go").touch()
        wait_until_heard(tmp_path, 100)
        pid = running.pid("beside")
        running.rpc.stopProcess("beside")
        running.rpc.startProcess("beside")
        assert running.pid("beside") != pid
        wait_until_heard(tmp_path, EVENTS - 1)
        assert 50 not in numbers(tmp_path)
        (tmp_path / "pause.50").unlink()
        wait_until_heard(tmp_path, 50)
        running.check_idle()
    assert sorted(numbers(tmp_path)) == list(range(EVENTS))
