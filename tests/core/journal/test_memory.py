"""What the journal keeps in memory."""

from __future__ import annotations

import itertools

import pytest

from trio_supervisor.core.journal.entry import NO_FACTS, Facts, JournalEntry, What
from trio_supervisor.core.journal.memory import (
    OF_DAEMON,
    OF_PROCESS,
    REMOVED_PROCESSES,
    JournalMemory,
    select,
)
from trio_supervisor.core.process.cause import EXIT, POLICY, Cause, CauseKind

ANN = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")


class Book:
    """A memory, and entries with consecutive numbers whose times are the same as the numbers."""

    def __init__(self) -> None:
        self.memory = JournalMemory()
        self._numbers = itertools.count(1)

    def add(
        self,
        new: str,
        *,
        process: str = "web",
        cause: Cause = POLICY,
        what: What = What.STATE,
        evidence: Facts = NO_FACTS,
        time: float | None = None,
    ) -> tuple[int, ...]:
        number = next(self._numbers)
        at = float(number) if time is None else time
        entry = JournalEntry(
            *(number, at, at, "boot", process, what, "", new, cause, evidence), first=at
        )
        changed, dropped = self.memory.add(entry)
        assert changed[-1] is entry
        assert len(changed) == max(1, len(dropped))
        return dropped

    def shown(self, process: str = "web") -> list[tuple[str, int, float]]:
        return [(entry.new, entry.count, entry.first) for entry in self.memory.of(process)]


@pytest.mark.behaviour("journal.md#loops-are-folded")
def test_a_crash_loop_keeps_its_last_turn() -> None:
    book = Book()
    book.add("STARTING", cause=ANN)
    assert book.add("RUNNING", evidence={"pid": 11}) == ()
    assert book.add("EXITED", cause=EXIT, evidence={"exit": "exit status 1", "pid": 11}) == ()
    dropped: list[int] = []
    for turn in range(4):
        dropped += book.add("STARTING")
        dropped += book.add("RUNNING", evidence={"pid": turn})
        dropped += book.add("EXITED", cause=EXIT, evidence={"exit": "exit status 1", "pid": turn})
    assert book.shown() == [
        ("STARTING", 1, 1.0),
        ("STARTING", 4, 4.0),
        ("RUNNING", 5, 2.0),
        ("EXITED", 5, 3.0),
    ]
    assert [entry.number for entry in book.memory.of("web")] == [1, 13, 14, 15]
    assert sorted(dropped) == [2, 3, *range(4, 13)]


@pytest.mark.behaviour("journal.md#loops-are-folded")
def test_a_loop_that_goes_on_replaces_entry_by_entry() -> None:
    book = Book()
    for _ in range(3):
        for state in ("STARTING", "RUNNING", "EXITED"):
            book.add(state)
    assert book.add("STARTING") == (7,)
    assert book.shown() == [("RUNNING", 3, 2.0), ("EXITED", 3, 3.0), ("STARTING", 4, 1.0)]
    book.add("STOPPING", cause=ANN)  # the end of the loop
    book.add("RUNNING")
    assert [count for _, count, _ in book.shown()] == [3, 3, 4, 1, 1]


@pytest.mark.behaviour("journal.md#loops-are-folded")
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({}, {}, True),
        ({"evidence": {"exit": "exit status 1"}}, {"evidence": {"exit": "exit status 2"}}, False),
        ({"evidence": {"stderr": "a", "lifetime": 1.0}}, {"evidence": {"stderr": "b"}}, True),
        ({"cause": ANN}, {"cause": POLICY}, False),
        ({"what": What.REQUEST}, {"what": What.STATE}, False),
        (
            {"cause": Cause(CauseKind.REQUEST, "uid 0 (cron, pid 7 at connect)")},
            {"cause": Cause(CauseKind.REQUEST, "uid 0 (cron, pid 9 at connect)")},
            True,
        ),
        (
            {"cause": Cause(CauseKind.REQUEST, "uid 0 (pid 7 at connect)")},
            {"cause": Cause(CauseKind.REQUEST, "uid 1 (pid 7 at connect)")},
            False,
        ),
    ],
)
def test_what_counts_as_the_same(
    first: dict[str, object], second: dict[str, object], same: bool
) -> None:
    book = Book()
    book.add("x", **first)  # type: ignore[arg-type]  # the table has the right types
    book.add("x", **second)  # type: ignore[arg-type]  # as above
    assert len(book.shown()) == (1 if same else 2)


@pytest.mark.behaviour("journal.md#bounds-of-the-journal-in-memory")
def test_bounds() -> None:
    book = Book()
    for number in range(OF_DAEMON + 10):
        book.add(str(number))
        book.add(str(number), process="")
    assert len(book.memory.of("web")) == OF_PROCESS
    assert len(book.memory.of("")) == OF_DAEMON
    assert book.shown()[-1][0] == str(OF_DAEMON + 9)
    assert book.memory.count == OF_PROCESS + OF_DAEMON


@pytest.mark.behaviour("journal.md#bounds-of-the-journal-in-memory")
def test_removed_processes() -> None:
    book = Book()
    book.memory.remove("never seen")
    for number in range(REMOVED_PROCESSES + 2):
        book.add("STARTING", process=f"p{number}")
        book.memory.remove(f"p{number}")
        book.add("STARTING", process="p0")  # added again: it is not forgotten
    assert book.shown("p1") == []
    assert len(book.shown("p2")) == 1
    assert len(book.shown("p0")) == 1


def test_entries_are_found_by_number() -> None:
    book = Book()
    for name in ("", "a", "b", "a", ""):
        book.add(name, process=name)
    found = [book.memory.find(number) for number in range(1, 6)]
    # Those of the daemon and of a repeat an earlier one, which is dropped.
    assert [None if each is None else each.process for each in found] == [None, None, "b", "a", ""]
    assert book.memory.find(6) is None
    assert [entry.number for entry in book.memory.all()] == [3, 4, 5]


@pytest.mark.behaviour("journal.md#choosing-entries", "journal.md#numbers-order-the-entries")
def test_choosing() -> None:
    book = Book()
    book.add("STARTING", time=100)
    book.add("added", process="", what=What.CONFIGURATION, evidence={"group": "grp"}, time=200)
    book.add("EXITED", process="grp:a", cause=EXIT, time=300)
    book.add("RUNNING", process="grp:b", time=50)  # the clock was set back
    book.add("restart", cause=ANN, what=What.REQUEST, time=60)
    entries = book.memory.all()

    def numbers(**wanted: object) -> list[int]:
        return [entry.number for entry in select(entries, **wanted)]  # type: ignore[arg-type]  # the table has the right types

    assert numbers() == [1, 2, 3, 4, 5]
    assert numbers(names=["web"]) == [1, 5]
    assert numbers(names=["grp"]) == [2, 3, 4]
    assert numbers(names=["grp:a", "web"]) == [1, 3, 5]
    assert numbers(since=150) == [2, 3, 4, 5]
    assert numbers(since=400) == []
    assert numbers(kind="exit") == [3]
    assert numbers(kind="request") == [5]
    assert numbers(kind="state") == [1, 3, 4]
    assert numbers(limit=2) == [4, 5]
    assert numbers(limit=0) == []
