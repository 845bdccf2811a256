"""The part of the journal that is kept in memory: the last entries, with loops folded.

A crash loop would push everything else out. So when the last entries of a process repeat those
before them, the earlier ones are dropped, and the later ones count how often they happened. From
then on each entry of the loop replaces the one that it repeats. So the entries of a loop are those
of its last turn, and their causes refer to each other.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING

from trio_supervisor.core.journal.entry import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Entries that are kept of each process, and of the daemon itself.
OF_PROCESS = 50
OF_DAEMON = 1000
#: Processes that were removed, of which entries are kept.
REMOVED_PROCESSES = 100
#: Most entries of one turn of a loop: a restart on request has five.
LONGEST_LOOP = 6

_number = attrgetter("number")


class JournalMemory:
    """Keeps the last entries of each process and of the daemon, whose name is empty."""

    def __init__(self) -> None:
        self._of: dict[str, list[JournalEntry]] = {}
        self._removed: dict[str, None] = {}
        """Names of processes that were removed, in this order."""

    def add(self, entry: JournalEntry) -> tuple[list[JournalEntry], tuple[int, ...]]:
        """Keep an entry; return those that are new or count more, and the numbers of those that
        were dropped because they are repeated."""
        kept = self._of.get(entry.process)
        if kept is None:
            kept = self._of[entry.process] = []
        elif self._removed:
            self._removed.pop(entry.process, None)
        kept.append(entry)
        dropped = _fold(kept)
        if len(kept) > (OF_PROCESS if entry.process else OF_DAEMON):
            del kept[0]
        return (kept[-len(dropped) :] if dropped else [entry]), dropped

    def remove(self, process: str) -> None:
        """Note that a process was removed: its entries are kept until many others have been."""
        if process in self._of:
            self._removed.pop(process, None)
            self._removed[process] = None
            if len(self._removed) > REMOVED_PROCESSES:
                oldest = next(iter(self._removed))
                del self._removed[oldest], self._of[oldest]

    def of(self, process: str) -> list[JournalEntry]:
        """Return the entries of one process, oldest first."""
        return list(self._of.get(process, ()))

    def all(self) -> list[JournalEntry]:
        """Return all entries, oldest first."""
        return list(heapq.merge(*self._of.values(), key=_number))

    def find(self, number: int) -> JournalEntry | None:
        """Return the entry with that number; None if it is not kept."""
        for entries in self._of.values():
            place = bisect_left(entries, number, key=_number)
            if place < len(entries) and entries[place].number == number:
                return entries[place]
        return None

    @property
    def count(self) -> int:
        """Number of entries."""
        return sum(map(len, self._of.values()))


def select(
    entries: Iterable[JournalEntry],
    names: Collection[str] = (),
    since: float | None = None,
    kind: str | None = None,
    limit: int | None = None,
) -> list[JournalEntry]:
    """Choose among entries that are sorted by number.

    ``names`` are full names of processes and names of groups; none means all. ``since`` (wall-clock
    seconds) begins with the first entry at or after that time and goes on by number, because the
    clock may have been set back. ``kind`` is what entries are about, or the kind of their cause.
    Of more than ``limit`` entries the last ones are chosen.
    """
    wanted = frozenset(names)
    chosen = []
    begun = since is None
    for entry in entries:
        begun = begun or (since is not None and entry.time >= since)
        if (
            begun
            and (not wanted or not wanted.isdisjoint(_names(entry)))
            and (kind is None or entry.is_of_kind(kind))
        ):
            chosen.append(entry)
    return chosen if limit is None else chosen[max(0, len(chosen) - limit) :]


def _names(entry: JournalEntry) -> tuple[str, ...]:
    """Return the names under which an entry is found."""
    if entry.process:
        return entry.process, entry.process.partition(":")[0]
    return (str(entry.evidence.get("group", "")),)


def _fold(kept: list[JournalEntry]) -> tuple[int, ...]:
    """If the last entry continues or completes a loop, drop what it repeats; return the numbers."""
    last = kept[-1]
    for length in range(1, min(LONGEST_LOOP, len(kept) - 1) + 1):
        earlier = kept[-1 - length]
        if last.new != earlier.new or not last.repeats(earlier):  # most differ there
            continue
        if all(each.count > 1 for each in kept[-1 - length : -1]):
            return _drop(kept, len(kept) - 1 - length, [last])  # a known loop goes on
        turn, before = kept[-length:], kept[-2 * length : -length]
        if len(before) == length and all(map(JournalEntry.repeats, turn, before)):
            return _drop(kept, len(kept) - 2 * length, turn)
    return ()


def _drop(kept: list[JournalEntry], start: int, repetitions: list[JournalEntry]) -> tuple[int, ...]:
    """Drop the entries from ``start`` on that were repeated, and count them in the repetitions."""
    end = start + len(repetitions)
    earlier = kept[start:end]
    for old, new in zip(earlier, repetitions, strict=True):
        new.count += old.count
        new.first = old.first
    del kept[start:end]
    return tuple(old.number for old in earlier)
