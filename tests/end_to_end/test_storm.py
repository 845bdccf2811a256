"""A storm of requests, kills and signals on the real daemon with real children.

The same with every order of events that there is, but with fakes, is in
``runtime/process/test_lifecycle_machine.py`` and ``runtime/test_supervisor_machine.py``.
"""

from __future__ import annotations

import os
import random
import signal
import xmlrpc.client
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.probe import children as child_pids
from tests.kit.daemon import Daemon, daemon, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = 250
#: What requests that come at the wrong moment are answered with.
REFUSALS = {20, 30, 40, 50, 60, 70}
PROGRAMS = {
    "steady": "command=/bin/cat\nautorestart=true\n",
    "deaf": "command=/bin/sh -c \"trap '' TERM; while :; do read x; done\"\nstopwaitsecs=0\n",
    "fails": "command=/bin/false\nstartretries=3\nstartsecs=1\n",
    "short": "command=/bin/sh -c 'sleep 0.05'\nautorestart=true\n",
    "missing": "command=/nonexistent/program\nstartretries=1\n",
    "group-signals": "command=/bin/sh -c 'sleep 1000 & wait'\nstopasgroup=true\n",
}


def children(pid: int) -> set[int]:
    return child_pids(pid)


def infos(running: Daemon) -> list[dict[str, object]]:
    found = running.rpc.getAllProcessInfo()
    assert isinstance(found, list)
    return found


def kill_one(running: Daemon, chance: random.Random) -> None:
    pids = sorted(children(running.process.pid))
    if pids:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), chance.choice([signal.SIGKILL, signal.SIGTERM]))


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_storm_every_state_is_true(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    text = (
        "".join(
            f"[program:{name}]\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n{options}"
            for name, options in PROGRAMS.items()
            if name != "fails"
        )
        + f"[program:fails]\n{PROGRAMS['fails']}"
    )
    with daemon(tmp_path, text) as running:
        rpc = running.rpc
        requests: list[Callable[[str], object]] = [
            lambda name: rpc.startProcess(name, False),
            lambda name: rpc.startProcess(name, True),
            lambda name: rpc.stopProcess(name, False),
            lambda name: rpc.stopProcess(name, True),
            lambda name: rpc.signalProcess(name, chance.choice(["CONT", "KILL", "HUP"])),
            lambda name: rpc.startProcessGroup(name, False),
            lambda name: rpc.stopAllProcesses(False),
            lambda name: kill_one(running, chance),
            lambda name: kill_one(running, chance),
            lambda name: running.signal(signal.SIGUSR2),
        ]
        faults = set()
        for _ in range(OPERATIONS):
            try:
                chance.choice(requests)(chance.choice(list(PROGRAMS)))
            except xmlrpc.client.Fault as fault:
                faults.add(fault.faultCode)
        assert faults <= REFUSALS
        # Both at once: what is said, and what the kernel says.
        eventually(
            lambda: {info["pid"] for info in infos(running)} - {0} == children(running.process.pid),
            "the pids of all children",
        )
        rpc.stopAllProcesses()
        held = {"STOPPED", "FATAL", "EXITED"}
        for name in PROGRAMS:
            with suppress(xmlrpc.client.Fault):
                rpc.stopProcess(name)
        eventually(lambda: set(running.states().values()) <= held, "rest")
        assert {info["pid"] for info in infos(running)} == {0}
        assert children(running.process.pid) == set()
        assert "internal error" not in running.log
        assert running.stop() == 0
