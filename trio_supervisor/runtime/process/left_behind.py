"""Tells which processes the children of a program have left behind.

After the end of a child others of its process group, or of its cgroup, may still be about to end,
because they had the same signal or read from it. So they get a moment, and only what lives after it
is told: in the journal and the details. Nothing is looked for beyond that group and that cgroup.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.process.cause import EXIT
from trio_supervisor.runtime.spawn.members import member_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.process.member import Member
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.cgroups.node import Node
    from trio_supervisor.runtime.journal.journal import Journal

#: Seconds that what is left gets to end by itself.
GRACE = 1.0
#: Processes that are kept of each program; the latest ones.
MOST = 50


class LeftBehind:
    """What the last child has left, until it is told."""

    def __init__(
        self,
        full_name: str,
        record: ProcessRecord,
        journal: Journal,
        found: Iterable[Member],
        node: Node | None,
    ) -> None:
        """``node`` is the cgroup that can be removed when all have ended; None: there is none."""
        self.due = trio.current_time() + GRACE
        """When it is to be told; a start does not wait for that. Infinite: it was told."""
        self._journal = journal
        self._name = full_name
        self._record = record
        self._found = frozenset(found)
        self._node = node
        self._entry = record.entry

    def tell(self) -> None:
        """Record those that still live, in the record of the process and in the journal, once."""
        if self.due == math.inf:
            return
        self.due = math.inf
        living = [member for member in self._found if lives(member)]
        if not living and self._node is not None:
            self._node.remove()
        known = [member for member in self._record.left_behind if lives(member)]
        new = sorted((m for m in living if m not in known), key=lambda member: member.pid)
        self._record.left_behind = (*known, *new)[-MOST:]
        if new:
            pids = ", ".join(str(member.pid) for member in new[:MOST])
            cause = EXIT.of(self._entry)
            self._journal.record(self._name, What.LEFTOVER, cause, evidence={"pids": pids})


def lives(member: Member) -> bool:
    """Whether it has not ended."""
    return member_of(member.pid) == member
