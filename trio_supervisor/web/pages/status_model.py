"""The content of the status page for one viewer, as pieces of HTML.

The page combines them; the live feed sends those that have changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import BadName
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.web.pages import process_view as view
from trio_supervisor.web.pages.event_view import event_item
from trio_supervisor.web.pages.layout import visible

if TYPE_CHECKING:
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.pages.forms import Viewer

TROUBLE, NAME = "trouble", "name"
#: Sort orders of the table, with their titles; those of GROUPED come first.
SORTS = {
    TROUBLE: "Trouble first",
    NAME: "Group and name",
    "state": "State",
    "cpu": "CPU",
    "memory": "Memory",
    "uptime": "Uptime",
    "pid": "PID",
    "restarts": "Restarts",
}
#: Sort orders that keep groups together.
GROUPED = frozenset({TROUBLE, NAME})
#: Prefix of a sort order that reverses it.
REVERSED = "-"


@dataclass(frozen=True, slots=True)
class SortOrder:
    """The sort order of the table."""

    key: str = TROUBLE
    is_reversed: bool = False

    @classmethod
    def of(cls, text: str) -> SortOrder:
        """Parse a form field; TROUBLE if it is no sort order."""
        key = text.removeprefix(REVERSED)
        return cls(key, key != text) if key in SORTS else cls()

    def then(self, key: str) -> str:
        """Return the form field for a click on the heading ``key``: a second click reverses."""
        return REVERSED + key if self == SortOrder(key) else key


_BY_TROUBLE = SortOrder()


class StatusModel:
    """The pieces of the page, as they are at the moment of the call."""

    def __init__(self, supervisor: Supervisor, viewer: Viewer) -> None:
        self._supervisor = supervisor
        self._viewer = viewer
        self._keys: dict[str, Callable[[Process], float]] = {
            "state": view.rank,
            "cpu": lambda p: -(supervisor.usage.of(p.full_name).cpu or 0),
            "memory": lambda p: -supervisor.usage.of(p.full_name).memory,
            "uptime": lambda p: -p.uptime,
            "pid": lambda p: p.pid or math.inf,
            "restarts": lambda p: -p.record.restarts,
        }

    def table(self, words: str = "", order: SortOrder = _BY_TROUBLE) -> str:
        """Return the bodies of the table: one for each group, or one for all processes.

        Sorted by TROUBLE, processes that need attention have a body above the groups. Only
        processes whose name or state contains ``words`` are in the table.
        """
        wanted = words.strip().lower()
        found = [
            p
            for p in by_name(self._supervisor)
            if wanted in p.full_name.lower() or wanted in p.state.name.lower()
        ]
        if order.key in self._keys:
            found.sort(key=self._keys[order.key])
        if order.is_reversed:
            found.reverse()
        if order.key in self._keys:
            return self._flat(found)
        first = [p for p in found if view.is_trouble(p)] if order.key == TROUBLE else []
        groups: dict[str, list[Process]] = {process.group: [] for process in found}
        for process in found:
            if process not in first:
                groups[process.group].append(process)
        return self._flat(sorted(first, key=view.rank)) + "".join(
            self._group(name, members) for name, members in groups.items()
        )

    def row(self, process: Process) -> str:
        usage = self._supervisor.usage.of(process.full_name)
        return view.row(process, usage, self._viewer, trio.current_time())

    def head(self, group: str) -> str:
        """Return the heading row of a group; empty for a program that has a group of its own."""
        try:
            members = list(self._supervisor.group(group).processes.values())
        except BadName:  # the group was just removed
            return ""
        if [process.full_name for process in members] == [group]:
            return ""
        return view.group_head(group, members, self._viewer)

    def summary(self) -> str:
        return view.summary(self._supervisor.processes())

    def events(self) -> str:
        """Return the event history, newest first."""
        return "".join(map(event_item, reversed(self._supervisor.event_history.latest())))

    def _flat(self, processes: list[Process]) -> str:
        rows = "".join(map(self.row, processes))
        return f'<tbody class="flat">\n{rows}</tbody>\n' if rows else ""

    def _group(self, name: str, members: Iterable[Process]) -> str:
        rows = "".join(map(self.row, members))
        return f'<tbody data-group="{visible(name)}">\n{self.head(name)}{rows}</tbody>\n'
