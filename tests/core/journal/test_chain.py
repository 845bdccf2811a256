"""Chains of causes, what would start a process, and the words of entries."""

from __future__ import annotations

import math

import pytest

from trio_supervisor.core.config.model import Autorestart, ProcessConfig
from trio_supervisor.core.journal.chain import FORGOTTEN, LONGEST_CHAIN, chain_of, what_starts
from trio_supervisor.core.journal.entry import NO_FACTS, Facts, JournalEntry, What
from trio_supervisor.core.journal.words import sentence
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import MOVES, State


def entry(
    number: int,
    old: str,
    new: str,
    kind: CauseKind,
    cause: int = 0,
    *,
    what: What = What.STATE,
    evidence: Facts = NO_FACTS,
) -> JournalEntry:
    return JournalEntry(
        number, 0.0, 0.0, "", "web", what, old, new, Cause(kind, "", cause), evidence
    )


@pytest.mark.behaviour("journal.md#chain-of-causes")
def test_a_chain() -> None:
    request = entry(3, "", "stop", CauseKind.REQUEST, what=What.REQUEST)
    entries = {
        3: request,
        4: entry(4, "RUNNING", "STOPPING", CauseKind.REQUEST, 3),
        5: entry(5, "STOPPING", "STOPPED", CauseKind.EXIT, 4),
    }
    chain, root = chain_of(entries.values(), entries.get)
    assert [each.number for each in chain] == [5, 4, 3]
    assert root == "request"
    # A request after the last change of state has not led to another one yet.
    later = entry(6, "", "start", CauseKind.REQUEST, what=What.REQUEST)
    assert chain_of([*entries.values(), later], entries.get)[0] == chain
    del entries[3]
    assert chain_of(entries.values(), entries.get)[1] == FORGOTTEN
    assert chain_of([], entries.get) == ((), "")
    assert chain_of([request], entries.get) == ((), "")


@pytest.mark.behaviour("journal.md#chain-of-causes")
def test_a_chain_ends() -> None:
    entries = {n: entry(n, "", "STARTING", CauseKind.POLICY, n - 1) for n in range(1, 100)}
    assert len(chain_of(entries.values(), entries.get)[0]) == LONGEST_CHAIN
    itself = entry(1, "", "STARTING", CauseKind.POLICY, 1)
    assert chain_of([itself], lambda number: itself) == ((itself,), FORGOTTEN)


@pytest.mark.behaviour("journal.md#what-would-start-it")
@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        (ProcessRecord(), {}, "next start of the supervisor (autostart)"),
        (ProcessRecord(), {"autostart": False}, "autostart is off"),
        (
            ProcessRecord(state=State.EXITED, due=12.4),
            {},
            "it is started again in 2 s",
        ),
        (ProcessRecord(state=State.BACKOFF, due=9.0), {}, "startretries: it is started again in 0"),
        (
            ProcessRecord(state=State.EXITED),
            {"autorestart": Autorestart.NEVER},
            "autorestart is off",
        ),
        (
            ProcessRecord(state=State.EXITED, last_exit=Exit(0)),
            {},
            "autorestart=unexpected ignores an expected end",
        ),
        (ProcessRecord(state=State.EXITED, last_exit=Exit(1)), {}, "a request to start it"),
        (ProcessRecord(state=State.FATAL), {}, "startretries=3 is used up"),
        (ProcessRecord(state=State.UNKNOWN), {}, "cannot be controlled"),
        (ProcessRecord(state=State.RUNNING), {}, ""),
    ],
)
def test_what_would_start_it(
    record: ProcessRecord, options: dict[str, object], expected: str
) -> None:
    config = ProcessConfig("web", "web", **options)  # type: ignore[arg-type]  # from the table above
    told = what_starts(config, record, 10.0)
    assert expected in told
    assert bool(expected) == bool(told)
    assert record.due == math.inf or "again" in told


def test_every_move_of_every_kind_has_words() -> None:
    for old, targets in MOVES.items():
        for new in targets:
            for kind in CauseKind:
                words = sentence(entry(1, old.name, new.name, kind))
                assert words[0].islower()
                assert "\n" not in words
    for what in What:
        if what is not What.STATE:
            assert sentence(entry(1, "", "x", CauseKind.REQUEST, what=what))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            entry(
                1,
                "",
                "added",
                CauseKind.CONFIGURATION,
                what=What.CONFIGURATION,
                evidence={"group": "web", "options": "command", "file": "/x.conf"},
            ),
            "group web added, changed: command (/x.conf)",
        ),
        (
            entry(1, "", "", CauseKind.CLOCK, what=What.CLOCK, evidence={"seconds": 60.5}),
            "the system clock was set back by 60.5 s",
        ),
        (
            entry(1, "healthy", "unhealthy", CauseKind.PROBE, what=What.VERDICT),
            "now unhealthy, was healthy",
        ),
        (
            entry(
                1,
                "RUNNING",
                "EXITED",
                CauseKind.EXIT,
                evidence={"exit": "exit status 3", "expected": False, "lifetime": 2.5},
            ),
            "ended by itself: exit status 3 (not expected), lived 2.5 s",
        ),
    ],
)
def test_words(told: JournalEntry, words: str) -> None:
    assert sentence(told) == words
