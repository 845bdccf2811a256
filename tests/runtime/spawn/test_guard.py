"""No program outlives its supervising program, and no group its child; real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.daemon import wait_until_gone
from tests.kit.pipes import PATIENCE
from trio_supervisor import open_supervisor

if TYPE_CHECKING:
    from trio_supervisor import Process

#: Leaves a process in its group, and tells which.
PARENT = "sleep 3600 & echo $!; exec sleep 3600"
LEAVER = "sleep 3600 & echo $!"


async def grandchild(process: Process) -> int:
    with process.output() as output:
        await process.start()
        return int(await anext(output.lines()))


async def test_what_a_child_leaves_in_its_group_is_killed() -> None:
    async with open_supervisor(kill_groups=True) as supervisor:
        parent = supervisor.add_program(
            "parent", ["/bin/sh", "-c", PARENT], startsecs=0, autostart=False
        )
        leaver = supervisor.add_program(
            "leaver",
            ["/bin/sh", "-c", LEAVER],
            startsecs=0,
            autorestart=False,
            autostart=False,
        )
        left = [await grandchild(parent), await grandchild(leaver)]
        await leaver.wait()
        wait_until_gone(left[1])
        await parent.stop()
        wait_until_gone(left[0])
        await parent.start()
        assert parent.history.spawns == 2


SCRIPT = """
import trio
from trio_supervisor import open_supervisor

async def main():
    async with open_supervisor(die_with_parent=True) as supervisor:
        for name, command in COMMANDS:
            process = supervisor.add_program(
                name, ["/bin/sh", "-c", command], startsecs=0, autostart=False, autorestart=False)
            with process.output() as output:
                await process.start()
                print(process.pid, await anext(output.lines()), flush=True)
        await supervisor.process("short").wait()
        print("ready", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_program_takes_its_children_along(number: int) -> None:
    commands = [
        ("parent", PARENT),
        ("deaf", "trap '' TERM; echo 0; sleep 3600"),
        ("short", "echo 0"),
    ]
    script = SCRIPT.replace("COMMANDS", repr(commands))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pids: list[int] = []
        for line in program.stdout:
            if line == "ready\n":
                break
            pids += map(int, line.split())
        program.send_signal(number)
        program.wait(60)
    assert len(pids) == 6
    for pid in pids:
        if pid:
            wait_until_gone(pid)


async def test_the_guard_ends_with_the_block() -> None:
    def guards() -> set[str]:
        found = set()
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
                is_guard = b"guard_process" in (directory / "cmdline").read_bytes()
                if parent == str(os.getpid()) and is_guard:
                    found.add(directory.name)
        return found

    before = guards()
    async with open_supervisor(die_with_parent=True) as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for("RUNNING")
        with trio.fail_after(PATIENCE):
            while not (found := guards() - before):  # it has no command line until its exec is over
                await trio.lowlevel.checkpoint()
        assert len(found) == 1
        await cat.stop()
    assert not guards() - before
