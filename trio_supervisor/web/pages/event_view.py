"""The event history as HTML: one list item for each entry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trio_supervisor.core.events import (
    ProcessGroup,
    ProcessGroupAdded,
    ProcessHealthy,
    ProcessState,
    ProcessStateBackoff,
    ProcessStateExited,
    ProcessUnhealthy,
    SupervisorStateChangeRunning,
)
from trio_supervisor.web.pages.layout import visible

if TYPE_CHECKING:
    from trio_supervisor.core.events import Event
    from trio_supervisor.runtime.events.history import HistoryEntry


def event_item(entry: HistoryEntry) -> str:
    local = time.localtime(entry.time)
    moment = time.strftime("%H:%M:%S", local)
    day = time.strftime("%Y-%m-%d", local)
    return f'<li><time title="{day} {moment}">{moment}</time> {_description(entry.event)}</li>\n'


def _description(event: Event) -> str:
    match event:
        case ProcessState():
            return _process(event)
        case ProcessHealthy() | ProcessUnhealthy():
            verdict = event.name.removeprefix("PROCESS_").lower()
            return (
                f'<b>{_name(event)}</b> <span class="to {verdict}">{verdict}</span> '
                f"{visible(event.text)}"
            )
        case ProcessGroup():
            what = "added" if isinstance(event, ProcessGroupAdded) else "removed"
            return f"<b>{visible(event.group)}</b> group {what}"
        case SupervisorStateChangeRunning():
            return "<b>supervisor</b> running"
        case _:
            return "<b>supervisor</b> stopping"


def _name(event: ProcessState | ProcessHealthy | ProcessUnhealthy) -> str:
    alone = event.process == event.group
    return visible(event.process if alone else f"{event.group}:{event.process}")


def _process(event: ProcessState) -> str:
    state = event.name.removeprefix("PROCESS_STATE_").lower()
    suffix = ""
    if isinstance(event, ProcessStateExited) and not event.expected:
        suffix = " unexpectedly"
    elif isinstance(event, ProcessStateBackoff):
        suffix = f" after {event.tries} failed start{'s' if event.tries != 1 else ''}"
    return f'<b>{_name(event)}</b> <span class="to {state}">{state}</span>{suffix}'
