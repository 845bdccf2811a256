"""The status page's live data: a snapshot, then what changes (server-sent events).

A change of state is sent at once, vitals every few seconds. Nothing is kept for a browser but the
number of the last event it was told: one that is slow gets a new snapshot when it reads again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName
from trio_supervisor.core.events import ProcessGroup, ProcessState
from trio_supervisor.core.states import SIGNALLABLE_STATES, DaemonState
from trio_supervisor.runtime.vitals import SPAN
from trio_supervisor.web import sse
from trio_supervisor.web.message import SECURITY, Stream
from trio_supervisor.web.pages.board import Board
from trio_supervisor.web.pages.event_view import event_item
from trio_supervisor.web.pages.figures import bytes_text, cpu_text, uptime_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.events.chronicle import Entry
    from trio_supervisor.runtime.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.pages.forms import Viewer

#: Seconds in which further events join the first: a restart of everything is few messages.
JOIN = 0.05


def live(supervisor: Supervisor, viewer: Viewer) -> Stream:
    """What one browser hears, until it leaves."""
    return Stream(Feed(supervisor, viewer), sse.TYPE, (*sse.HEADERS, *SECURITY))


class Feed:
    """The messages for one browser: ``snapshot``, ``changes`` and ``vitals``, as JSON."""

    def __init__(self, supervisor: Supervisor, viewer: Viewer) -> None:
        self._supervisor = supervisor
        self._chronicle = supervisor.chronicle
        self._vitals = supervisor.vitals
        self._viewer = viewer
        self._board = Board(supervisor, viewer)
        self._told: int | None = None
        self._due = 0.0

    async def read(self) -> bytes:
        if self._told is None:
            await self._vitals.refresh()
            self._due = self._vitals.due
            return self._snapshot()
        with trio.move_on_at(self._due):
            await self._chronicle.wait_beyond(self._told)
        data = b""
        if self._chronicle.number > self._told:
            await trio.sleep(JOIN)
            data = self._news(self._chronicle.after(self._told))
        if trio.current_time() >= self._due:
            await self._vitals.refresh()
            self._due = self._vitals.due
            data += self._figures()
        return data

    def close(self) -> None:
        """Nothing is kept for it."""

    def _news(self, entries: list[Entry] | None) -> bytes:
        if entries is None or any(isinstance(e.event, ProcessGroup) for e in entries):
            return self._snapshot()
        self._told = self._chronicle.number
        changed = [e.event for e in entries if isinstance(e.event, ProcessState)]
        names = dict.fromkeys((event.group, event.process) for event in changed)
        return _message(
            "changes",
            {
                "rows": [self._board.row(process) for process in self._present(names)],
                "heads": {group: self._board.head(group) for group in {g for g, _ in names}},
                "summary": self._board.summary(),
                "events": "".join(map(event_item, reversed(entries))),
                "leaving": self._leaving,
            },
        )

    def _snapshot(self) -> bytes:
        self._told = self._chronicle.number
        samples = self._vitals.samples
        names = {name for sample in samples for name in sample.vitals}
        return _message(
            "snapshot",
            {
                "token": self._viewer.token,
                "table": self._board.table(),
                "summary": self._board.summary(),
                "events": self._board.events(),
                "leaving": self._leaving,
                "span": SPAN,
                "history": {
                    name: [
                        [round(sample.time, 1), round(vital.cpu or 0, 1), vital.memory]
                        for sample in samples
                        if (vital := sample.vitals.get(name)) is not None
                    ]
                    for name in names
                },
            },
        )

    def _figures(self) -> bytes:
        living = [p for p in self._supervisor.processes() if p.state in SIGNALLABLE_STATES]
        rows = {process.full_name: self._figures_of(process) for process in living}
        return _message("vitals", {"time": round(self._vitals.samples[-1].time, 1), "rows": rows})

    def _figures_of(self, process: Process) -> list[object]:
        """Numbers to draw and to sort by, then the same to read."""
        vital = self._vitals.of(process.full_name)
        up = int(process.uptime)
        return [
            *(round(vital.cpu or 0, 1), vital.memory, up),
            *(cpu_text(vital.cpu), bytes_text(vital.memory), uptime_text(up)),
        ]

    def _present(self, names: Iterable[tuple[str, str]]) -> list[Process]:
        found = []
        for group, name in names:
            try:
                found.append(self._supervisor.group(group).processes[name])
            except BadName:  # removed since
                continue
        return found

    @property
    def _leaving(self) -> bool:
        return self._supervisor.state is not DaemonState.RUNNING


def _message(name: str, data: object) -> bytes:
    return sse.message(json.dumps(data, separators=(",", ":")), event=name)
