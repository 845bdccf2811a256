"""Leftovers that do not end, or may not be signalled, do not hold up a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.config import load
from trio_supervisor.core.process.cause import BOOT
from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.process import leftover_stop
from trio_supervisor.runtime.spawn import sweep
from trio_supervisor.runtime.spawn.members import ProcessStat
from trio_supervisor.runtime.spawn.owned import Owned, OwnedTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.core.process.start import Key

MAIN, CHILD = Member(31, 5000), Member(32, 5001)


def stat(member: Member, group: int) -> ProcessStat:
    return ProcessStat("D", 1, group, 10, member.started)


async def in_this_thread(function: Callable[..., object], *arguments: object) -> object:
    await trio.lowlevel.checkpoint()
    return function(*arguments)


async def end(
    monkeypatch: pytest.MonkeyPatch, options: str, error: OSError | None
) -> tuple[list[str], list[str]]:
    """End leftovers that live for ever; return the lines of the log, and the entries."""
    owned = Owned(((MAIN, stat(MAIN, MAIN.pid)), (CHILD, stat(CHILD, MAIN.pid))), {})

    def find_owned(path: str) -> dict[Key, Owned]:
        return {("x", "x"): owned}

    def signal_member(
        member: Member, number: int, found: Callable[[], object] = lambda: None
    ) -> None:
        if error is not None:
            raise error
        found()

    for module in (leftover_stop, sweep):
        monkeypatch.setattr(module, "in_thread_if_possible", in_this_thread)
        monkeypatch.setattr(module, "signal_member", signal_member)
    monkeypatch.setattr(leftover_stop, "find_owned", find_owned)
    monkeypatch.setattr(leftover_stop, "lives", lambda member: True)
    monkeypatch.setattr(OwnedTree, "members", lambda self, main_lives: [MAIN, CHILD])
    config = load(
        f"[supervisord]\nextended=true\nsurvive=kill\n[program:x]\ncommand=a\n{options}\n"
    )
    lines: list[str] = []

    def log(severity: Severity, text: str) -> None:
        lines.append(f"{severity.name} {text}")

    journal = Journal()
    await leftover_stop.end_leftovers(config, journal, None, log, BOOT)
    return lines, [f"{e.new} {e.evidence['pids']}" for e in journal.memory.all()]


@pytest.mark.behaviour("policies.md#while-leftovers-end")
async def test_what_the_kernel_holds_up_is_given_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    lines, entries = await end(monkeypatch, "stopwaitsecs=20", None)
    assert 25 <= trio.current_time() - began < 26
    text = "x of an earlier daemon (pid 31)"
    assert lines == [
        f"WARN killing {text} with SIGTERM",
        f"WARN killing {text} with SIGKILL",
        f"CRITICAL {text} does not end although it was killed; it is left alone",
    ]
    assert entries == ["not ended 31"]


@pytest.mark.behaviour("policies.md#while-leftovers-end")
async def test_so_is_what_a_tree_has_left(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    lines, entries = await end(monkeypatch, "stopwaitsecs=20\nkill_mode=tree", None)
    assert 50 <= trio.current_time() - began < 52
    given_up = "does not end although it was killed; it is left alone"
    assert [line for line in lines if given_up in line] == [
        f"CRITICAL x of an earlier daemon (pid {pid}) {given_up}" for pid in (31, 32)
    ]
    assert entries == ["not ended 31, 32"]


@pytest.mark.behaviour("policies.md#while-leftovers-end")
async def test_what_may_not_be_signalled_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    error = PermissionError(1, "Operation not permitted")
    lines, entries = await end(monkeypatch, "stopasgroup=true", error)
    assert trio.current_time() - began < 1
    assert lines == [
        "CRITICAL x of an earlier daemon (pid 31) cannot be signalled: Operation not permitted; "
        "it is left alone"
    ]
    assert entries == ["not ended 31"]
