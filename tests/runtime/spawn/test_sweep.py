"""The end of what a program has left: in which order, and what cannot be ended."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kit.fakes import log_lines
from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.spawn import sweep as module
from trio_supervisor.runtime.spawn.members import member_of, members_of_group, signal_member
from trio_supervisor.runtime.spawn.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY_HAS = 2**22 + 1
"""A pid above the largest."""


class Found:
    """A finder that knows its members."""

    def __init__(self, *members: Member, reaches_all: bool = False) -> None:
        self.living = [*members]
        self.reaches_all = reaches_all

    def members(self, *, main_lives: bool) -> list[Member]:
        return [*self.living]

    def kill_all(self) -> None:
        if self.reaches_all:
            self.living.clear()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is sent to whom, in place of sending it; there is no patience."""
    sent: list[tuple[int, int]] = []

    def signal_nobody(member: Member, number: int, found: Callable[[], object]) -> None:
        found()
        sent.append((member.pid, number))
        if member.pid < 0:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module, "signal_member", signal_nobody)
    monkeypatch.setattr(module, "LEAST_PATIENCE", 0.05)
    monkeypatch.setattr(module, "LOOK_INTERVAL", 0.01)
    return sent


@pytest.mark.behaviour("policies.md#processes-left-behind")
async def test_what_may_not_be_signalled_is_told_and_left(signals: list[tuple[int, int]]) -> None:
    lines: list[str] = []
    sweep = Sweep("x", 5, Found(Member(-7, 1), Member(5, 1)), log_lines(lines))
    await sweep.run(0.0)
    assert sweep.refused == {Member(-7, 1)}
    assert signals == [(-7, signal.SIGTERM)]  # and nothing to the main process
    assert lines[-1] == (
        "WARN x has left pid -7 behind, which cannot be signalled: Operation not permitted"
    )


@pytest.mark.behaviour("policies.md#kill_mode-in-a-cgroup")
async def test_the_kernel_kills_what_may_not_be_signalled(signals: list[tuple[int, int]]) -> None:
    sweep = Sweep("x", 5, Found(Member(-7, 1), reaches_all=True), log_lines([]))
    await sweep.run(0.0)
    assert sweep.refused == set()
    assert [number for _, number in signals] == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.behaviour("policies.md#kill_mode")
async def test_the_pid_of_a_main_process_that_was_reaped_is_another_one(
    signals: list[tuple[int, int]],
) -> None:
    sweep = Sweep("x", 5, Found(Member(5, 9), reaches_all=True), log_lines([]))
    sweep.main_lives = False
    await sweep.run(0.0)
    assert signals == [(5, signal.SIGTERM), (5, signal.SIGKILL)]


@pytest.mark.behaviour("policies.md#kill_mode")
def test_a_later_process_of_the_same_pid_gets_no_signal() -> None:
    with subprocess.Popen(["sleep", "1000"], process_group=0) as child:
        member = member_of(child.pid)
        assert member is not None
        signal_member(Member(child.pid, member.started + 1), signal.SIGKILL)
        assert child.poll() is None
        assert members_of_group(child.pid) == [member]
        signal_member(member, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert member_of(child.pid) is None
    assert members_of_group(child.pid) == []
    signal_member(Member(NOBODY_HAS, 1), signal.SIGKILL)
