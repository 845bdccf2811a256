"""The status page and its actions (interfaces.md 4.1): plain HTML that works without scripts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from trio_supervisor import __version__
from trio_supervisor.core.errors import BadName, RequestError
from trio_supervisor.core.states import DaemonState, FaultCode, State
from trio_supervisor.runtime import rpc_control as control
from trio_supervisor.runtime.rpc_info import describe
from trio_supervisor.runtime.rpc_logs import clear_process_logs
from trio_supervisor.web.message import Response
from trio_supervisor.web.origin import refuse_foreign
from trio_supervisor.web.pages import NO_CACHE, page, visible

if TYPE_CHECKING:
    from trio_supervisor.runtime.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request

#: Characters of a message that are carried through a redirect and shown.
MESSAGE_LIMIT = 500
UNKNOWN_ACTION = "Unknown action"

#: How each failure of a start is said; other faults show their number and text.
_START_FAILURES = {
    FaultCode.NO_FILE: "no such file",
    FaultCode.NOT_EXECUTABLE: "file not executable",
    FaultCode.ALREADY_STARTED: "already started",
    FaultCode.SPAWN_ERROR: "spawn error",
    FaultCode.ABNORMAL_TERMINATION: "abnormal termination",
}
_STATE_CLASSES = {State.RUNNING: "running", State.FATAL: "error", State.BACKOFF: "error"}
_STARTABLE = frozenset({State.STOPPED, State.EXITED, State.FATAL})


async def status_page(supervisor: Supervisor, request: Request) -> Response:
    """Show the page, or carry out an action and send the browser back to it."""
    if supervisor.state is not DaemonState.RUNNING:
        return page("Supervisor", "<p>The supervisor is shutting down.</p>\n", status=503)
    fields = request.fields
    if "action" not in fields:
        return _show(supervisor, fields.get("message", ""))
    if (refusal := refuse_foreign(request)) is not None:
        return refusal
    message = await _act(supervisor, fields["action"], fields.get("processname", ""))
    where = f"./?message={quote(message[:MESSAGE_LIMIT], safe='')}"
    return Response(303, b"", headers=(("Location", where), *NO_CACHE))


async def _act(supervisor: Supervisor, action: str, name: str) -> str:
    """Carry out an action; returns what became of it, for people."""
    if action in _ALL_ACTIONS:
        done = await _ALL_ACTIONS[action](supervisor)
        return f"{done} at {time.ctime(supervisor.wall_clock())}"
    if not name:
        return UNKNOWN_ACTION
    try:
        supervisor.process(name)
    except BadName:
        return f"No such process named {name}"
    if action not in _PROCESS_ACTIONS:
        return UNKNOWN_ACTION
    try:
        return await _PROCESS_ACTIONS[action](supervisor, name)
    except RequestError as error:
        return f"unexpected rpc fault [{int(error.code)}] {error}"


async def _refresh(supervisor: Supervisor) -> str:
    return "Page refreshed"


async def _stop_all(supervisor: Supervisor) -> str:
    await control.stop_all_processes(supervisor, True)
    return "All stopped"


async def _restart_all(supervisor: Supervisor) -> str:
    await control.stop_all_processes(supervisor, True)
    await control.start_all_processes(supervisor, True)
    return "All restarted"


async def _start(supervisor: Supervisor, name: str) -> str:
    return await _started(supervisor, name) or f"Process {name} started"


async def _stop(supervisor: Supervisor, name: str) -> str:
    await control.stop_process(supervisor, name, True)
    return f"Process {name} stopped"


async def _restart(supervisor: Supervisor, name: str) -> str:
    """One that does not run is just started; what counts is that it runs afterwards (Q40)."""
    try:
        await control.stop_process(supervisor, name, True)
    except RequestError as error:
        if error.code is not FaultCode.NOT_RUNNING:
            raise
    return await _started(supervisor, name) or f"Process {name} restarted"


async def _clear_log(supervisor: Supervisor, name: str) -> str:
    await clear_process_logs(supervisor, name)
    return f"Log for {name} cleared"


async def _started(supervisor: Supervisor, name: str) -> str | None:
    """Start a process; returns what went wrong, or None."""
    try:
        await control.start_process(supervisor, name, True)
    except RequestError as error:
        unexpected = f"unexpected rpc fault [{int(error.code)}] {error}"
        return f"ERROR: Process {name}: {_START_FAILURES.get(error.code, unexpected)}"
    return None


_ALL_ACTIONS: dict[str, Callable[[Supervisor], Awaitable[str]]] = {
    "refresh": _refresh,
    "restartall": _restart_all,
    "stopall": _stop_all,
}
_PROCESS_ACTIONS: dict[str, Callable[[Supervisor, str], Awaitable[str]]] = {
    "clearlog": _clear_log,
    "restart": _restart,
    "start": _start,
    "stop": _stop,
}


def _show(supervisor: Supervisor, message: str) -> Response:
    said = f'<p class="message" role="status">{visible(message[:MESSAGE_LIMIT])}</p>\n'
    everything = "".join(
        _button(text, action)
        for text, action in (
            ("Refresh", "refresh"),
            ("Restart All", "restartall"),
            ("Stop All", "stopall"),
        )
    )
    return page(
        f"Supervisor status: {supervisor.config.daemon.identifier}",
        f"{said if message else ''}<div>{everything}</div>\n{_table(supervisor)}"
        f"<footer>trio-supervisor {__version__}</footer>\n",
    )


def _table(supervisor: Supervisor) -> str:
    processes = sorted(control.all_processes(supervisor), key=lambda p: (p.group, p.name))
    if not processes:
        return "<p>No programs to manage</p>\n"
    now = supervisor.wall_clock()
    rows = "".join(_row(process, now) for process in processes)
    return (
        "<table>\n<thead><tr><th>State<th>Description<th>Name<th>Action</tr></thead>\n"
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _row(process: Process, now: float) -> str:
    name = process.full_name
    log = visible(f"tail.html?{urlencode({'processname': name})}")
    return (
        f'<tr><td class="state {_STATE_CLASSES.get(process.state, "")}">'
        f"{process.state.name.lower()}<td>{visible(describe(process, now))}"
        f'<td><a href="{log}" target="_blank">{visible(name)}</a>'
        f"<td>{_actions(process)}</tr>\n"
    )


def _actions(process: Process) -> str:
    name = process.full_name
    offered = [("Clear Log", "clearlog")]
    if process.state is State.RUNNING:
        offered = [("Restart", "restart"), ("Stop", "stop"), *offered]
    elif process.state in _STARTABLE:
        offered = [("Start", "start"), *offered]
    buttons = "".join(_button(text, action, name) for text, action in offered)
    address = f"logtail/{quote(name, safe='')}"
    return (
        f'{buttons}<a href="{address}" target="_blank">Tail -f Stdout</a> '
        f'<a href="{address}/stderr" target="_blank">Tail -f Stderr</a>'
    )


def _button(text: str, action: str, name: str = "") -> str:
    field = f'<input type="hidden" name="processname" value="{visible(name)}">' if name else ""
    return (
        f'<form method="post" action="./">{field}'
        f'<button name="action" value="{action}">{text}</button></form> '
    )
