"""Who belongs to a program of an earlier daemon, for ``kill_mode = tree``."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import eventually
from tests.kit.late_reaper import LateReaper
from trio_supervisor.core.process.member import Adoption, Member
from trio_supervisor.runtime.spawn.members import all_processes, read_file
from trio_supervisor.runtime.spawn.tree import ProcessTree, mark

if TYPE_CHECKING:
    from collections.abc import Iterator

DAEMON = Member(4711, 1)
NAME = f"web:{os.getpid()}"  # of this run of the tests alone
#: Has a process in its session, whose parent ends, and one outside of it that has only the mark.
PROGRAM = f"""\
if not os.fork():
    if os.fork(): os._exit(0)
    os.setpgid(0, 0); signal.pause()
if not os.fork():
    if os.fork(): os._exit(0)
    os.setsid(); os.execve('/bin/sleep', ['sleep', '600'], {mark(NAME, DAEMON)})
signal.pause()
"""


@pytest.fixture
def reaper() -> Iterator[LateReaper]:
    with LateReaper() as reaper:
        yield reaper


def of_session(program: Member) -> set[int]:
    found = all_processes().items()
    return {
        pid
        for pid, stat in found
        if stat.session == program.pid != pid and stat.group == pid and not stat.has_ended
    }


def marked() -> set[int]:
    value = "=".join(*mark(NAME, DAEMON).items()).encode()
    found = set()
    for pid in all_processes():
        try:
            if value in read_file(f"/proc/{pid}/environ").split(b"\0"):
                found.add(pid)
        except OSError:
            continue
    return found


@pytest.mark.behaviour("policies.md#kill_mode")
@pytest.mark.parametrize("main", ["lives", "is a zombie", "was reaped"])
def test_what_belongs_to_a_program_of_an_earlier_daemon(reaper: LateReaper, main: str) -> None:
    """The mark is that of the daemon that has started it; no other daemon's program is found."""
    program = reaper.run(PROGRAM, leads_session=True)
    in_session = eventually(lambda: of_session(program))
    outside = eventually(marked)
    try:
        if main != "lives":
            reaper.end(program, signal.SIGKILL)
        if main == "was reaped":
            reaper.reap(program)
        found = ProcessTree(NAME, program.pid, Adoption(program.started, DAEMON)).members(
            main_lives=main == "lives"
        )
        own = {program.pid} if main == "lives" else set()
        assert {member.pid for member in found} == in_session | outside | own
        nobody = 2**22 + 1  # a pid above the largest
        other = ProcessTree("web:y", nobody, Adoption(program.started, DAEMON))
        assert other.members(main_lives=False) == []
    finally:
        for pid in in_session | outside:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour("policies.md#kill_mode")
@pytest.mark.parametrize("main_lives", [False, True])
def test_the_session_of_a_stranger_is_not_that_of_a_program(
    reaper: LateReaper, main_lives: bool
) -> None:
    """It has the pid of a program that was reaped by another process, unnoticed as yet or not."""
    stranger = reaper.run(PROGRAM, leads_session=True)
    in_session = eventually(lambda: of_session(stranger))
    outside = eventually(marked)
    try:
        tree = ProcessTree("web:z", stranger.pid, Adoption(stranger.started - 1, DAEMON))
        assert tree.members(main_lives=main_lives) == []
    finally:
        for pid in in_session | outside:
            os.kill(pid, signal.SIGKILL)
