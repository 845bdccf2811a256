"""Commands beside the main process of a program: how they run, end and are killed."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE, wait_until_gone
from tests.kit.fakes import Recorder, program
from tests.kit.root import needs_root
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.side_command import CommandNotRun, SideCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Commands = Callable[..., SideCommands]

    from trio.testing import MockClock


@pytest.fixture
def commands() -> Iterator[Commands]:
    """Make the commands of a program with these options."""
    with closing(ProcessLauncher()) as launcher:

        def make(**options: object) -> SideCommands:
            recorder = Recorder()
            recorder.host.launch = launcher
            return SideCommands(program("x", **options), "x", recorder.host)

        yield make


def python(code: str) -> str:
    return f'{sys.executable} -I -S -c "{code}"'


@pytest.mark.behaviour("policies.md#commands-of-checks")
async def test_a_command_runs_in_the_surroundings_of_its_program(
    commands: Commands, tmp_path: Path
) -> None:
    runner = commands(directory=str(tmp_path), umask=0o027, environment={"A": "b"})
    code = (
        "import os, sys; print(os.getcwd(), oct(os.umask(0)), os.environ['A'], os.environ['C'], "
        "os.environ['SUPERVISOR_PROCESS_NAME'], os.getpgid(0) == os.getpid(), "
        "repr(sys.stdin.read()), file=sys.stderr)"
    )
    heard: list[bytes] = []
    end = await runner.run(
        python(code), within=PATIENCE, environment={"C": "d"}, output=heard.append
    )
    assert end.succeeded
    assert end.output == f"{tmp_path} 0o27 b d x True ''\n" == b"".join(heard).decode()


@pytest.mark.behaviour("policies.md#commands-of-checks")
async def test_the_end_of_a_command(commands: Commands, tmp_path: Path) -> None:
    runner = commands()
    end = await runner.run(python("print('a'); print('b'); raise SystemExit(3)"), within=PATIENCE)
    assert (str(end.exit), end.last_line, end.succeeded) == ("exit status 3", "b", False)
    end = await runner.run(python("import os; os.kill(os.getpid(), 9)"), within=PATIENCE)
    assert (str(end.exit), end.last_line) == ("terminated by SIGKILL", "")
    end = await runner.run(python("print('x' * 5000 + 'y')"), within=PATIENCE)
    assert end.output == "x" * 1022 + "y\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/nonexistent/x", "can't find command '/nonexistent/x'"),
        ("/", "command at '/' is a directory"),
        ("'", "can't parse command"),
    ],
)
async def test_a_command_that_cannot_be_started(commands: Commands, line: str, why: str) -> None:
    with pytest.raises(CommandNotRun, match=why):
        await commands().run(line, within=PATIENCE)
    with pytest.raises(CommandNotRun, match="couldn't chdir to /nonexistent"):
        await commands(directory="/nonexistent").run("/bin/true", within=PATIENCE)


@pytest.mark.behaviour("policies.md#commands-of-checks")
@pytest.mark.parametrize("way", ["timeout", "cancelled"])
async def test_a_hanging_command_is_killed_with_its_group(
    commands: Commands, tmp_path: Path, way: str, mock_clock: MockClock
) -> None:
    """A shell that ignores all signals that it can, and its child."""
    script = tmp_path / "hanging"
    script.write_text("#!/bin/sh\ntrap '' TERM HUP INT\nsleep 1000 & echo $$ $!\nwait\n")
    script.chmod(0o755)
    runner = commands()
    pids: list[int] = []
    up = trio.Event()

    def heard(data: bytes) -> None:
        pids.extend(map(int, data.split()))
        up.set()

    async with trio.open_nursery() as nursery:

        async def run() -> None:
            end = await runner.run(str(script), within=7, output=heard)
            assert end.exit is None

        nursery.start_soon(run)
        await up.wait()
        if way == "cancelled":
            nursery.cancel_scope.cancel()
        else:
            mock_clock.jump(7)
    for pid in pids:
        await trio.to_thread.run_sync(wait_until_gone, pid)
    assert (await runner.run("/bin/true", within=PATIENCE)).succeeded


@needs_root
async def test_a_command_runs_as_the_user_of_its_program(commands: Commands) -> None:
    end = await commands(uid=65534).run("/usr/bin/id -u", within=PATIENCE)
    assert end.last_line == "65534"


async def test_the_time_of_a_command_counts_while_it_is_launched(mock_clock: MockClock) -> None:
    """A launch that hangs, as from a disk that hangs, holds up nobody, and no other is begun."""
    recorder = Recorder()
    launcher = recorder.launcher
    launcher.gate = trio.Event()
    runner = SideCommands(program("x"), "x", recorder.host)
    outcomes: list[object] = []

    async def run() -> None:
        try:
            outcomes.append((await runner.run("/bin/sh", within=3)).exit)
        except CommandNotRun as error:
            outcomes.append(str(error))

    for _ in range(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await wait_all_tasks_blocked()
            mock_clock.jump(3)
    assert outcomes == [None, "the command before it was killed and has not ended yet"]
    assert len(launcher.times) == 1
    launcher.gate.set()
    await wait_all_tasks_blocked()
    assert launcher.last.signals == [9]
    assert launcher.last.closed
    launcher.prepare = lambda child: child.die(0)
    assert (await runner.run("/bin/sh", within=3)).succeeded


async def test_descriptors_are_closed(commands: Commands) -> None:
    runner = commands()
    await runner.run("/bin/true", within=PATIENCE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await runner.run("/bin/true", within=PATIENCE)
    assert len(os.listdir("/proc/self/fd")) == before
