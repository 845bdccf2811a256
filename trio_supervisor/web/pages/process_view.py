"""Processes and groups as HTML, for complete pages and for changes in live ones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.process.reasons import circumstances, is_ill
from trio_supervisor.core.process.states import SIGNALLABLE_STATES, State
from trio_supervisor.runtime.inspect.describe import (
    adopted,
    flapping,
    last_output,
    left_behind,
    limits,
    reason,
)
from trio_supervisor.web.pages.format import NONE, bytes_text, cpu_text, uptime_text
from trio_supervisor.web.pages.forms import (
    CLEAR_LOG,
    GROUP,
    OF_GROUP,
    PROCESS,
    REFRESH,
    RESTART,
    START,
    STOP,
)
from trio_supervisor.web.pages.layout import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.runtime.inspect.sampler import UsageSample
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.web.pages.forms import Viewer

#: Supervisor offers no button for a process in BACKOFF. Here it can be stopped.
_OFFERED = {
    State.RUNNING: (RESTART, STOP),
    State.STARTING: (STOP,),
    State.BACKOFF: (STOP,),
    State.STOPPED: (START,),
    State.EXITED: (START,),
    State.FATAL: (START,),
}
_BAD = frozenset({State.FATAL, State.BACKOFF, State.UNKNOWN})
#: States in the order of attention that they need.
SEVERITY = (
    State.FATAL,
    State.BACKOFF,
    State.UNKNOWN,
    State.EXITED,
    State.STARTING,
    State.STOPPING,
    State.RUNNING,
    State.STOPPED,
)
#: Empty cells of a group's row in the columns of figures, hidden together with these.
_NO_FIGURES = "".join(
    f'<td class="number {column}"></td>'
    for column in ("cpu", "memory", "uptime", "pid", "restarts")
)


def group_head(group: str, processes: list[Process], viewer: Viewer) -> str:
    running = sum(process.state is State.RUNNING for process in processes)
    return (
        f'<tr class="group" data-group="{visible(group)}">'
        f'<th scope="rowgroup" colspan="2">{visible(group)} '
        f'<span class="count">{running} of {len(processes)} running</span></th>{_NO_FIGURES}'
        f'<td class="actions"><div class="buttons">{viewer.form(OF_GROUP, GROUP, group)}</div>'
        f"</td></tr>\n"
    )


def row(process: Process, usage: UsageSample, viewer: Viewer, now: float) -> str:
    """Return the row of a process. ``now`` is monotonic: the browser counts the uptime from it."""
    state = process.state.name.lower()
    trouble = " trouble" if is_trouble(process) else ""
    lives = process.state in SIGNALLABLE_STATES
    up = process.uptime
    since = f"{now - up:.1f}" if lives else ""
    figures = (
        f'data-cpu="{usage.cpu or 0:.1f}" data-memory="{usage.memory}" data-since="{since}" '
        f'data-rank="{rank(process)}"'
    )
    return (
        f'<tr class="process{trouble}" tabindex="-1" data-name="{visible(process.full_name)}" '
        f'data-group="{visible(process.group)}" data-state="{state}" {figures}>'
        f'<td class="state">{state_chip(process)}</td>'
        f'<th scope="row" class="name"><div>{_name(process)}{_why(process)}</div></th>'
        f'<td class="number cpu"><span class="chart"></span>'
        f'<span class="value">{cpu_text(usage.cpu)}</span></td>'
        f'<td class="number memory"{_title(limits(process))}><span class="chart"></span>'
        f'<span class="value">{bytes_text(usage.memory)}</span></td>'
        f'<td class="number uptime"><span class="value">'
        f"{uptime_text(int(up)) if lives else NONE}</span></td>"
        f'<td class="number pid"{_title(adopted(process))}>'
        f"{_pid(process) if lives else NONE}</td>"
        f'<td class="number restarts"{_title(circumstances(process.record))}>'
        f"{process.record.restarts}</td>"
        f'<td class="actions">{_actions(process, viewer)}</td></tr>\n'
    )


def state_chip(process: Process) -> str:
    state = process.state.name.lower()
    chip = f'<span class="chip {state}">{state}</span>'
    if why := flapping(process):
        chip += f' <span class="chip backoff" title="{visible(why)}">often</span>'
    return chip


def history_address(name: str) -> str:
    return visible(f"history.html?{urlencode({'processname': name})}")


def is_trouble(process: Process) -> bool:
    """Whether a process needs attention."""
    last = process.record.last_exit
    if process.state is State.EXITED and last is not None:
        return not last.expected(process.config.exitcodes)
    return process.state in _BAD or _is_retried(process) or _is_unwell(process)


def rank(process: Process) -> int:
    """Return the position of a process's state in SEVERITY.

    A start attempt after a failed one, and a process that is restarted often, count as BACKOFF, or
    the row would move with every attempt.
    """
    is_failing = _is_retried(process) or bool(flapping(process))
    return SEVERITY.index(State.BACKOFF if is_failing else process.state)


def _is_unwell(process: Process) -> bool:
    return is_ill(process.record) or bool(flapping(process))


def _is_retried(process: Process) -> bool:
    return process.state is State.STARTING and process.record.failures > 0


def summary(processes: Iterable[Process]) -> str:
    """Return the number of processes in each state, as links that filter the table."""
    counts = Counter(process.state for process in processes)
    return "".join(
        f'<li><a class="chip {name}" href="?filter={name}" data-filter="{name}">'
        f"<b>{counts[state]}</b> {name}</a></li>"
        for state in SEVERITY
        if counts[state]
        for name in (state.name.lower(),)
    )


def log_address(name: str, channel: str = "") -> str:
    fields = {"processname": name} | ({"output": channel} if channel else {})
    return visible(f"log.html?{urlencode(fields)}")


def _pid(process: Process) -> str:
    return "task" if process.kind is GroupKind.TASK else str(process.pid or NONE)


def _name(process: Process) -> str:
    """Return the linked name. The prefix with the group is shown if the table is not grouped."""
    prefix = process.full_name.removesuffix(process.name)
    shown = f'<span class="prefix">{visible(prefix)}</span>' if prefix else ""
    return f'<a href="{log_address(process.full_name)}">{shown}{visible(process.name)}</a>'


def _why(process: Process) -> str:
    """Return the reason why a process does not run: a line that unfolds, with its last output.

    A row has room for this line in any case, so that no row moves when a process ends or starts.
    """
    texts = reason(process), flapping(process), _left_behind(process)
    why = visible("; ".join(text for text in texts if text))
    if not why:
        return ""
    text = last_output(process).strip("\n")
    output = f"<pre>{visible(text)}</pre>" if text else "<p>No output so far</p>"
    if facts := circumstances(process.record):
        output += f"<p>{visible(facts)}</p>"
    output += f'<p><a href="{history_address(process.full_name)}">Why, and what was before</a></p>'
    return (
        f'<details class="last"><summary class="reason" title="{why}">{why}</summary>'
        f"{output}</details>"
    )


def _left_behind(process: Process) -> str:
    pids = left_behind(process)
    return f"has left processes behind: pid {', '.join(map(str, pids))}" if pids else ""


def _title(text: str) -> str:
    """Return the attribute that shows a text when the mouse is over an element; empty if none."""
    return f' title="{visible(text)}"' if text else ""


def _actions(process: Process, viewer: Viewer) -> str:
    name = process.full_name
    main = viewer.form(_OFFERED.get(process.state, ()), PROCESS, name)
    refreshes = process.state is State.RUNNING and process.config.stopping.can_refresh
    more = viewer.form((REFRESH, CLEAR_LOG) if refreshes else (CLEAR_LOG,), PROCESS, name)
    return (
        f'<div class="buttons">{main}'
        f'<details class="menu"><summary aria-label="More for {visible(name)}">⋯</summary>'
        f'<div><a href="{log_address(name, "stdout")}">Stdout log</a>'
        f'<a href="{log_address(name, "stderr")}">Stderr log</a>'
        f'<a href="{history_address(name)}">History</a>{more}</div></details></div>'
    )
