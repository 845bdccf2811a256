"""Live data of the status page: changes since the page was made, as server-sent events.

A change of state is sent at once, changed usage every few seconds; the browser counts uptimes. The
only state kept for a browser is the number of the last event that it was sent. A slow browser gets
a snapshot of the table when it reads again, and so does one whose page is too old, or comes from
another daemon.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import BadName
from trio_supervisor.core.events import (
    ProcessGroup,
    ProcessHealthy,
    ProcessState,
    ProcessUnhealthy,
)
from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.runtime.inspect.sampler import SPAN
from trio_supervisor.web import sse
from trio_supervisor.web.message import SECURITY, StreamResponse
from trio_supervisor.web.pages.event_view import event_item
from trio_supervisor.web.pages.format import bytes_text, cpu_text
from trio_supervisor.web.pages.status_model import StatusModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.events.history import HistoryEntry
    from trio_supervisor.runtime.inspect.sampler import Sample, UsageSample
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.pages.forms import Viewer

#: Seconds within which further events join the first one, so that a restart of all processes
#: causes few messages.
JOIN = 0.05


def live(supervisor: Supervisor, viewer: Viewer, since: str) -> StreamResponse:
    """Stream changes to a browser. ``since`` is the mark of the page that it shows."""
    return StreamResponse(Feed(supervisor, viewer, since), sse.TYPE, (*sse.HEADERS, *SECURITY))


#: Events after which the row of a process is sent again.
OF_PROCESSES = (ProcessState, ProcessHealthy, ProcessUnhealthy)


class Feed:
    """The messages for one browser, as JSON: ``begin``, then ``changes`` and ``usage``, and
    ``snapshot`` if changes are not enough."""

    def __init__(self, supervisor: Supervisor, viewer: Viewer, since: str = "") -> None:
        self._supervisor = supervisor
        self._history = supervisor.event_history
        self._usage = supervisor.usage
        self._viewer = viewer
        self._model = StatusModel(supervisor, viewer)
        self._sent = self._history.number_of(since)
        self._sampled: Sample | None = None
        """The last sample that it was sent."""
        self._due = 0.0

    async def read(self) -> bytes:
        if self._sampled is None:
            await self._usage.refresh()
            # The mark of a page may be older than the whole history.
            known = self._sent is not None and self._history.after(self._sent) is not None
            return (b"" if known else self._snapshot()) + self._begin() + self._figures()
        assert self._sent is not None
        with trio.move_on_at(self._due):
            await self._history.wait_beyond(self._sent)
        data = b""
        if self._history.number > self._sent:
            await trio.sleep(JOIN)
            data = self._changes(self._history.after(self._sent))
        if trio.current_time() >= self._due:
            await self._usage.refresh()
            data += self._figures()
        return data

    def close(self) -> None:
        """Do nothing: there is no state to release."""

    def _changes(self, entries: list[HistoryEntry] | None) -> bytes:
        if entries is None or any(isinstance(e.event, ProcessGroup) for e in entries):
            return self._snapshot()
        self._sent = self._history.number
        changed = [e.event for e in entries if isinstance(e.event, OF_PROCESSES)]
        names = dict.fromkeys((event.group, event.process) for event in changed)
        return _message(
            "changes",
            {
                "rows": [self._model.row(process) for process in self._present(names)],
                "heads": {group: self._model.head(group) for group in {g for g, _ in names}},
                "summary": self._model.summary(),
                "events": "".join(map(event_item, reversed(entries))),
                "leaving": self._leaving,
            },
            mark=self._history.mark,
        )

    def _snapshot(self) -> bytes:
        self._sent = self._history.number
        return _message(
            "snapshot",
            {
                "token": self._viewer.token,
                "table": self._model.table(),
                "summary": self._model.summary(),
                "events": self._model.events(),
                "leaving": self._leaving,
            },
            mark=self._history.mark,
        )

    def _begin(self) -> bytes:
        """Return the samples for the charts. The last one follows as figures."""
        return _history(tuple(self._usage.samples)[:-1], self._leaving)

    def _figures(self) -> bytes:
        before, self._sampled = self._sampled, self._usage.samples[-1]
        self._due = self._usage.due
        return _figures(before, self._sampled)

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


@lru_cache(maxsize=1)
def _history(samples: tuple[Sample, ...], leaving: bool) -> bytes:
    """Encode samples: their times, and for each process the number of each sample in which its
    figures changed, with the figures; null if it had no child."""
    points: dict[str, list[tuple[float | None, ...]]] = {}
    last: dict[str, tuple[str, str]] = {}
    for number, sample in enumerate(samples):
        for name in last.keys() - sample.usage.keys():
            del last[name]
            points[name].append((number, None))
        for name, usage in sample.usage.items():
            if last.get(name) != (shown := _texts(usage)):
                last[name] = shown
                figures = (round(usage.cpu or 0, 1), usage.memory)
                points.setdefault(name, []).append((number, *figures))
    times = [round(sample.time, 1) for sample in samples]
    return _message("begin", {"leaving": leaving, "span": SPAN, "times": times, "points": points})


@lru_cache(maxsize=2)
def _figures(before: Sample | None, now: Sample) -> bytes:
    """Encode the figures that have changed between two samples, once for all browsers.

    They are sent as numbers, for charts and sorting, and as text.
    """
    known = {} if before is None else before.usage
    rows = {
        name: (round(usage.cpu or 0, 1), usage.memory, *_texts(usage))
        for name, usage in now.usage.items()
        if name not in known or _texts(usage) != _texts(known[name])
    }
    return _message("usage", {"time": round(now.time, 1), "rows": rows})


def _texts(usage: UsageSample) -> tuple[str, str]:
    """Format figures as shown. Changes that are not visible are not sent."""
    return cpu_text(usage.cpu), bytes_text(usage.memory)


def _message(name: str, data: object, *, mark: str = "") -> bytes:
    return sse.message(json.dumps(data, separators=(",", ":")), event=name, id=mark)
