"""All that the status page shows of one supervisor to one viewer, as pieces of HTML.

The page puts them together; the live feed sends those that have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName
from trio_supervisor.runtime.rpc.info import by_name
from trio_supervisor.web.pages import process_view as view
from trio_supervisor.web.pages.event_view import event_item
from trio_supervisor.web.pages.frame import visible

if TYPE_CHECKING:
    from trio_supervisor.runtime.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.pages.forms import Viewer

BY_NAME = "name"
#: Ways to sort the table; all but the first put away the groups.
SORTS = (BY_NAME, "state", "cpu", "memory", "uptime")


class Board:
    """What a viewer sees, at the moment of asking."""

    def __init__(self, supervisor: Supervisor, viewer: Viewer) -> None:
        self._supervisor = supervisor
        self._viewer = viewer
        self._keys: dict[str, Callable[[Process], float]] = {
            "state": lambda p: view.SEVERITY.index(p.state),
            "cpu": lambda p: -(supervisor.vitals.of(p.full_name).cpu or 0),
            "memory": lambda p: -supervisor.vitals.of(p.full_name).memory,
            "uptime": lambda p: -p.uptime,
        }

    def table(self, words: str = "", sort: str = BY_NAME) -> str:
        """The bodies of the table: one for each group, or one for all if sorted otherwise.

        Only processes whose name or state contains ``words`` are in it.
        """
        wanted = words.strip().lower()
        found = [
            p
            for p in by_name(self._supervisor)
            if wanted in p.full_name.lower() or wanted in p.state.name.lower()
        ]
        if sort in self._keys:
            rows = "".join(map(self.row, sorted(found, key=self._keys[sort])))
            return f'<tbody class="flat">\n{rows}</tbody>\n'
        groups: dict[str, list[Process]] = {}
        for process in found:
            groups.setdefault(process.group, []).append(process)
        return "".join(self._group(name, members) for name, members in groups.items())

    def row(self, process: Process) -> str:
        return view.row(process, self._supervisor.vitals.of(process.full_name), self._viewer)

    def head(self, group: str) -> str:
        """The line above a group; empty for what is just the one program that was put into it."""
        try:
            members = list(self._supervisor.group(group).processes.values())
        except BadName:  # removed a moment ago
            return ""
        if [process.full_name for process in members] == [group]:
            return ""
        return view.group_head(group, members, self._viewer)

    def summary(self) -> str:
        return view.summary(self._supervisor.processes())

    def events(self) -> str:
        """Newest first."""
        return "".join(map(event_item, reversed(self._supervisor.chronicle.latest())))

    def _group(self, name: str, members: Iterable[Process]) -> str:
        rows = "".join(map(self.row, members))
        return f'<tbody data-group="{visible(name)}">\n{self.head(name)}{rows}</tbody>\n'
