"""The order in which a shutdown stops processes where some depend on others.

A process gets its stop signal when all that depend on it have ended. A group without any edge has
its turn as ever: when the groups behind it in the start order have ended. Listener pools are last,
so that they hear of the end of all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trio_supervisor.core.process.start import Key


@dataclass(frozen=True, slots=True)
class StoppedGroup:
    """A group that is to stop, with its processes in start order."""

    members: Sequence[Key]
    is_pool: bool = False


class StopOrder:
    """Decides who gets its stop signal next; the groups are given in start order."""

    def __init__(
        self, groups: Sequence[StoppedGroup], dependents: Mapping[Key, Iterable[Key]]
    ) -> None:
        self._rank = {key: rank for rank, key in enumerate(k for g in groups for k in g.members)}
        self._group_of = {key: index for index, group in enumerate(groups) for key in group.members}
        self._pools = {index for index, group in enumerate(groups) if group.is_pool}
        self._left = [len(group.members) for group in groups]
        """How many of each group have not ended."""
        self._dependents: dict[Key, set[Key]] = {key: set() for key in self._rank}
        self._needed: dict[Key, list[Key]] = {key: [] for key in self._rank}
        for key, others in dependents.items():
            for other in others:
                if key in self._rank and other in self._rank and other != key:
                    self._dependents[key].add(other)
                    self._needed[other].append(key)
        self._with_edges = {
            self._group_of[key] for key in self._rank if self._dependents[key] or self._needed[key]
        }
        self._untold = dict.fromkeys(sorted(self._rank, key=self._rank.__getitem__, reverse=True))
        self._told: set[Key] = set()

    def ready(self) -> list[Key]:
        """Return the processes that get their stop signal now, last started first; each is returned
        once.

        If nobody can and nobody is about to end, because of a cycle, one goes first nevertheless.
        """
        left = [index for index, count in enumerate(self._left) if count]
        last = max((index for index in left if index not in self._pools), default=-1)
        last_pool = max((index for index in left if index in self._pools), default=-1)
        found = [key for key in self._untold if self._may_stop(key, last, last_pool)]
        if not found and self._untold and not self._told:
            found = [self._least_wrong()]
        for key in found:
            del self._untold[key]
            self._told.add(key)
        return found

    def ended(self, key: Key) -> None:
        """Take note that a process has ended, or that it was not running."""
        self._told.discard(key)
        self._untold.pop(key, None)
        if self._has_ended(key):
            return
        self._left[self._group_of[key]] -= 1
        del self._dependents[key]
        for needed in self._needed[key]:
            if not self._has_ended(needed):
                self._dependents[needed].discard(key)

    def _has_ended(self, key: Key) -> bool:
        return key not in self._dependents

    def _may_stop(self, key: Key, last: int, last_pool: int) -> bool:
        """``last`` and ``last_pool`` are the last groups of which something runs; -1: none."""
        if self._dependents[key]:
            return False
        group = self._group_of[key]
        if group in self._pools:
            return last == -1 and group == last_pool
        return group in self._with_edges or group == last

    def _least_wrong(self) -> Key:
        """Of those that wait for each other: one that holds up others and that nobody needs, as a
        pool that depends on a program; else the last started."""
        free = [key for key in self._untold if not self._dependents[key]]
        holding = [key for key in free if any(not self._has_ended(k) for k in self._needed[key])]
        return (holding or free or list(self._untold))[0]
