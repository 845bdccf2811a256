"""What is found of the programs of a killed daemon whose keeper was killed too."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import eventually
from trio_supervisor.core.adoption import FirstStep
from trio_supervisor.core.config.model import Config, GroupConfig, ProcessConfig
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.member import Member
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.adoption.keeper import Held
from trio_supervisor.runtime.adoption.left import Left, left_of
from trio_supervisor.runtime.spawn.members import member_of, read_stat
from trio_supervisor.runtime.spawn.owned import Owned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_supervisor.core.handover.state import HandedChild

CAUSE = Cause(CauseKind.ADOPTION)
DAEMON = Member(2**22 + 1, 1)
CONFIG = Config(groups=(GroupConfig("x", processes=(ProcessConfig("x", "sleep 1000"),)),))
PROGRAM = """\
import os, sys
os.write(1, b"first\\n")
print(repr(os.read(0, 100)))
sys.stdout.flush()
os.read(0, 100)
"""


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    """A program that was started with pipes whose other ends are closed or not, by the test."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        bufsize=0,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


async def found(program: subprocess.Popen[bytes], left: Left) -> HandedChild:
    member, stat = member_of(program.pid), read_stat(program.pid)
    assert member is not None
    assert stat is not None
    owned = {("x", "x"): Owned(((member, stat),), {member: DAEMON})}
    [group] = left.groups(CONFIG, owned, CAUSE)
    [process] = group.processes
    assert process.child is not None
    assert process.record.adoption is not None
    assert process.record.adoption.daemon == DAEMON
    assert process.record.state is State.STARTING
    assert left.steps == {("x", "x"): FirstStep.FOUND}
    return process.child


@pytest.mark.behaviour("policies.md#who-is-adopted")
async def test_orphaned_pipes_are_opened_again(program: subprocess.Popen[bytes]) -> None:
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stdout.read(100) == b"first\n"
    stdin = os.dup(program.stdin.fileno())  # a program that reads would get an end of file
    program.stdout.close()
    left = Left()
    child = await found(program, left)
    assert child.stdout is not None
    assert child.stderr is None
    assert child.stdin is None  # somebody else can write to it
    os.write(stdin, b"text")
    stdout = child.stdout
    eventually(lambda: select.select([stdout], [], [], 0)[0], "output")
    assert os.read(stdout, 100) == b"b'text'\n"
    os.close(stdout)
    os.close(stdin)
    assert left.problems == []


@pytest.mark.behaviour("policies.md#who-is-adopted")
async def test_pipes_of_others_are_left_alone(program: subprocess.Popen[bytes]) -> None:
    assert program.stdin is not None
    child = await found(program, Left())
    assert (child.stdin, child.stdout, child.stderr) == (None, None, None)


@pytest.mark.behaviour("policies.md#who-is-adopted")
async def test_a_child_that_was_being_made_gets_the_pipes_that_were_kept(
    program: subprocess.Popen[bytes],
) -> None:
    read, write = os.pipe()
    left = left_of({"child\0x\0x": Held("stdin stdout", (write, read))})
    child = await found(program, left)
    assert (child.stdin, child.stdout) == (write, read)
    left.close()
    os.close(read)
    os.close(write)


@pytest.mark.behaviour("policies.md#who-is-adopted")
async def test_an_orphaned_stdin_is_opened_again(program: subprocess.Popen[bytes]) -> None:
    """By the time of the adoption the program may have read an end of file, or not looked yet."""
    os.kill(program.pid, signal.SIGSTOP)
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.close()
    child = await found(program, Left())
    os.kill(program.pid, signal.SIGCONT)
    assert child.stdin is not None
    os.write(child.stdin, b"text")
    os.close(child.stdin)
    lines = program.stdout.read(100) + program.stdout.read(100)
    assert b"b'text'" in lines or b"b''" in lines


async def test_what_nobody_takes_over_is_closed() -> None:
    """Also a state that is not understood, and keys of another version."""
    pipes = [fd for _ in range(3) for fd in os.pipe()]
    names = ("state", "child\0y\0y", "socket\0y\0url", "server\0unix", "other")
    notes = ("", "7 1 stdout", "", "[]", "")
    taken = {name: Held(note, (fd,)) for name, note, fd in zip(names, notes, pipes, strict=False)}
    os.close(pipes[-1])
    left = left_of(taken)
    assert "is of no use" in left.problems[0]
    left.close()
    for fd in pipes:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


@pytest.mark.parametrize(
    ("key", "note", "count"),
    [
        ("state", "", 0),
        ("child\0y\0y", "7 1 stdout stdin", 1),
        ("child\0y\0y", "7 once stdout", 1),
        ("child\0y\0y", "7", 1),
        ("socket\0y\0url", "", 0),
        ("server\0unix", "", 1),
        ("server\0unix", "[1]", 1),
        ("server\0unix", '["a", 3]', 1),
        ("server\0unix", '["a", null]', 0),
    ],
)
async def test_what_another_version_has_given_to_the_keeper_ends_no_start(
    key: str, note: str, count: int
) -> None:
    pipes = [*os.pipe()]
    os.close(pipes.pop())
    left = left_of({key: Held(note, tuple(pipes[:count]))})
    (problem,) = left.problems
    assert "is of no use" in problem
    assert key.replace("\0", " ") in problem
    left.close()
    for fd in pipes[count:]:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipes[0])
